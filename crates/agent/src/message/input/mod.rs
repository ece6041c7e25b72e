//! What can be said to an agent.

mod json;

use bowline_events::Text;

use super::Message;
use crate::{Data, Result};

/// What can be said to an agent: a text, messages, or JSON as clients send it.
///
/// JSON is a text, a message, or an array of both. A message is what is stored (`content` with `format: 2`), what a user
/// interface keeps (`role` and `parts`), or what a model gets (`role` and `content`, a text or parts; results of tools in
/// messages of the role `tool`). Messages without an id or a time get one.
///
/// ```
/// use bowline_agent::message::{IntoMessages, Role};
/// let json = serde_json::json!([
///     {"role": "system", "content": "Be brief."},
///     {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
/// ]);
/// let messages = json.into_messages()?;
/// assert_eq!((messages[1].role, messages[1].text().as_str()), (Role::User, "Hello"));
/// # Ok::<(), bowline_agent::Error>(())
/// ```
pub trait IntoMessages {
    /// The messages, in order.
    ///
    /// # Errors
    /// `InvalidInput` for JSON that is no message, naming the place.
    fn into_messages(self) -> Result<Vec<Message>>;
}

impl IntoMessages for &str {
    fn into_messages(self) -> Result<Vec<Message>> {
        Ok(vec![Message::user(self)])
    }
}

impl IntoMessages for String {
    fn into_messages(self) -> Result<Vec<Message>> {
        Ok(vec![Message::user(self)])
    }
}

impl IntoMessages for Text {
    fn into_messages(self) -> Result<Vec<Message>> {
        self.as_str().into_messages()
    }
}

impl IntoMessages for Message {
    fn into_messages(self) -> Result<Vec<Message>> {
        Ok(vec![self])
    }
}

impl IntoMessages for Vec<Message> {
    fn into_messages(self) -> Result<Vec<Message>> {
        Ok(self)
    }
}

impl IntoMessages for &[Message] {
    fn into_messages(self) -> Result<Vec<Message>> {
        Ok(self.to_vec())
    }
}

impl<const N: usize> IntoMessages for [Message; N] {
    fn into_messages(self) -> Result<Vec<Message>> {
        Ok(self.into())
    }
}

impl IntoMessages for Data {
    fn into_messages(self) -> Result<Vec<Message>> {
        json::messages(&self)
    }
}

impl IntoMessages for serde_json::Value {
    fn into_messages(self) -> Result<Vec<Message>> {
        json::messages(&self.into())
    }
}
