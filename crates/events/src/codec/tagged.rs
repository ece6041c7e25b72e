//! Envelopes: which objects are one, and what they hold.

use std::fmt;

use super::{CLASS_KEY, JsString, Object, PAYLOAD_KEY, TAG_KEY, Value};

/// The longest source of a regular expression that is recognised, in UTF-16 units.
const MAX_SOURCE: usize = 1024;

/// What an envelope stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The value `undefined`.
    Undefined,
    /// An instant.
    Date,
    /// An integer of any size.
    BigInt,
    /// An absolute URL.
    Url,
    /// A regular expression: source and flags.
    RegExp,
    /// Pairs of any values.
    Map,
    /// A list of distinct values.
    Set,
    /// An error.
    Error,
    /// An instance of a class that the receiver may know by name.
    Class,
}

impl Tag {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undefined => "Undefined",
            Self::Date => "Date",
            Self::BigInt => "BigInt",
            Self::Url => "URL",
            Self::RegExp => "RegExp",
            Self::Map => "Map",
            Self::Set => "Set",
            Self::Error => "Error",
            Self::Class => "Class",
        }
    }

    /// The tag whose name is spelled by the raw text of a JSON string.
    pub(super) fn of_raw(raw: &[u8]) -> Option<Self> {
        const ALL: [Tag; 9] = [
            Tag::Date,
            Tag::Undefined,
            Tag::Error,
            Tag::Map,
            Tag::Set,
            Tag::BigInt,
            Tag::Url,
            Tag::RegExp,
            Tag::Class,
        ];
        ALL.into_iter()
            .find(|tag| crate::json::same_key(raw, tag.name()))
    }
}

/// The name on the wire.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An object that is an envelope: its tag is known and its shape fits.
///
/// All members are kept as they came, the meaningless ones too.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged {
    tag: Tag,
    members: Object,
}

impl Tagged {
    /// What the envelope stands for.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The payload, the member `v`. [`Tag::Undefined`] has none; [`Tag::Class`] may lack it.
    #[must_use]
    pub fn payload(&self) -> Option<&Value> {
        self.members.get(PAYLOAD_KEY)
    }

    /// All members of the envelope on the wire.
    #[must_use]
    pub fn members(&self) -> &Object {
        &self.members
    }

    /// The payload of a date, big integer or URL.
    pub(super) fn text(&self) -> Option<&JsString> {
        match self.payload() {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The usual envelope around a payload that fits the tag.
    pub(super) fn around(tag: Tag, payload: Value) -> Value {
        let members = vec![tag_member(tag), (JsString::word(PAYLOAD_KEY), payload)];
        Value::Tagged(Self {
            tag,
            members: members.into(),
        })
    }

    pub(super) fn undefined() -> Value {
        Value::Tagged(Self {
            tag: Tag::Undefined,
            members: vec![tag_member(Tag::Undefined)].into(),
        })
    }

    pub(super) fn class(name: JsString, data: Value) -> Value {
        let members = vec![
            tag_member(Tag::Class),
            (JsString::word(CLASS_KEY), Value::String(name)),
            (JsString::word(PAYLOAD_KEY), data),
        ];
        Value::Tagged(Self {
            tag: Tag::Class,
            members: members.into(),
        })
    }

    /// An envelope if the members make one, otherwise the plain object.
    pub(super) fn recognise(members: Object) -> Value {
        match shape(&members) {
            Some(tag) => Value::Tagged(Self { tag, members }),
            None => Value::Object(members),
        }
    }
}

fn tag_member(tag: Tag) -> (JsString, Value) {
    let name = Value::String(JsString::word(tag.name()));
    (JsString::word(TAG_KEY), name)
}

fn shape(members: &Object) -> Option<Tag> {
    let Some(Value::String(name)) = members.get(TAG_KEY) else {
        return None;
    };
    let tag = Tag::of_raw(name.raw().as_bytes())?;
    let payload = members.get(PAYLOAD_KEY);
    let fits = match tag {
        Tag::Undefined => true,
        Tag::Date | Tag::BigInt | Tag::Url => matches!(payload, Some(Value::String(_))),
        Tag::RegExp => payload.is_some_and(is_regexp),
        Tag::Map => matches!(payload, Some(Value::Array(entries)) if entries.iter().all(is_entry)),
        Tag::Set => matches!(payload, Some(Value::Array(_))),
        Tag::Error => payload.is_some_and(|payload| {
            matches!(
                payload,
                Value::Object(_) | Value::Array(_) | Value::Tagged(_)
            )
        }),
        Tag::Class => matches!(members.get(CLASS_KEY), Some(Value::String(_))),
    };
    fits.then_some(tag)
}

/// An entry that is not an array makes JavaScript throw; here such a map stays an object.
fn is_entry(entry: &Value) -> bool {
    matches!(entry, Value::Array(_))
}

fn is_regexp(payload: &Value) -> bool {
    let Some(members) = payload.members() else {
        return false;
    };
    match (members.get("source"), members.get("flags")) {
        (Some(Value::String(source)), Some(Value::String(flags))) => {
            // Escapes only make the raw text longer, so short ones need no counting.
            let short = source.raw().len() <= MAX_SOURCE || source.utf16_len() <= MAX_SOURCE;
            short && are_flags(&flags.to_string_lossy())
        }
        _ => false,
    }
}

/// A subset of the flags of JavaScript, each at most once.
pub(super) fn are_flags(flags: &str) -> bool {
    flags.char_indices().all(|(at, flag)| {
        "dgimsuvy".contains(flag) && !flags[at + flag.len_utf8()..].contains(flag)
    })
}

/// Whether a source is short enough to be recognised.
pub(super) fn is_source(source: &JsString) -> bool {
    source.utf16_len() <= MAX_SOURCE
}
