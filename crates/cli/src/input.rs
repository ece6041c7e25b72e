//! Where the data of published events comes from.

use std::fs::File;
use std::io::{self, Read};

use bowline_events::Payload;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::outcome::Failure;

/// Bytes that are read in one go.
const CHUNK: usize = 64 * 1024;

/// The data that `--data` names: JSON text, `@file`, or `-` for standard input; at most `limit` bytes. Blocks while it reads.
pub(crate) fn data(argument: &str, limit: usize) -> Result<Payload, Failure> {
    of_option("--data", argument, limit)
}

/// The same for `option`.
pub(crate) fn of_option(option: &str, argument: &str, limit: usize) -> Result<Payload, Failure> {
    let (what, text) = match (argument, argument.strip_prefix('@')) {
        ("-", _) => ("standard input".to_owned(), read(io::stdin().lock(), limit)),
        (_, Some(path)) => (
            format!("file {path:?}"),
            File::open(path)
                .map_err(unreadable)
                .and_then(|file| read(file, limit)),
        ),
        _ => (option.to_owned(), Ok(argument.to_owned().into())),
    };
    text.and_then(json).map_err(|failure| failure.about(what))
}

fn json(text: Bytes) -> Result<Payload, Failure> {
    Ok(Payload::json(text)?)
}

fn read(source: impl Read, limit: usize) -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    source
        .take(limit as u64 + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() > limit {
        return Err(too_large(limit));
    }
    Ok(text.into())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn unreadable(error: io::Error) -> Failure {
    Failure::usage(format!(
        "it cannot be read: {error}; check the path and its permissions"
    ))
}

fn too_large(limit: usize) -> Failure {
    Failure::failed(format!(
        "the data is larger than the {limit} bytes that are taken at a time; split it, or pass a reference to it"
    ))
}

/// The lines of a source, with their numbers from 1 on.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: R,
    buffer: BytesMut,
    /// Bytes at the start of the buffer that are known to hold no line break.
    seen: usize,
    ended: bool,
    number: u64,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The lines of `source`; one of more than `limit` bytes is an error.
    pub(crate) fn new(source: R, limit: usize) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            seen: 0,
            ended: false,
            number: 0,
            limit,
        }
    }

    /// The number of the line that came last.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not blank, if it was read already.
    pub(crate) fn ready(&mut self) -> Option<Result<Bytes, Failure>> {
        loop {
            let Some(line) = self.cut() else {
                return (self.buffer.len() > self.limit).then(|| {
                    self.number += 1;
                    Err(too_large(self.limit))
                });
            };
            self.number += 1;
            if line.len() > self.limit {
                return Some(Err(too_large(self.limit)));
            }
            if !line.trim_ascii().is_empty() {
                return Some(Ok(line));
            }
        }
    }

    /// Reads more; `false` at the end. Cancelling loses nothing.
    pub(crate) async fn fill(&mut self) -> Result<bool, Failure> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.reserve(CHUNK);
        let read = self
            .source
            .read_buf(&mut self.buffer)
            .await
            .map_err(unreadable)?;
        self.ended = read == 0;
        // A last line without a line break becomes ready when the end is known.
        Ok(!self.ended || !self.buffer.is_empty())
    }

    fn cut(&mut self) -> Option<Bytes> {
        let found = self.buffer[self.seen..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = found else {
            self.seen = self.buffer.len();
            let last = self.ended && !self.buffer.is_empty();
            self.seen *= usize::from(!last);
            return last.then(|| self.buffer.split().freeze());
        };
        let mut line = self.buffer.split_to(self.seen + end + 1);
        line.truncate(line.len() - 1);
        self.seen = 0;
        Some(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], limit: usize) -> Vec<(u64, Result<Bytes, String>)> {
        let mut lines = Lines::new(text, limit);
        let mut found = Vec::new();
        loop {
            while let Some(line) = lines.ready() {
                let failed = line.is_err();
                found.push((lines.number(), line.map_err(|failure| failure.to_string())));
                if failed {
                    return found;
                }
            }
            if !lines.fill().await.unwrap() {
                return found;
            }
        }
    }

    #[tokio::test]
    async fn lines_keep_their_numbers() {
        let found = lines(b"1\n\n  \r\n[2]\r\n3", 10).await;
        let expected: [(u64, Result<Bytes, String>); 3] = [
            (1, Ok("1".into())),
            (4, Ok("[2]\r".into())),
            (5, Ok("3".into())),
        ];
        assert_eq!(found, expected);
        assert!(lines(b"", 10).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_refused_whether_it_ends_or_not() {
        for (text, accepted) in [
            (&b"1234\n"[..], true),
            (b"12345\n", false),
            (b"1234", true),
            (b"12345", false),
        ] {
            let found = lines(text, 4).await;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].1.is_ok(), accepted, "{text:?}");
        }
    }

    #[test]
    fn data_is_checked_and_its_source_is_named() {
        for (argument, part) in [
            ("{", "--data"),
            ("", "--data"),
            ("@/nonexistent/data.json", "/nonexistent/data.json"),
        ] {
            let failure = data(argument, 100).unwrap_err().to_string();
            assert!(failure.contains(part), "{failure}");
        }
        assert_eq!(
            data("[1]", 100).unwrap().as_json().unwrap().as_ref(),
            b"[1]"
        );
    }
}
