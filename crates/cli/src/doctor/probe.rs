//! Asks the process behind a socket for a sign of life, without taking part in the bus.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::finding::Finding;

/// How long the broker has to answer. It needs less than a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of an answer that are read at most.
const ANSWER_BYTES: usize = 64 * 1024;

/// The process behind the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) pid: Option<i32>,
    pub(crate) user: Option<u32>,
    /// The name of its program, where the system tells.
    pub(crate) program: Option<String>,
}

impl Broker {
    fn of(stream: &UnixStream) -> Self {
        let peer = rustix::net::sockopt::socket_peercred(stream).ok();
        let pid = peer.map(|peer| peer.pid.as_raw_pid());
        Self {
            pid,
            user: peer.map(|peer| peer.uid.as_raw()),
            program: pid.and_then(|pid| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                Some(name.trim().to_owned())
            }),
        }
    }

    /// How to speak of it.
    pub(crate) fn name(&self) -> String {
        match (self.pid, &self.program) {
            (Some(pid), Some(program)) => format!("process {pid} ({program})"),
            (Some(pid), None) => format!("process {pid}"),
            _ => "a process".to_owned(),
        }
    }

    fn is_stopped(&self) -> bool {
        let stat = self
            .pid
            .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        // The state follows the program's name, which stands in parentheses and may contain any.
        stat.as_deref()
            .and_then(|text| text.rsplit_once(") "))
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    }
}

/// Connects to `socket` and asks. Leaves nothing behind.
pub(crate) fn probe(socket: &Path) -> (Option<Broker>, Finding) {
    let name = socket.display();
    let stream = match connect(socket) {
        Ok(stream) => stream,
        Err(error) => return (None, refused(error, socket)),
    };
    let broker = Broker::of(&stream);
    let who = broker.name();
    let finding = match ask(stream) {
        Ok(time) => Finding::ok(format!(
            "the broker is {who}; it answers in {:.1} ms",
            time.as_secs_f64() * 1000.0
        )),
        Err(Silence::Strange(answer)) => Finding::problem(
            format!(
                "{who} is behind the socket, but does not speak the protocol of the bus: {answer}"
            ),
            format!("end it, or choose another path than {name}"),
        ),
        Err(Silence::Closed(error)) => Finding::problem(
            format!("the broker, {who}, closed the connection: {error}"),
            "run as the user of the broker; if you are, look at its log",
        ),
        Err(Silence::Nothing) if broker.is_stopped() => Finding::problem(
            format!("the broker, {who}, is stopped and does not answer"),
            continue_it(&broker),
        ),
        Err(Silence::Nothing) => Finding::problem(
            format!(
                "the broker, {who}, accepts connections but did not answer within {} s",
                ANSWER_WITHIN.as_secs()
            ),
            format!(
                "look at what it does; if it hangs, end it, and another process becomes the broker ({name})"
            ),
        ),
    };
    (Some(broker), finding)
}

fn continue_it(broker: &Broker) -> String {
    let pid = broker.pid.unwrap_or_default();
    format!(
        "let it go on: kill -CONT {pid}; or end it, and another process becomes the broker: kill -KILL {pid}"
    )
}

fn connect(socket: &Path) -> Result<UnixStream, Errno> {
    // Without NONBLOCK a full queue would make us wait for as long as the broker stands still.
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(socket)?)?;
    Ok(UnixStream::from(fd))
}

fn refused(error: Errno, socket: &Path) -> Finding {
    let name = socket.display();
    match error {
        Errno::CONNREFUSED => Finding::warning(
            "nobody is behind the socket: the process that made it is gone",
            format!("nothing to do: the next process replaces it; or run: rm {name}"),
        ),
        Errno::NOENT => Finding::warning(
            "the socket vanished while it was looked at",
            "nothing to do: the next process makes it again",
        ),
        Errno::ACCESS | Errno::PERM => Finding::problem(
            "the operating system does not let you connect to the socket",
            "run as the owner of the socket, or choose another path",
        ),
        Errno::AGAIN => Finding::problem(
            "the broker accepts no connections: its queue is full",
            format!(
                "find the process that listens (ss -xlp | grep {name}); if it is stopped let it go on, if it hangs end it"
            ),
        ),
        other => Finding::problem(
            format!("the socket cannot be connected to: {other}"),
            "check the path with: ls -l",
        ),
    }
}

/// Why there was no answer.
enum Silence {
    Nothing,
    Closed(String),
    Strange(String),
}

/// Subscribes to a topic that nobody uses, and waits for the receipt.
fn ask(mut stream: UnixStream) -> Result<Duration, Silence> {
    let topic = format!("bowline.doctor.{}", bowline_events::EventId::random());
    let closed = |error: io::Error| Silence::Closed(error.to_string());
    stream.set_nonblocking(false).map_err(closed)?;
    stream
        .set_write_timeout(Some(ANSWER_WITHIN))
        .map_err(closed)?;
    let start = Instant::now();
    let question = format!("{{\"type\":\"subscribe\",\"topic\":\"{topic}\"}}\n");
    stream.write_all(question.as_bytes()).map_err(closed)?;
    let line = read_line(&mut stream, start)?;
    let time = start.elapsed();
    let answer: serde_json::Value = serde_json::from_str(&line)
        .map_err(|_| Silence::Strange(line.chars().take(60).collect()))?;
    if answer["type"] == "subscribed" && answer["topic"] == topic.as_str() {
        Ok(time)
    } else {
        Err(Silence::Strange(line.chars().take(60).collect()))
    }
}

fn read_line(stream: &mut UnixStream, start: Instant) -> Result<String, Silence> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = ANSWER_WITHIN.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(Silence::Nothing);
        }
        stream
            .set_read_timeout(Some(left))
            .map_err(|error| Silence::Closed(error.to_string()))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(Silence::Closed("end of stream".to_owned())),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Err(Silence::Nothing);
            }
            Err(error) => return Err(Silence::Closed(error.to_string())),
        }
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            bytes.truncate(end);
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        if bytes.len() > ANSWER_BYTES {
            return Err(Silence::Strange("a line without an end".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;
    use std::os::unix::net::UnixListener;

    /// A peer that answers every connection with `answer`, then holds it until it is closed.
    fn peer(answer: Option<&'static [u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            match answer {
                Some(answer) => {
                    stream.write_all(answer).unwrap();
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest);
                }
                None => drop(stream),
            }
        });
        (folder, path)
    }

    #[test]
    fn a_peer_that_is_no_broker_is_found_out() {
        let table: [(Option<&'static [u8]>, &str); 4] = [
            (Some(b"HTTP/1.1 400\r\n"), "does not speak the protocol"),
            (
                Some(b"{\"type\":\"subscribed\",\"topic\":\"x\"}\n"),
                "does not speak the protocol",
            ),
            (Some(b""), "did not answer"),
            (None, "closed the connection"),
        ];
        for (answer, part) in table {
            let (_folder, path) = peer(answer);
            let (broker, finding) = probe(&path);
            assert_eq!(finding.level, Level::Problem);
            assert!(finding.what.contains(part), "{finding:?}");
            assert!(finding.remedy.is_some());
            let own = i32::try_from(std::process::id()).unwrap();
            assert_eq!(broker.unwrap().pid, Some(own));
        }
    }

    #[test]
    fn a_socket_without_a_process_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let (broker, finding) = probe(&path);
        assert_eq!(broker, None);
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.what.contains("nobody is behind"), "{finding:?}");
    }
}
