//! A server process that never outlives the test process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result};

/// Starts the server, tells its process id, and kills it when the standard input ends: the handle has closed the pipe, or
/// the test process has died, however it died; only then nothing is written before, and the folder goes as well. The shell
/// waits for the server, so that the id stays its own until then.
const KEEPER: &str = r#"
trap '' HUP INT TERM
folder=$1
shift
exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
echo "$server"
exec >&-
{
    read -r _ <&3 || { kill -STOP "$server"; rm -rf "$folder"; }
    kill -9 "$server"
} 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"
kill -9 "$watch"
"#;

/// A running program, killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    keeper: Child,
    pid: Pid,
}

impl Process {
    /// Runs `program`; what it prints goes to `log`. If this process dies, `folder` is removed.
    pub(crate) fn spawn<A: AsRef<OsStr>>(
        folder: &Path,
        program: &OsStr,
        arguments: &[A],
        log: File,
    ) -> Result<Self> {
        let name = program.to_string_lossy().into_owned();
        let failed = |source| Error::io(format!("cannot start {name}"), source);
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Away from the signals of the terminal.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(told) = keeper.stdout.take() {
            BufReader::new(told).read_line(&mut line).map_err(failed)?;
        }
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        match pid {
            Some(pid) => Ok(Self { keeper, pid }),
            None => {
                drop(keeper.stdin.take());
                keeper.wait().map_err(failed)?;
                Err(Error::new(format!("the shell did not start {name}")))
            }
        }
    }

    /// The process id of the server.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Whether the server is gone.
    pub(crate) fn exited(&mut self) -> bool {
        // An error means that there is no such child any more.
        !matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Sends `signal` to the server.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.exited() {
            return Err(Error::new(format!(
                "the server (process {}) is not running",
                self.id()
            )));
        }
        kill_process(self.pid, signal).map_err(|error| {
            Error::io(format!("cannot signal process {}", self.id()), error.into())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.keeper.stdin.take() {
            // The keeper that cannot be told has ended, and the server with it.
            let _ = stdin.write_all(b"keep the folder\n");
        }
        // The keeper sends SIGKILL and waits, so this ends at once; nobody is left to be told of a failure.
        let _ = self.keeper.wait();
    }
}
