//! Signals as they travel between processes.

use bowline_events::Text;
use bowline_events::codec::date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Contents, Signal, SignalKind, markup};
use crate::Data;
use crate::message::Extra;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: SignalKind,
    contents: &'a Contents,
    #[serde(skip_serializing_if = "Extra::is_empty")]
    attributes: &'a Extra,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_options: Option<&'a Data>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    transient: bool,
    id: &'a Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<&'a Text>,
    tag_name: &'a Text,
    created_at: &'a Text,
    #[serde(rename = "__isCreatedSignal")]
    created: bool,
}

impl Signal {
    /// The signal as it travels.
    pub fn to_data(&self) -> Data {
        // Texts, truth values and JSON that was read before: nothing of it can fail to be written.
        Data::of(self).unwrap_or_default()
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = Wire {
            kind: self.kind,
            contents: &self.contents,
            attributes: &self.attributes,
            metadata: self.metadata.as_ref(),
            provider_options: self.provider_options.as_ref(),
            transient: self.transient,
            id: &self.id,
            accepted_at: self.accepted_at.as_ref(),
            tag_name: &self.tag_name,
            created_at: &self.created_at,
            created: true,
        };
        wire.serialize(serializer)
    }
}

/// Reads a signal of any sender. What it does not say is as for a [new](Signal::new) one.
impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut members = Extra::deserialize(deserializer)?;
        let kind: Text = members.required("type")?;
        let kind = match kind.as_str() {
            "user" | "user-message" => SignalKind::User,
            "reactive" | "system-reminder" => SignalKind::Reactive,
            "state" => SignalKind::State,
            "notification" => SignalKind::Notification,
            other => return Err(D::Error::custom(format!("there is no signal {other:?}"))),
        };
        let contents: Contents = members.required("contents")?;
        let mut signal = Self::new(kind, contents);
        signal.accepted_at = members.take("acceptedAt").filter(is_date);
        if let Some(id) = members.take("id") {
            signal.id = id;
        }
        if let Some(name) = members.take::<Text>("tagName") {
            signal.tag_name = name;
        }
        if let Some(created) = members.take("createdAt").filter(is_date) {
            signal.created_at = created;
        }
        if let Some(attributes) = members.take("attributes") {
            signal.attributes = attributes;
        }
        signal.metadata = members.remove("metadata").filter(Data::is_object);
        signal.provider_options = members.remove("providerOptions").filter(Data::is_object);
        let transient = members.take("transient").unwrap_or(false);
        signal.transient = transient && kind != SignalKind::State;
        let mut names = signal.attributes.iter().map(|(name, _)| name);
        if !markup::is_name(&signal.tag_name) || !names.all(|name| markup::is_name(name)) {
            let message = "a name of the signal is none for an element or an attribute";
            return Err(D::Error::custom(message));
        }
        drop(names);
        Ok(signal)
    }
}

fn is_date(text: &Text) -> bool {
    date::parse_iso(text).is_some()
}
