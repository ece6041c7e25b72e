//! The lossless tree.

use std::borrow::Cow;

use super::bigint;
use super::date;
use super::{CLASS_KEY, CodecError, ErrorRef, JsString, Number, Tag, Tagged, url};

/// Any value of the wire.
///
/// Equality is by content: strings by what they stand for, numbers by their spelling, members in
/// their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as spelled.
    Number(Number),
    /// A string.
    String(JsString),
    /// An array.
    Array(Vec<Value>),
    /// An object that is not an envelope. A member `__m_codec__` put in here by hand may make it one
    /// in the eyes of the receiver: the codec has no way to escape it.
    Object(Object),
    /// What JSON lacks: dates, maps, errors and so on.
    Tagged(Tagged),
}

/// The members of an object in their order, duplicates included.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(JsString, Value)>);

impl Object {
    /// The member with this name; of duplicates the last, as in JavaScript. The name `__proto__`
    /// is never found: Node drops such a member when it reads it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        if name == "__proto__" {
            return None;
        }
        let member = self.0.iter().rev().find(|(key, _)| *key == name);
        member.map(|(_, value)| value)
    }

    /// All members in order, as they stand on the wire.
    pub fn iter(&self) -> std::slice::Iter<'_, (JsString, Value)> {
        self.0.iter()
    }

    /// How many members there are, duplicates included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a member at the end.
    pub fn push(&mut self, key: impl Into<JsString>, value: Value) {
        self.0.push((key.into(), value));
    }
}

impl From<Vec<(JsString, Value)>> for Object {
    fn from(members: Vec<(JsString, Value)>) -> Self {
        Self(members)
    }
}

impl FromIterator<(JsString, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (JsString, Value)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (JsString, Value);
    type IntoIter = std::slice::Iter<'a, (JsString, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Reading.
impl Value {
    /// The member of an object with this name; see [`Object::get`]. None for anything else,
    /// envelopes included.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// The tag, if this is an envelope.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Tagged(tagged) => Some(tagged.tag()),
            _ => None,
        }
    }

    /// Whether this is `undefined`. As a member it means: treat as absent.
    #[must_use]
    pub fn is_undefined(&self) -> bool {
        self.tag() == Some(Tag::Undefined)
    }

    /// The string, lossy for lone surrogates.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::String(text) => Some(text.to_string_lossy()),
            _ => None,
        }
    }

    /// The instant of a date, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`CodecError::NotA`] for another kind of value, [`CodecError::Invalid`] if the text is not
    /// what [`date::parse_iso`] reads.
    pub fn as_date_millis(&self) -> Result<i64, CodecError> {
        let text = self.text_of(Tag::Date)?;
        date::parse_iso(&text).ok_or_else(|| CodecError::invalid(Tag::Date, &text))
    }

    /// The decimal digits of a big integer, without leading zeros.
    ///
    /// # Errors
    /// [`CodecError::NotA`] for another kind of value, [`CodecError::Invalid`] if JavaScript would
    /// not read the text, or if it is written in another base and does not fit 128 bits.
    pub fn as_bigint(&self) -> Result<String, CodecError> {
        let text = self.text_of(Tag::BigInt)?;
        bigint::decimal(&text)
            .map(Cow::into_owned)
            .ok_or_else(|| CodecError::invalid(Tag::BigInt, &text))
    }

    /// The text of a URL.
    ///
    /// # Errors
    /// [`CodecError::NotA`] for another kind of value, [`CodecError::Invalid`] if it is not
    /// certainly an absolute URL.
    pub fn as_url(&self) -> Result<Cow<'_, str>, CodecError> {
        let text = self.text_of(Tag::Url)?;
        if !url::is_absolute(&text) {
            return Err(CodecError::invalid(Tag::Url, &text));
        }
        Ok(text)
    }

    /// The source and the flags of a regular expression.
    #[must_use]
    pub fn as_regexp(&self) -> Option<(&JsString, &JsString)> {
        let members = self.payload_of(Tag::RegExp)?.members()?;
        match (members.get("source")?, members.get("flags")?) {
            (Self::String(source), Self::String(flags)) => Some((source, flags)),
            _ => None,
        }
    }

    /// The entries of a map, duplicates included. A value is None where the entry has a key only,
    /// and so is the key of an empty entry: `undefined` in JavaScript.
    #[must_use]
    pub fn as_map(&self) -> Option<impl Iterator<Item = (Option<&Self>, Option<&Self>)>> {
        let Self::Array(entries) = self.payload_of(Tag::Map)? else {
            return None;
        };
        Some(entries.iter().map(|entry| match entry {
            Self::Array(pair) => (pair.first(), pair.get(1)),
            _ => (None, None),
        }))
    }

    /// The items of a set.
    #[must_use]
    pub fn as_set(&self) -> Option<&[Self]> {
        match self.payload_of(Tag::Set)? {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The error in an envelope.
    #[must_use]
    pub fn as_error(&self) -> Option<ErrorRef<'_>> {
        self.payload_of(Tag::Error).map(ErrorRef::new)
    }

    /// The class name and the data of an instance.
    #[must_use]
    pub fn as_class(&self) -> Option<(&JsString, Option<&Self>)> {
        match self {
            Self::Tagged(tagged) if tagged.tag() == Tag::Class => {
                match tagged.members().get(CLASS_KEY)? {
                    Self::String(name) => Some((name, tagged.payload())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The members on the wire, of an envelope too.
    pub(super) fn members(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            Self::Tagged(tagged) => Some(tagged.members()),
            _ => None,
        }
    }

    fn payload_of(&self, tag: Tag) -> Option<&Self> {
        match self {
            Self::Tagged(tagged) if tagged.tag() == tag => tagged.payload(),
            _ => None,
        }
    }

    fn text_of(&self, tag: Tag) -> Result<Cow<'_, str>, CodecError> {
        self.payload_of(tag)
            .and_then(Self::as_str)
            .ok_or(CodecError::NotA { tag })
    }
}
