//! Instants as ISO dates, for `serde(with)`.

use bowline_events::codec::date;
use bowline_events::{Text, Timestamp};
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&date::format_iso(at.as_millis()))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = Text::deserialize(from)?;
    let millis = date::parse_iso(&text);
    let millis = millis.ok_or_else(|| D::Error::custom(format_args!("no date: {text}")))?;
    Ok(Timestamp::from_millis(millis))
}

/// Instants that may be missing.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    pub(in super::super) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::serialize(at, to),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        #[derive(Deserialize)]
        struct Date(#[serde(with = "super")] Timestamp);
        Ok(Option::<Date>::deserialize(from)?.map(|it| it.0))
    }
}
