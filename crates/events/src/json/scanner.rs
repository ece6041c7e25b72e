//! The cursor over a JSON text.

use std::ops::Range;

use super::{MAX_DEPTH, ScanError, ScanErrorKind, plain_run};

/// A cursor that checks the grammar as it moves. After an error its position has no meaning.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// Which containers are open: one bit per level, set for an object.
struct Levels {
    objects: u128,
    depth: usize,
}

const _: () = assert!(MAX_DEPTH <= u128::BITS as usize);

impl Levels {
    fn push(&mut self, object: bool) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        self.objects = (self.objects << 1) | u128::from(object);
        self.depth += 1;
        true
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The error for the byte at the cursor, or for the missing one.
    #[cold]
    pub(crate) fn unexpected(&self) -> ScanError {
        let kind = if self.at < self.text.len() {
            ScanErrorKind::Syntax
        } else {
            ScanErrorKind::Eof
        };
        ScanError::new(kind, self.at)
    }

    /// Takes `byte` if it comes next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, which has to come next.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Only whitespace may remain.
    pub(crate) fn end(&mut self) -> Result<(), ScanError> {
        self.whitespace();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(ScanError::new(ScanErrorKind::Trailing, self.at))
        }
    }

    /// Passes one value that starts at the cursor, inside `outer` open containers. Containers are
    /// tracked in a bit set, so hostile nesting costs no stack.
    pub(crate) fn value(&mut self, outer: usize) -> Result<(), ScanError> {
        let mut levels = Levels {
            objects: 0,
            depth: outer,
        };
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if self.open(open, &mut levels)? {
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            if self.close(&mut levels, outer)? {
                return Ok(());
            }
        }
    }

    /// Enters a container and stops at its first value; false when it is empty and already left.
    #[inline]
    fn open(&mut self, open: u8, levels: &mut Levels) -> Result<bool, ScanError> {
        let object = open == b'{';
        if !levels.push(object) {
            return Err(ScanError::new(ScanErrorKind::Depth, self.at));
        }
        self.at += 1;
        self.whitespace();
        let close = if object { b'}' } else { b']' };
        if self.take(close) {
            levels.pop();
            return Ok(false);
        }
        if object {
            self.key()?;
        }
        Ok(true)
    }

    /// After a value: leaves every container that ends here. True when the outermost value is
    /// complete, false when another value follows at the cursor.
    #[inline]
    fn close(&mut self, levels: &mut Levels, outer: usize) -> Result<bool, ScanError> {
        while levels.depth > outer {
            self.whitespace();
            let object = levels.in_object();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.whitespace();
                    if object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                Some(b'}') if object => self.at += 1,
                Some(b']') if !object => self.at += 1,
                _ => return Err(self.unexpected()),
            }
            levels.pop();
        }
        Ok(true)
    }

    /// A member's key up to and including the colon and the whitespace after it; gives the range
    /// between the quotes.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Range<usize>, ScanError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let key = self.string()?;
        self.whitespace();
        self.expect(b':')?;
        self.whitespace();
        Ok(key)
    }

    /// A string, number or literal.
    #[inline]
    pub(crate) fn scalar(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.unexpected()),
        }
    }

    /// A string whose opening quote is at the cursor; gives the range between the quotes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Range<usize>, ScanError> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_run(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.unexpected());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected()),
        }
        Ok(())
    }

    pub(crate) fn number(&mut self) -> Result<(), ScanError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected());
        }
        Ok(())
    }

    pub(crate) fn literal(&mut self, word: &[u8]) -> Result<(), ScanError> {
        for &byte in word {
            self.expect(byte)?;
        }
        Ok(())
    }
}
