//! Splits a byte stream into lines without copying them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memrchr};

/// Room that is made for one read.
const READ: usize = 128 * 1024;

/// Gathers what is read until lines are complete.
#[derive(Debug)]
pub(crate) struct LineBuffer {
    buffer: BytesMut,
    /// Bytes at the front that are known to hold no newline.
    scanned: usize,
    limit: usize,
}

/// What [`LineBuffer::take`] found.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Complete lines, each with its newline.
    pub(crate) block: Option<Bytes>,
    /// The line that follows them is longer than the limit already.
    pub(crate) too_long: bool,
}

impl LineBuffer {
    /// A buffer for lines of up to `limit` bytes, the newline not counted.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
        }
    }

    /// Where to read to; has room.
    pub(crate) fn space(&mut self) -> &mut BytesMut {
        let held = self.buffer.len();
        if self.buffer.capacity() - held < READ / 4 {
            // Doubling keeps a long line from being copied again and again.
            self.buffer.reserve(READ.max(held));
        }
        &mut self.buffer
    }

    /// Takes all complete lines.
    pub(crate) fn take(&mut self) -> Taken {
        let Some(last) = memrchr(b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return Taken {
                block: None,
                too_long: self.scanned > self.limit,
            };
        };
        let block = self.buffer.split_to(self.scanned + last + 1).freeze();
        self.scanned = self.buffer.len();
        Taken {
            block: Some(block),
            too_long: self.scanned > self.limit,
        }
    }
}

/// The lines of `block`, without their newlines.
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = memchr(b'\n', &block[at..])?;
        let line = at..at + length;
        at = line.end + 1;
        Some(line)
    })
}

/// Whether there is nothing but whitespace.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c'))
}

/// The block with bytes that are not UTF-8 replaced by U+FFFD; itself when there are none.
pub(crate) fn utf8_block(block: Bytes) -> Bytes {
    match std::str::from_utf8(&block) {
        Ok(_) => block,
        Err(_) => Bytes::from(String::from_utf8_lossy(&block).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, bool) {
        let mut buffer = LineBuffer::new(limit);
        let mut found = Vec::new();
        for chunk in chunks {
            buffer.space().extend_from_slice(chunk);
            let taken = buffer.take();
            if let Some(block) = taken.block {
                for line in lines(&block) {
                    if line.len() > limit {
                        return (found, true);
                    }
                    found.push(block[line].to_vec());
                }
            }
            if taken.too_long {
                return (found, true);
            }
        }
        (found, false)
    }

    #[test]
    fn the_limit_counts_a_line_without_its_newline() {
        let line = [b'x'; 10];
        let terminated = [&line[..], b"\n"].concat();
        assert_eq!(split(&[&terminated], 10), (vec![line.to_vec()], false));
        assert_eq!(split(&[&line], 10), (vec![], false));
        assert_eq!(split(&[&terminated], 9), (vec![], true));
        assert_eq!(split(&[&line], 9), (vec![], true));
    }

    #[test]
    fn lines_before_an_overlong_one_are_still_given() {
        let (found, too_long) = split(&[b"a\nb\nccccc"], 4);
        assert_eq!(found, [b"a", b"b"]);
        assert!(too_long);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let block = Bytes::from_static(b"a\xffb\n");
        assert_eq!(utf8_block(block), "a\u{fffd}b\n".as_bytes());
    }

    proptest! {
        #[test]
        fn the_way_of_chunking_does_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(1usize..9, 0..80),
        ) {
            let whole: Vec<Vec<u8>> = {
                let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                lines.pop();
                lines
            };
            let mut chunks = Vec::new();
            let mut rest = &text[..];
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(split(&chunks, usize::MAX), (whole, false));
        }
    }
}
