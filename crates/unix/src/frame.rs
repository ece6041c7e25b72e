//! The frames: one JSON object per line, read in one pass without interpreting event data.

use std::borrow::Cow;
use std::ops::Range;

use bowline_events::json::{self, MemberVisitor, ScanError};
use memchr::memchr;

/// How the reference writes a member that is not there.
const UNDEFINED: &[u8] = br#"{"__m_codec__":"Undefined"}"#;

/// What a frame asks or tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Subscribe,
    Unsubscribe,
    Publish,
    Subscribed,
    Unsubscribed,
    Event,
    /// Ours: which topics does the broker know; also the end of the answer.
    Topics,
    /// Ours: one row of that answer.
    Listed,
}

impl Kind {
    /// The value of the member `type`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Publish => "publish",
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::Event => "event",
            Self::Topics => "topics",
            Self::Listed => "listed",
        }
    }

    fn of(raw: &[u8]) -> Option<Self> {
        const ALL: [Kind; 8] = [
            Kind::Event,
            Kind::Publish,
            Kind::Subscribe,
            Kind::Unsubscribe,
            Kind::Subscribed,
            Kind::Unsubscribed,
            Kind::Topics,
            Kind::Listed,
        ];
        ALL.into_iter()
            .find(|kind| json::same_key(raw, kind.name()))
    }
}

/// A string member as it stands in the line, between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawText<'a>(pub(crate) &'a [u8]);

impl<'a> RawText<'a> {
    /// The string; unpaired surrogates become U+FFFD.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        // The scanner accepted the string before, so this cannot fail; an empty text is the harmless answer.
        json::unescape(self.0).unwrap_or_default()
    }
}

/// A frame that follows the rules for its kind.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) topic: RawText<'a>,
    /// `None` without a group; the empty string is a group.
    pub(crate) group: Option<RawText<'a>>,
    pub(crate) local_only: bool,
    pub(crate) event: EventParts,
}

/// Why a line is not a frame that we act upon. None of these closes the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// Not a JSON object.
    Malformed(ScanError),
    /// A kind of frame that we do not know: a newer peer.
    UnknownKind,
    /// A member that does not have the type that its kind of frame needs.
    BadMember(&'static str),
}

/// Where the members of `event` lie in the line.
#[derive(Debug, Default)]
pub(crate) struct EventParts {
    /// The whole object; empty when there is no event.
    pub(crate) object: Range<usize>,
    /// What is between its braces, trimmed.
    pub(crate) body: Range<usize>,
    pub(crate) event_type: Option<Range<usize>>,
    pub(crate) run_id: Option<Range<usize>>,
    pub(crate) data: Option<Range<usize>>,
    pub(crate) id: Option<Range<usize>>,
    pub(crate) created_at: Option<Range<usize>>,
    pub(crate) delivery_attempt: Option<Range<usize>>,
    pub(crate) index: Option<Range<usize>>,
    pub(crate) generation: Option<Range<usize>>,
    pub(crate) extra: Vec<(String, Range<usize>)>,
}

impl EventParts {
    /// Whether the publisher wrote members that the broker overwrites.
    pub(crate) fn is_stamped(&self) -> bool {
        self.id.is_some() || self.created_at.is_some() || self.delivery_attempt.is_some()
    }
}

#[derive(Default)]
struct Reader {
    kind: Option<Range<usize>>,
    topic: Option<Range<usize>>,
    group: Option<Range<usize>>,
    local_only: Option<Range<usize>>,
    event: Option<Range<usize>>,
    parts: EventParts,
    /// The event is an envelope of the codec.
    tagged: bool,
}

/// A key as it is meant, whatever escapes it is written with.
pub(crate) fn plain_key(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    match json::unescape(raw) {
        Ok(key) => Cow::Owned(key.into_owned().into_bytes()),
        Err(_) => Cow::Borrowed(raw),
    }
}

