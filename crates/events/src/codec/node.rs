//! What must not reach a Node process.

use std::ops::Range;

use memchr::memmem;

use super::bigint;
use super::date;
use super::{CLASS_KEY, CodecError, Hazard, PAYLOAD_KEY, TAG_KEY, Tag, url};
use crate::json::{MAX_DEPTH, ScanError, ScanErrorKind, Scanner, same_key, unescape};

/// Refuses a text that a Node peer of the Unix socket transport would not survive or would drop
/// without a word: a date it cannot read (its broker exits while passing the event on), a big
/// integer inside an error (the same), a big integer, URL or map entry that it cannot decode, an
/// error or a registered class that it cannot build.
///
/// Give it the whole frame, because the codec applies to all of it. The check is on the safe side:
/// dates have to be ISO 8601 although JavaScript reads more, URLs have to be in normal form, and
/// parts that the receiver would ignore are checked too.
///
/// One pass; only the texts of envelopes that are spelled with escapes are copied. A text without a
/// sign of an envelope is not even scanned, so that its JSON syntax goes unchecked.
///
/// # Errors
/// [`CodecError::Hazard`] with the place of the envelope; [`CodecError::Json`] if the scan finds
/// the text malformed.
pub fn check_for_node(text: &[u8]) -> Result<(), CodecError> {
    if !may_hold_envelope(text) {
        return Ok(());
    }
    let mut walk = Walk {
        text,
        scanner: Scanner::new(text),
    };
    walk.scanner.whitespace();
    walk.value(0)?;
    Ok(walk.scanner.end()?)
}

/// Whether the tag occurs, in the clear or possibly with one of its characters escaped.
fn may_hold_envelope(text: &[u8]) -> bool {
    if memmem::find(text, TAG_KEY.as_bytes()).is_some() {
        return true;
    }
    memmem::find_iter(text, b"\\u00").any(|at| {
        let digits = text.get(at + 4..at + 6).unwrap_or_default();
        // The codes of _ m c o d e.
        [b"5f", b"6d", b"63", b"6f", b"64", b"65"]
            .iter()
            .any(|code| digits.eq_ignore_ascii_case(*code))
    })
}

/// What a value is, as far as an enclosing envelope has to know.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Other,
    String,
    Array,
    Object,
    Envelope,
}

#[derive(Clone, Copy, Default)]
struct Found {
    kind: Kind,
    /// A big integer anywhere inside.
    bigint: bool,
    /// An array of arrays only.
    pairs: bool,
    /// An object from which no error can be built.
    bad_error: bool,
    /// An object whose member `data` is a string.
    has_data: bool,
}

/// The members of an object that matter, the last of each name.
#[derive(Default)]
struct Members {
    tag: Option<Range<usize>>,
    class: Option<Range<usize>>,
    payload: Option<(Range<usize>, Found)>,
    message: Found,
    cause: Found,
    data: Found,
    bigint: bool,
}

struct Walk<'a> {
    text: &'a [u8],
    scanner: Scanner<'a>,
}

