//! Answers that are JSON of a given form.

mod partial;
mod place;
mod scanner;

use bowline_events::Text;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use partial::PartialJson;

use crate::model::{ChatRequest, PromptMessage, ResponseFormat};
use crate::{Data, Error, ErrorKind, Result};

const OPERATION: &str = "read structured output";

/// The form of the answers of a model.
///
/// ```
/// use bowline_agent::structured::StructuredOutput;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Order {
///     id: u32,
/// }
///
/// let form = StructuredOutput::of::<Order>();
/// let order: Order = form.parse("```json\n{\"id\": 7}\n```")?;
/// assert_eq!(order.id, 7);
/// let error = form.parse::<Order>(r#"{"id": "seven"}"#).err();
/// assert!(error.is_some_and(|error| error.message().contains("$.id")));
/// # Ok::<(), bowline_agent::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StructuredOutput {
    schema: Data,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    json_prompt_injection: bool,
}

impl StructuredOutput {
    /// The form of a `T`.
    pub fn of<T: JsonSchema>() -> Self {
        let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
        Self {
            schema: schema.to_value().into(),
            name: Some(T::schema_name().into_owned().into()),
            instructions: None,
            json_prompt_injection: false,
        }
    }

    /// The form that the JSON schema `schema` describes.
    ///
    /// # Errors
    /// `InvalidInput` when it is neither an object nor a boolean.
    pub fn from_schema(schema: Data) -> Result<Self> {
        if !schema.is_object() && !matches!(schema.as_str(), "true" | "false") {
            let message = "a JSON schema is an object or a boolean";
            let error = Error::new(ErrorKind::InvalidInput, "read schema", message);
            return Err(error);
        }
        Ok(Self {
            schema,
            name: None,
            instructions: None,
            json_prompt_injection: false,
        })
    }

    /// The same form by this name, for the model.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Text>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same form with more about it, for the model.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// The same form, but in the words of the prompt, for models that cannot be told otherwise.
    #[must_use]
    pub fn in_prompt(mut self) -> Self {
        self.json_prompt_injection = true;
        self
    }

    /// The JSON schema.
    pub fn schema(&self) -> &Data {
        &self.schema
    }

    /// Asks in `request` for an answer of this form.
    pub fn ask(&self, request: &mut ChatRequest) {
        if !self.json_prompt_injection {
            request.response_format = ResponseFormat::Json {
                schema: Some(self.schema.clone()),
                name: self.name.clone(),
                description: self.instructions.clone().map(Into::into),
            };
            return;
        }
        // Behind the other system messages, so that it is the last word on the form.
        let is_system = |message: &PromptMessage| matches!(message, PromptMessage::System(_));
        let systems = request.prompt.iter().take_while(|it| is_system(it)).count();
        let message = PromptMessage::System(self.words());
        request.prompt.insert(systems, message);
    }

    /// The form in words.
    fn words(&self) -> String {
        let mut words = String::new();
        if let Some(instructions) = &self.instructions {
            words.push_str(instructions);
            words.push_str("\n\n");
        }
        words.push_str(
            "Answer with one JSON value and nothing else: no explanation, no code fence. \
             It has to be valid against this JSON schema:\n",
        );
        words.push_str(self.schema.as_str());
        words
    }

    /// The `T` in the answer `text`. A code fence around it and words before or after it are left out.
    ///
    /// # Errors
    /// `Model` when there is no JSON in it, when the answer broke off, or when it is no `T`, naming the place.
    pub fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        parse(text)
    }
}

/// The `T` in the answer `text`; see [`StructuredOutput::parse`].
fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let invalid = |problem: String| Error::new(ErrorKind::Model, OPERATION, problem);
    let json = partial::whole(text).map_err(invalid)?;
    serde_json::from_str(&json).map_err(|error| {
        let place = place::of(&json, &error);
        invalid(format!(
            "the answer of the model has another form at {place}: {error}"
        ))
        .with_source(error)
    })
}
