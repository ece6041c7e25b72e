//! What is said into a conversation while an agent may be at work in it.

mod contents;
mod forms;
mod markup;
mod wire;

use bowline_events::codec::date;
use bowline_events::{Text, Timestamp};
use serde::{Deserialize, Serialize};

pub use contents::{Contents, SignalPart};
pub(crate) use forms::shown;

use crate::message::Extra;
use crate::{Data, Error, ErrorKind, Result, random_id};

/// Bytes of a signal, as JSON.
pub const MAX_SIGNAL: usize = 1024 * 1024;

/// Who or what gives a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SignalKind {
    /// A person.
    User,
    /// A change of something that the agent should know of.
    State,
    /// A program that reacts to something.
    Reactive,
    /// Something has happened elsewhere.
    Notification,
}

impl SignalKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::State => "state",
            Self::Reactive => "reactive",
            Self::Notification => "notification",
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Reactive => "system-reminder",
            kind => kind.as_str(),
        }
    }
}

/// Something that is said into a conversation: to the run that is at work in it, or to wake the agent.
///
/// Its id says whether two signals are the same: whoever sends one again, because it is not known whether it arrived, sends it with
/// the same id.
///
/// ```
/// use bowline_agent::threads::{Signal, SignalKind};
///
/// let signal = Signal::new(SignalKind::Reactive, "The tide turns.").with_attribute("source", "harbour")?;
/// assert_eq!(signal.tag_name(), "system-reminder");
/// let told = signal.parts_for_model();
/// assert_eq!(told.len(), 1);
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub(super) id: Text,
    pub(super) kind: SignalKind,
    pub(super) tag_name: Text,
    pub(super) contents: Contents,
    /// Texts, numbers and truth values by name.
    pub(super) attributes: Extra,
    pub(super) metadata: Option<Data>,
    pub(super) provider_options: Option<Data>,
    pub(super) transient: bool,
    /// ISO dates.
    pub(super) created_at: Text,
    pub(super) accepted_at: Option<Text>,
}

impl Signal {
    /// A signal with a random id, given now.
    pub fn new(kind: SignalKind, contents: impl Into<Contents>) -> Self {
        let now = Text::from(date::format_iso(Timestamp::now().as_millis()));
        Self {
            id: random_id(),
            kind,
            tag_name: kind.tag().into(),
            contents: contents.into(),
            attributes: Extra::default(),
            metadata: None,
            provider_options: None,
            transient: false,
            created_at: now.clone(),
            accepted_at: Some(now),
        }
    }

    /// What a person says.
    pub fn user(contents: impl Into<Contents>) -> Self {
        Self::new(SignalKind::User, contents)
    }

    /// The same signal with this id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Text>) -> Self {
        self.id = id.into();
        self
    }

    /// The same signal, shown to the model in an element of this name.
    ///
    /// # Errors
    /// `InvalidInput` for what is no name: a letter or `_`, then letters, digits, `_`, `.` and `-`.
    pub fn with_tag_name(mut self, name: impl Into<Text>) -> Result<Self> {
        let name = name.into();
        check_name("the name of an element", &name)?;
        self.tag_name = name;
        Ok(self)
    }

    /// The same signal with an attribute: a text, a number or a truth value.
    ///
    /// # Errors
    /// `InvalidInput` for another value, and for what is no name, as of an [element](Self::with_tag_name).
    pub fn with_attribute(mut self, name: impl Into<Text>, value: impl Serialize) -> Result<Self> {
        let (name, value) = attribute(name.into(), &value)?;
        self.attributes.insert(name, value);
        Ok(self)
    }

    /// The same signal with an object of what programs keep with it.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Data) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Its id.
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// Who or what gives it.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// The name of the element in which a model is shown it.
    pub fn tag_name(&self) -> &Text {
        &self.tag_name
    }

    /// What it says.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Its attributes.
    pub fn attributes(&self) -> &Extra {
        &self.attributes
    }

    /// Gives it `attributes`, instead of its own of the same names.
    pub(super) fn add(&mut self, attributes: &Extra) {
        for (name, value) in attributes.iter() {
            self.attributes.insert(name.clone(), value.clone());
        }
    }

    /// # Errors
    /// `InvalidInput` for a signal without an id or with one that is very long, `TooLarge`.
    pub(super) fn check(&self) -> Result<()> {
        if self.id.is_empty() || self.id.len() > MAX_ID {
            let message = format!("the id of a signal has 1 to {MAX_ID} bytes");
            return Err(invalid(message));
        }
        let bytes = self.to_data().as_str().len();
        if bytes > MAX_SIGNAL {
            let message = format!(
                "the signal is {bytes} bytes, the limit is {MAX_SIGNAL}; keep large files elsewhere and send where"
            );
            let error = Error::new(ErrorKind::TooLarge, "signal", message);
            return Err(error.with_subject(self.id.clone()));
        }
        Ok(())
    }
}

/// Bytes of the id of a signal.
const MAX_ID: usize = 256;

/// An attribute, checked.
pub(super) fn attribute(name: Text, value: &impl Serialize) -> Result<(Text, Data)> {
    check_name("the name of an attribute", &name)?;
    let value = Data::of(value).map_err(|error| Error::engine("signal", error))?;
    if value.as_str().starts_with(['{', '[']) || value.is_null() {
        let message = "an attribute is a text, a number or a truth value";
        return Err(invalid(message).with_subject(name));
    }
    Ok((name, value))
}

fn check_name(what: &str, name: &Text) -> Result<()> {
    if markup::is_name(name) {
        return Ok(());
    }
    let message = format!("{what} is a letter or `_` and then letters, digits, `_`, `.` and `-`");
    Err(invalid(message).with_subject(name.clone()))
}

fn invalid(message: impl Into<Text>) -> Error {
    Error::new(ErrorKind::InvalidInput, "signal", message)
}

impl From<&str> for Signal {
    fn from(text: &str) -> Self {
        Self::user(text)
    }
}

impl From<String> for Signal {
    fn from(text: String) -> Self {
        Self::user(text)
    }
}