impl Walk<'_> {
    fn value(&mut self, depth: usize) -> Result<Found, CodecError> {
        match self.scanner.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                Err(ScanError::new(ScanErrorKind::Depth, self.scanner.position()).into())
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            first => {
                self.scanner.scalar()?;
                let kind = if first == Some(b'"') {
                    Kind::String
                } else {
                    Kind::Other
                };
                Ok(Found {
                    kind,
                    ..Found::default()
                })
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Found, CodecError> {
        let mut found = Found {
            kind: Kind::Array,
            pairs: true,
            ..Found::default()
        };
        self.scanner.expect(b'[')?;
        self.scanner.whitespace();
        if self.scanner.take(b']') {
            return Ok(found);
        }
        loop {
            let item = self.value(depth)?;
            found.bigint |= item.bigint;
            found.pairs &= item.kind == Kind::Array;
            self.scanner.whitespace();
            if self.scanner.take(b']') {
                return Ok(found);
            }
            self.scanner.expect(b',')?;
            self.scanner.whitespace();
        }
    }

    fn object(&mut self, depth: usize) -> Result<Found, CodecError> {
        let start = self.scanner.position();
        let mut members = Members::default();
        self.scanner.expect(b'{')?;
        self.scanner.whitespace();
        if !self.scanner.take(b'}') {
            loop {
                let key = self.scanner.key()?;
                let from = self.scanner.position();
                let found = self.value(depth)?;
                let range = from..self.scanner.position();
                members.note(&self.text[key], range, found);
                self.scanner.whitespace();
                if self.scanner.take(b'}') {
                    break;
                }
                self.scanner.expect(b',')?;
                self.scanner.whitespace();
            }
        }
        members
            .judge(self.text)
            .map_err(|hazard| CodecError::Hazard {
                hazard,
                offset: start,
            })
    }
}

impl Members {
    fn note(&mut self, key: &[u8], range: Range<usize>, found: Found) {
        self.bigint |= found.bigint;
        let string = (found.kind == Kind::String).then(|| range.clone());
        if same_key(key, PAYLOAD_KEY) {
            self.payload = Some((range, found));
        } else if same_key(key, TAG_KEY) {
            self.tag = string;
        } else if same_key(key, CLASS_KEY) {
            self.class = string;
        } else if same_key(key, "message") {
            self.message = found;
        } else if same_key(key, "cause") {
            self.cause = found;
        } else if same_key(key, "data") {
            self.data = found;
        }
    }

    fn judge(&self, text: &[u8]) -> Result<Found, Hazard> {
        let tag = self
            .tag
            .as_ref()
            .and_then(|tag| Tag::of_raw(inside(text, tag)));
        let envelope = match tag {
            Some(tag) => self.check(tag, text)?,
            None => false,
        };
        // Building an error turns its message into text, which an object can resist; a cause that
        // is an object may become an error too.
        let composite = matches!(
            self.message.kind,
            Kind::Array | Kind::Object | Kind::Envelope
        );
        Ok(Found {
            kind: if envelope {
                Kind::Envelope
            } else {
                Kind::Object
            },
            bigint: self.bigint || (envelope && tag == Some(Tag::BigInt)),
            pairs: false,
            bad_error: composite || self.cause.bad_error,
            has_data: self.data.kind == Kind::String,
        })
    }

    /// Whether the object is an envelope with this tag, and a harmless one.
    fn check(&self, tag: Tag, text: &[u8]) -> Result<bool, Hazard> {
        let (range, found) = self.payload.clone().unwrap_or_default();
        let string = found.kind == Kind::String;
        let readable = |read: fn(&str) -> bool| {
            unescape(inside(text, &range)).is_ok_and(|payload| read(&payload))
        };
        let (fits, hazard) = match tag {
            Tag::Undefined => (true, None),
            Tag::RegExp | Tag::Set => (found.kind != Kind::Other, None),
            Tag::Date if string => (
                true,
                (!readable(date::is_date_text)).then_some(Hazard::Date),
            ),
            Tag::BigInt if string => (
                true,
                (!readable(bigint::is_readable)).then_some(Hazard::BigInt),
            ),
            Tag::Url if string => (true, (!readable(url::is_absolute)).then_some(Hazard::Url)),
            Tag::Date | Tag::BigInt | Tag::Url => (false, None),
            Tag::Map => {
                let array = found.kind == Kind::Array;
                (array, (array && !found.pairs).then_some(Hazard::MapEntry))
            }
            Tag::Error => match found.kind {
                Kind::Object | Kind::Array if found.bigint => (true, Some(Hazard::BigIntInError)),
                Kind::Object | Kind::Array => {
                    (true, found.bad_error.then_some(Hazard::ErrorPayload))
                }
                Kind::Envelope => (true, Some(Hazard::ErrorPayload)),
                _ => (false, None),
            },
            Tag::Class => match &self.class {
                Some(name) => (true, class_hazard(inside(text, name), found)),
                None => (false, None),
            },
        };
        hazard.map_or(Ok(fits), Err)
    }
}

/// The classes that every Node process of the framework knows, and what they are built from.
fn class_hazard(name: &[u8], data: Found) -> Option<Hazard> {
    let file = ["DefaultGeneratedFile", "DefaultGeneratedFileWithType"];
    let fits = if file.into_iter().any(|class| same_key(name, class)) {
        data.kind == Kind::Object && data.has_data
    } else if same_key(name, "DefaultStepResult") {
        data.kind == Kind::Object
    } else {
        true
    };
    (!fits).then_some(Hazard::ClassData)
}

/// The text between the quotes of a string.
fn inside<'a>(text: &'a [u8], string: &Range<usize>) -> &'a [u8] {
    text.get(string.start + 1..string.end.saturating_sub(1))
        .unwrap_or_default()
}
