//! Where the members of an object lie.

use std::ops::Range;

use super::{ScanError, Scanner};

/// Reports every member of the object at the top of `text`, in order of appearance, in the same
/// pass that validates the whole text.
///
/// `visit` gets the raw text of the key between its quotes (compare it with
/// [`same_key`](super::same_key), it may hold escapes) and the byte range of the value in `text`.
/// Duplicate members are all reported; JavaScript lets the last one win.
///
/// Members are reported as they are found: after an error, forget what was visited.
///
/// # Errors
/// A [`ScanError`] if `text` is not one JSON text or its value is not an object.
pub fn members(text: &[u8], visit: impl FnMut(&[u8], Range<usize>)) -> Result<(), ScanError> {
    struct Flat<F>(F);
    impl<F: FnMut(&[u8], Range<usize>)> MemberVisitor for Flat<F> {
        fn member(&mut self, key: &[u8], value: Range<usize>) {
            (self.0)(key, value);
        }
    }
    members_nested(text, &mut Flat(visit))
}

/// Receives the members of an object and of chosen objects inside it; see [`members_nested`].
///
/// Keys are the raw text between the quotes, ranges are byte ranges of the whole text.
pub trait MemberVisitor {
    /// A top-level member begins. Answer true to have its own members reported through
    /// [`inner`](Self::inner), provided its value is an object.
    ///
    /// Called before every top-level member, so a duplicate is announced here: drop what was
    /// gathered from the earlier one.
    fn descend(&mut self, key: &[u8]) -> bool {
        let _ = key;
        false
    }

    /// A member of the value of the top-level member announced last.
    fn inner(&mut self, key: &[u8], value: Range<usize>) {
        let _ = (key, value);
    }

    /// A top-level member is complete, its inner members included.
    fn member(&mut self, key: &[u8], value: Range<usize>);
}

/// Like [`members`], and one level deeper for the members the visitor chooses, still in one pass.
///
/// For each top-level member, in order: `descend(key)`, then `inner` for each member of its value
/// if that was asked for and the value is an object, then `member(key, range)`.
///
/// ```
/// use std::ops::Range;
/// use bowline_events::json::{self, MemberVisitor};
///
/// #[derive(Default)]
/// struct Frame { topic: Option<Range<usize>>, event: Option<Range<usize>>, id: Option<Range<usize>> }
///
/// impl MemberVisitor for Frame {
///     fn descend(&mut self, key: &[u8]) -> bool {
///         let event = json::same_key(key, "event");
///         if event {
///             self.id = None;
///         }
///         event
///     }
///     fn inner(&mut self, key: &[u8], value: Range<usize>) {
///         if json::same_key(key, "id") {
///             self.id = Some(value);
///         }
///     }
///     fn member(&mut self, key: &[u8], value: Range<usize>) {
///         match key {
///             b"topic" => self.topic = Some(value),
///             b"event" => self.event = Some(value),
///             _ => {}
///         }
///     }
/// }
///
/// let text = br#"{"type":"publish","topic":"t","event":{"id":"7","data":[1]}}"#;
/// let mut frame = Frame::default();
/// json::members_nested(text, &mut frame)?;
/// assert_eq!(&text[frame.event.unwrap()], br#"{"id":"7","data":[1]}"#);
/// assert_eq!(&text[frame.id.unwrap()], br#""7""#);
/// # Ok::<(), json::ScanError>(())
/// ```
///
/// # Errors
/// A [`ScanError`] if `text` is not one JSON text or its value is not an object.
pub fn members_nested(text: &[u8], visitor: &mut impl MemberVisitor) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    scanner.whitespace();
    object(&mut scanner, |scanner, key| {
        let key = &text[key];
        let start = scanner.position();
        if visitor.descend(key) && scanner.peek() == Some(b'{') {
            object(scanner, |scanner, key| {
                let start = scanner.position();
                scanner.value(2)?;
                visitor.inner(&text[key], start..scanner.position());
                Ok(())
            })?;
        } else {
            scanner.value(1)?;
        }
        visitor.member(key, start..scanner.position());
        Ok(())
    })?;
    scanner.end()
}

/// One object at the cursor; `member` has to pass the value of each key.
#[inline]
fn object<'a>(
    scanner: &mut Scanner<'a>,
    mut member: impl FnMut(&mut Scanner<'a>, Range<usize>) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    scanner.expect(b'{')?;
    scanner.whitespace();
    if scanner.take(b'}') {
        return Ok(());
    }
    loop {
        let key = scanner.key()?;
        member(scanner, key)?;
        scanner.whitespace();
        if scanner.take(b'}') {
            return Ok(());
        }
        scanner.expect(b',')?;
        scanner.whitespace();
    }
}
