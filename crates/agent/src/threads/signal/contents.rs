//! What a signal says: a text, or texts and files.

use bowline_events::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Data;
use crate::message::{Extra, Part};

/// What a signal says.
#[derive(Debug, Clone, PartialEq)]
pub enum Contents {
    /// A text.
    Text(String),
    /// Texts and files.
    Parts(Vec<SignalPart>),
}

/// A text or a file in a signal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SignalPart {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// What only one provider understands.
        provider_options: Option<Data>,
    },
    /// A file.
    File {
        /// A URL, or the content in base 64.
        data: Text,
        /// Its media type.
        media_type: Text,
        /// Its name.
        filename: Option<Text>,
        /// What only one provider understands.
        provider_options: Option<Data>,
    },
}

impl From<&str> for Contents {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Contents {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<SignalPart>> for Contents {
    fn from(parts: Vec<SignalPart>) -> Self {
        Self::Parts(parts)
    }
}

impl SignalPart {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            provider_options: None,
        }
    }

    /// A file: a URL, or content in base 64.
    pub fn file(data: impl Into<Text>, media_type: impl Into<Text>) -> Self {
        Self::File {
            data: data.into(),
            media_type: media_type.into(),
            filename: None,
            provider_options: None,
        }
    }

    fn stored(&self) -> Part {
        match self {
            Self::Text {
                text,
                provider_options,
            } => Part::Text {
                text: text.clone(),
                metadata: provider_options.clone(),
                extra: Extra::default(),
            },
            Self::File {
                data,
                media_type,
                filename,
                provider_options,
            } => {
                let mut extra = Extra::default();
                if let Some(options) = provider_options {
                    extra.insert("providerMetadata", options.clone());
                }
                Part::File {
                    data: data.clone(),
                    media_type: media_type.clone(),
                    filename: filename.clone(),
                    extra,
                }
            }
        }
    }

    fn of_stored(part: &Part) -> Option<Self> {
        match part {
            Part::Text { text, metadata, .. } => Some(Self::Text {
                text: text.clone(),
                provider_options: metadata.clone(),
            }),
            Part::File {
                data,
                media_type,
                filename,
                extra,
            } => Some(Self::File {
                data: data.clone(),
                media_type: media_type.clone(),
                filename: filename.clone(),
                provider_options: extra.get("providerMetadata").cloned(),
            }),
            _ => None,
        }
    }
}

impl Contents {
    /// The pieces of the message that is stored; there is one at least.
    pub(super) fn stored(&self) -> Vec<Part> {
        let parts: Vec<Part> = match self {
            Self::Text(text) => vec![Part::text(text.clone())],
            Self::Parts(parts) => parts.iter().map(SignalPart::stored).collect(),
        };
        if parts.is_empty() {
            return vec![Part::text("")];
        }
        parts
    }

    /// What the pieces of a stored message say; one text alone is a text.
    pub(super) fn of_stored(parts: &[Part]) -> Self {
        let parts = parts.iter().filter_map(SignalPart::of_stored);
        Self::Parts(parts.collect()).plain()
    }

    /// The same; one text alone is a text.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::Parts(mut parts) => match &mut parts[..] {
                [
                    SignalPart::Text {
                        text,
                        provider_options: None,
                    },
                ] => Self::Text(std::mem::take(text)),
                _ => Self::Parts(parts),
            },
            text => text,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_options: Option<&'a Data>,
}

impl Serialize for SignalPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut part = WirePart {
            kind: "text",
            text: None,
            data: None,
            media_type: None,
            filename: None,
            provider_options: None,
        };
        match self {
            Self::Text {
                text,
                provider_options,
            } => {
                part.text = Some(text);
                part.provider_options = provider_options.as_ref();
            }
            Self::File {
                data,
                media_type,
                filename,
                provider_options,
            } => {
                part.kind = "file";
                part.data = Some(data);
                part.media_type = Some(media_type);
                part.filename = filename.as_ref();
                part.provider_options = provider_options.as_ref();
            }
        }
        part.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignalPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Extra::deserialize(deserializer)?;
        let kind: Text = members.required("type")?;
        let provider_options = members.remove("providerOptions");
        match kind.as_str() {
            "text" => Ok(Self::Text {
                text: members.required("text")?,
                provider_options,
            }),
            "file" => Ok(Self::File {
                data: members.required("data")?,
                media_type: members.required("mediaType")?,
                filename: members.take("filename"),
                provider_options,
            }),
            other => {
                let message = format!("a signal says texts and files, not {other:?}");
                Err(serde::de::Error::custom(message))
            }
        }
    }
}

impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Parts(parts) => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = Data::deserialize(deserializer)?;
        let read = match data.as_str().starts_with('"') {
            true => data.parse().map(Self::Text),
            false => data.parse().map(Self::Parts),
        };
        read.map_err(serde::de::Error::custom)
    }
}