impl MemberVisitor for Reader {
    fn descend(&mut self, key: &[u8]) -> bool {
        let event = json::same_key(key, "event");
        if event {
            self.parts = EventParts::default();
            self.tagged = false;
        }
        event
    }

    fn inner(&mut self, key: &[u8], value: Range<usize>) {
        let parts = &mut self.parts;
        let slot = match &*plain_key(key) {
            b"type" => &mut parts.event_type,
            b"runId" => &mut parts.run_id,
            b"data" => &mut parts.data,
            b"id" => &mut parts.id,
            b"createdAt" => &mut parts.created_at,
            b"deliveryAttempt" => &mut parts.delivery_attempt,
            b"index" => &mut parts.index,
            b"logGeneration" => &mut parts.generation,
            b"__m_codec__" => {
                self.tagged = true;
                return;
            }
            b"__proto__" => return,
            other => {
                let name = String::from_utf8_lossy(other).into_owned();
                parts.extra.retain(|(earlier, _)| *earlier != name);
                parts.extra.push((name, value));
                return;
            }
        };
        *slot = Some(value);
    }

    fn member(&mut self, key: &[u8], value: Range<usize>) {
        let slot = match &*plain_key(key) {
            b"type" => &mut self.kind,
            b"topic" => &mut self.topic,
            b"group" => &mut self.group,
            b"localOnly" => &mut self.local_only,
            b"event" => &mut self.event,
            _ => return,
        };
        *slot = Some(value);
    }
}

impl<'a> Frame<'a> {
    /// Reads one line. Ranges in the result count from the start of `line`.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, Ignored> {
        let mut reader = Reader::default();
        json::members_nested(line, &mut reader).map_err(Ignored::Malformed)?;
        let kind = reader
            .kind
            .and_then(|range| Kind::of(string(&line[range])?))
            .ok_or(Ignored::UnknownKind)?;
        let topic = reader
            .topic
            .and_then(|range| string(&line[range]))
            .ok_or(Ignored::BadMember("topic"))?;
        let group = match reader.group.map(|range| &line[range]) {
            None => None,
            Some(value) if is_absent(value) => None,
            Some(value) => Some(RawText(string(value).ok_or(Ignored::BadMember("group"))?)),
        };
        let mut event = reader.parts;
        let text = reader.event.unwrap_or_default();
        let absent = reader.tagged && is_absent(&line[text.clone()]);
        if line[text.clone()].first() == Some(&b'{') && !absent {
            if reader.tagged {
                return Err(Ignored::BadMember("event"));
            }
            event.object = text.clone();
            event.body = trim(line, text.start + 1..text.end - 1);
        } else {
            event = EventParts::default();
        }
        Ok(Self {
            kind,
            topic: RawText(topic),
            group,
            local_only: reader
                .local_only
                .is_some_and(|range| line[range] == *b"true"),
            event,
        })
    }
}

fn trim(line: &[u8], range: Range<usize>) -> Range<usize> {
    let text = &line[range.clone()];
    let front = text.len() - text.trim_ascii_start().len();
    let back = text.len() - text.trim_ascii_end().len();
    if front == text.len() {
        return range.start..range.start;
    }
    range.start + front..range.end - back
}

