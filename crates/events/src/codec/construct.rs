//! Building values.

use super::bigint;
use super::date;
use super::tagged::{are_flags, is_source};
use super::{CodecError, ErrorValue, JsString, Number, Object, Tag, Tagged, Value, url};

/// Values that JSON lacks.
impl Value {
    /// `undefined`.
    #[must_use]
    pub fn undefined() -> Self {
        Tagged::undefined()
    }

    /// The instant `millis` milliseconds after the Unix epoch.
    ///
    /// # Errors
    /// [`CodecError::Invalid`] beyond [`date::MAX_MILLIS`].
    pub fn date(millis: i64) -> Result<Self, CodecError> {
        if !(-date::MAX_MILLIS..=date::MAX_MILLIS).contains(&millis) {
            return Err(CodecError::invalid(Tag::Date, &millis.to_string()));
        }
        Ok(Self::around(Tag::Date, &date::format_iso(millis)))
    }

    /// An integer of any size, in the form `-?[0-9]+`.
    ///
    /// # Errors
    /// [`CodecError::Invalid`] for any other form.
    pub fn bigint(digits: &str) -> Result<Self, CodecError> {
        if !bigint::is_sendable(digits) {
            return Err(CodecError::invalid(Tag::BigInt, digits));
        }
        Ok(Self::around(Tag::BigInt, digits))
    }

    /// An absolute URL. It is kept as given; the check is stricter than `new URL`: hosts have to be
    /// in ASCII and slashes in place.
    ///
    /// # Errors
    /// [`CodecError::Invalid`] for a text that is not certainly an absolute URL.
    pub fn url(href: &str) -> Result<Self, CodecError> {
        if !url::is_absolute(href) {
            return Err(CodecError::invalid(Tag::Url, href));
        }
        Ok(Self::around(Tag::Url, href))
    }

    /// A regular expression. Its source is not compiled: JavaScript turns one that it cannot read
    /// into the empty expression.
    ///
    /// # Errors
    /// [`CodecError::Invalid`] if the source is longer than 1024 UTF-16 units or the flags are not
    /// among `dgimsuvy`, each at most once: receivers take such an envelope for plain data.
    pub fn regexp(source: &str, flags: &str) -> Result<Self, CodecError> {
        let source = JsString::from(source);
        if !is_source(&source) {
            return Err(CodecError::invalid(Tag::RegExp, source.raw()));
        }
        if !are_flags(flags) {
            return Err(CodecError::invalid(Tag::RegExp, flags));
        }
        let payload = vec![
            (JsString::word("source"), Self::String(source)),
            (JsString::word("flags"), Self::from(flags)),
        ];
        Ok(Tagged::around(Tag::RegExp, Self::Object(payload.into())))
    }

    /// A map. Keys may be any values; of equal keys JavaScript keeps the last value.
    #[must_use]
    pub fn map(entries: impl IntoIterator<Item = (Self, Self)>) -> Self {
        let entries = entries
            .into_iter()
            .map(|(key, value)| Self::Array(vec![key, value]));
        Tagged::around(Tag::Map, Self::Array(entries.collect()))
    }

    /// A set.
    #[must_use]
    pub fn set(items: impl IntoIterator<Item = Self>) -> Self {
        Tagged::around(Tag::Set, Self::Array(items.into_iter().collect()))
    }

    /// An instance of a registered class. A receiver that does not know the name sees the data.
    #[must_use]
    pub fn class(name: &str, data: Self) -> Self {
        Tagged::class(name.into(), data)
    }

    /// An error.
    ///
    /// # Errors
    /// [`CodecError::NotPlain`], [`CodecError::ReservedField`] and [`CodecError::TooManyCauses`]:
    /// see [`ErrorValue`].
    pub fn error(error: ErrorValue) -> Result<Self, CodecError> {
        Ok(Tagged::around(Tag::Error, Self::Object(error.payload()?)))
    }

    fn around(tag: Tag, text: &str) -> Self {
        Tagged::around(tag, Self::from(text))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

/// `null` for NaN and the infinities, as in JavaScript.
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Number::from_f64(value).map_or(Self::Null, Self::Number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<Object> for Value {
    fn from(members: Object) -> Self {
        Self::Object(members)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items)
    }
}
