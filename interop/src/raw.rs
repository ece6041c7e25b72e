//! The bare socket: lines in, lines out.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::PATIENCE;

/// One connection, read only when asked for: until then the other side's bytes stay in the kernel.
#[derive(Debug)]
pub struct RawConnection {
    stream: UnixStream,
    /// Bytes read and not yet taken; the first is at `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Everything taken, for messages.
    taken: Vec<String>,
}

impl RawConnection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn connect(path: &Path) -> Self {
        match UnixStream::connect(path) {
            Ok(stream) => Self::new(stream),
            Err(error) => panic!("cannot connect to {}: {error}", path.display()),
        }
    }

    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            taken: Vec::new(),
        }
    }

    /// Sends bytes; `false` when the other side is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends one line.
    pub fn send(&mut self, line: &str) -> bool {
        self.send_bytes(format!("{line}\n").as_bytes())
    }

    /// Sends one frame.
    pub fn send_frame(&mut self, frame: &Value) -> bool {
        self.send(&frame.to_string())
    }

    /// Subscribes and takes the acknowledgement.
    #[track_caller]
    pub fn subscribe(&mut self, topic: &str) {
        self.send_frame(&json!({ "type": "subscribe", "topic": topic }));
        let ack = self.frame();
        assert_eq!(ack, json!({ "type": "subscribed", "topic": topic }));
    }

    /// Publishes `data` (wire JSON) with type `x` and run `r`.
    pub fn publish(&mut self, topic: &str, data: &str) -> bool {
        let topic = json!(topic);
        self.send(&format!(r#"{{"type":"publish","topic":{topic},"event":{{"type":"x","runId":"r","data":{data}}}}}"#))
    }

    /// The next line.
    ///
    /// # Panics
    /// When the connection ends or is silent for too long.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.take(PATIENCE) {
            Ok(Some(line)) => line,
            Ok(None) => panic!("the connection ended; lines before: {:?}", self.taken),
            Err(()) => panic!(
                "no line within {PATIENCE:?}; lines before: {:?}",
                self.taken
            ),
        }
    }

    /// The next line as JSON.
    #[track_caller]
    pub fn frame(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next frame of this type, others skipped.
    #[track_caller]
    pub fn frame_of(&mut self, wanted: &str) -> Value {
        loop {
            let frame = self.frame();
            if frame["type"] == wanted {
                return frame;
            }
        }
    }

    /// Takes the next membership frame as a broker and acknowledges it; what it was.
    #[track_caller]
    pub fn acknowledge(&mut self) -> Value {
        let frame = self.frame();
        let kind = format!("{}d", frame["type"].as_str().unwrap_or_default());
        let mut ack = json!({ "type": kind, "topic": frame["topic"] });
        if frame["group"].is_string() {
            ack["group"] = frame["group"].clone();
        }
        self.send_frame(&ack);
        frame
    }

    /// Whether nothing has come up to now, neither a line nor the end.
    pub fn is_silent(&mut self) -> bool {
        self.take(Duration::from_millis(1)).is_err()
    }

    /// Reads until the other side closes; the complete lines before that.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.take(PATIENCE) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return lines,
                Err(()) => panic!("still open after {PATIENCE:?}; lines: {lines:?}"),
            }
        }
    }

    /// A line, `None` at the end, an error when neither came in time.
    fn take(&mut self, patience: Duration) -> Result<Option<String>, ()> {
        let end = Instant::now() + patience;
        let mut searched = self.start;
        loop {
            if let Some(found) = self.buffer[searched..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let line = self.cut(searched + found);
                // The greeting of a Rust client, which every other broker ignores.
                if !line.starts_with(r#"{"type":"hello""#) {
                    return Ok(Some(line));
                }
                searched = self.start;
                continue;
            }
            searched = self.buffer.len();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(());
            }
            match self.read(left) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if is_pause(error.kind()) => return Err(()),
                Err(_) => return Ok(None),
            }
        }
    }

    fn read(&mut self, patience: Duration) -> std::io::Result<usize> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut chunk = vec![0; 256 * 1024];
        let read = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    fn cut(&mut self, end: usize) -> String {
        let line = String::from_utf8_lossy(&self.buffer[self.start..end]).into_owned();
        self.start = end + 1;
        if self.start > 1 << 20 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.taken.push(line.chars().take(200).collect());
        line
    }
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A broker of bare lines: it does what the test does with its connections.
#[derive(Debug)]
pub struct RawBroker {
    listener: UnixListener,
}

impl RawBroker {
    /// Listens on `path`.
    ///
    /// # Panics
    /// When it cannot.
    #[track_caller]
    pub fn bind(path: &Path) -> Self {
        let listener = UnixListener::bind(path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .unwrap_or_else(|error| panic!("cannot listen on {}: {error}", path.display()));
        Self { listener }
    }

    /// The next connection.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn accept(&self) -> RawConnection {
        crate::eventually("a connection", || {
            self.try_accept().ok_or_else(|| "none".into())
        })
    }

    /// A connection, if one is waiting.
    pub fn try_accept(&self) -> Option<RawConnection> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).ok()?;
        Some(RawConnection::new(stream))
    }
}