/// What is between the quotes of a string value.
pub(crate) fn string(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Whether a value stands for a member that is not there: `null`, or the `Undefined` envelope.
pub(crate) fn is_absent(value: &[u8]) -> bool {
    value == b"null" || is_undefined(value)
}

/// Whether a value is the `Undefined` envelope.
pub(crate) fn is_undefined(value: &[u8]) -> bool {
    if value == UNDEFINED {
        return true;
    }
    // Nobody writes it longer than this, whatever whitespace is put in.
    if value.first() != Some(&b'{') || value.len() > 64 {
        return false;
    }
    let mut undefined = false;
    let scanned = json::members(value, |key, range| {
        if json::same_key(key, "__m_codec__") {
            undefined = string(&value[range]).is_some_and(|tag| json::same_key(tag, "Undefined"));
        }
    });
    scanned.is_ok() && undefined
}

/// Appends a membership frame with its newline. A missing group is left out, which every generation of peers accepts.
pub(crate) fn write_membership(kind: Kind, topic: &str, group: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.name().as_bytes());
    out.extend_from_slice(b"\",\"topic\":");
    json::escape_into(topic, out);
    if let Some(group) = group {
        out.extend_from_slice(b",\"group\":");
        json::escape_into(group, out);
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn group_is_absent_null_undefined_or_a_name() {
        let table: [(&str, Result<Option<&str>, ()>); 8] = [
            ("", Ok(None)),
            (r#","group":null"#, Ok(None)),
            (r#","group":{"__m_codec__":"Undefined"}"#, Ok(None)),
            (r#","group": { "__m_codec__" : "Undefined" } "#, Ok(None)),
            (r#","group":"""#, Ok(Some(""))),
            (r#","group":"g\u0041""#, Ok(Some("gA"))),
            (r#","group":1"#, Err(())),
            (r#","group":{"a":1}"#, Err(())),
        ];
        for (member, expected) in table {
            let line = format!(r#"{{"type":"subscribe","topic":"t"{member}}}"#);
            let found = Frame::parse(line.as_bytes());
            let group = found
                .as_ref()
                .map(|frame| frame.group.map(RawText::decode))
                .map_err(|_| ());
            assert_eq!(group, expected.map(|group| group.map(Cow::from)), "{line}");
        }
    }

    #[test]
    fn what_is_no_frame_is_told_apart() {
        let kinds = [
            (r#"{"type":"ping"}"#, Ignored::UnknownKind),
            (r#"{"topic":"t"}"#, Ignored::UnknownKind),
            (r#"{"type":"subscribe"}"#, Ignored::BadMember("topic")),
            (
                r#"{"type":"subscribe","topic":7}"#,
                Ignored::BadMember("topic"),
            ),
            (
                r#"{"type":"publish","topic":"t","event":{"__m_codec__":"Map","v":[]}}"#,
                Ignored::BadMember("event"),
            ),
        ];
        for (line, expected) in kinds {
            assert_eq!(
                Frame::parse(line.as_bytes()).err(),
                Some(expected),
                "{line}"
            );
        }
        for line in ["", "null", "[]", r#"{"type":"#, "\u{feff}{}"] {
            assert!(
                matches!(Frame::parse(line.as_bytes()), Err(Ignored::Malformed(_))),
                "{line:?}"
            );
        }
    }

    #[test]
    fn the_last_of_duplicate_members_wins() {
        let line = br#"{"type":"publish","topic":"a","event":{"id":1,"data":1},"topic":"b","event":{"data":2,"d\u0061ta":3}}"#;
        let frame = Frame::parse(line).unwrap();
        assert_eq!(frame.topic.decode(), "b");
        assert_eq!(&line[frame.event.data.unwrap()], b"3");
        assert!(frame.event.id.is_none());
    }

    #[test]
    fn an_event_that_is_no_object_is_an_empty_event() {
        for event in [
            "",
            r#","event":null"#,
            r#","event":{"__m_codec__":"Undefined"}"#,
            r#","event":{ }"#,
        ] {
            let line = format!(r#"{{"type":"publish","topic":"t"{event}}}"#);
            let frame = Frame::parse(line.as_bytes()).unwrap();
            assert!(frame.event.body.is_empty(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::parse(&line);
        }

        #[test]
        fn a_membership_frame_reads_back(topic in any::<String>(), group in proptest::option::of(any::<String>())) {
            let mut line = Vec::new();
            write_membership(Kind::Subscribe, &topic, group.as_deref(), &mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(memchr(b'\n', &line).is_none());
            let frame = Frame::parse(&line).unwrap();
            prop_assert_eq!(frame.topic.decode(), topic);
            prop_assert_eq!(frame.group.map(|group| group.decode().into_owned()), group);
        }
    }
}
