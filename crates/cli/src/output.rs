//! Standard output, written so that a reader who stops reading never makes the command deaf to signals.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::outcome::Failure;

/// Bytes that a pipe with room takes without blocking, whatever its state: one page.
const PIPE_ROOM: usize = 4096;

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    File,
    Pipe,
    Other,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The operating system has all of it.
    All,
    /// Nobody reads any more.
    Closed,
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    file: Arc<File>,
    sink: Sink,
    /// Tells when the reader of a pipe goes away. Never written to: the pipe is shared with others and stays blocking.
    watch: Option<Sender>,
}

impl Output {
    /// Standard output of this process. Must be called inside the runtime.
    pub(crate) fn stdout() -> Result<Self, Failure> {
        let duplicate = || io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = duplicate().map_err(cannot_write)?;
        let kind = file.metadata().map_err(cannot_write)?.file_type();
        let sink = if kind.is_file() {
            Sink::File
        } else if kind.is_fifo() {
            Sink::Pipe
        } else {
            Sink::Other
        };
        let watch = if sink == Sink::Pipe {
            let watch = duplicate().map_err(cannot_write)?;
            Some(Sender::from_file_unchecked(watch).map_err(cannot_write)?)
        } else {
            None
        };
        Ok(Self {
            file: Arc::new(file),
            sink,
            watch,
        })
    }

    /// Writes all of `bytes` and empties it. Cancelling leaves open how much was written.
    pub(crate) async fn write(&self, bytes: &mut Vec<u8>) -> Result<Written, Failure> {
        if bytes.is_empty() {
            return Ok(Written::All);
        }
        let result = if self.takes_now(bytes.len()) {
            (&*self.file).write_all(bytes)
        } else {
            let file = Arc::clone(&self.file);
            let text = std::mem::take(bytes);
            let write = move || {
                let result = (&*file).write_all(&text);
                (result, text)
            };
            let (result, text) = tokio::task::spawn_blocking(write)
                .await
                .map_err(cannot_write)?;
            *bytes = text;
            result
        };
        bytes.clear();
        match result {
            Ok(()) => Ok(Written::All),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Closed),
            Err(error) => Err(cannot_write(error)),
        }
    }

    /// Resolves when nobody reads the pipe any more; never for anything else.
    pub(crate) async fn closed(&self) {
        if let Some(watch) = &self.watch
            && watch.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Whether a write of `length` bytes does not block.
    fn takes_now(&self, length: usize) -> bool {
        match self.sink {
            Sink::File => true,
            Sink::Pipe => length <= PIPE_ROOM && has_room(&self.file),
            Sink::Other => false,
        }
    }
}

/// Writes `text` to standard output and waits for it. A reader who went away is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(error)),
        _ => Ok(()),
    }
}

fn has_room(file: &File) -> bool {
    let mut ask = [PollFd::new(file, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut ask, Some(&now)).is_ok_and(|ready| ready > 0)
}

fn cannot_write(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("standard output cannot be written: {error}"))
}
