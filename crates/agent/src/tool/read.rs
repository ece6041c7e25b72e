//! Reading the arguments that a model wrote.

use serde::de::DeserializeOwned;

use super::{ToolError, limit};
use crate::Data;

/// By which programs tell arguments that do not fit from other failures.
const NAME: &str = "ToolInputError";

/// Any arguments.
pub(super) fn any(args: Data) -> Result<Data, ToolError> {
    check_size(&args)?;
    Ok(if is_nothing(&args) {
        Data::object()
    } else {
        args
    })
}

/// The arguments of the tool `tool` as an `A`. What does not fit is told in words with which the model can do better.
pub(super) fn args<A: DeserializeOwned>(tool: &str, args: &Data) -> Result<A, ToolError> {
    check_size(args)?;
    let text = if is_nothing(args) {
        "{}"
    } else {
        args.as_str()
    };
    serde_json::from_str(text).map_err(|error| ToolError::Failed {
        name: NAME.into(),
        message: format!(
            "The arguments of the tool {tool:?} do not fit: {}. Call it again with arguments of its schema.",
            misfit::<A>(text, &error)
        ),
        source: Some(Box::new(error)),
    })
}

fn check_size(args: &Data) -> Result<(), ToolError> {
    match limit::excess("the JSON of the arguments", args, "send less") {
        Some(message) => Err(ToolError::fail(NAME, message)),
        None => Ok(()),
    }
}

/// Some models send nothing where there is nothing to send.
fn is_nothing(args: &Data) -> bool {
    matches!(args.as_str(), "null" | "\"\"")
}

/// Where it does not fit, and what was expected. It is parsed once more, because the walk that knows the path costs more.
fn misfit<A: DeserializeOwned>(text: &str, error: &serde_json::Error) -> String {
    let mut json = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, A>(&mut json) {
        Err(found) => {
            let problem = without_position(found.inner());
            match found.path().iter().next() {
                Some(_) => format!("{}: {problem}", found.path()),
                None => problem,
            }
        }
        Ok(_) => without_position(error),
    }
}

fn without_position(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if error.line() > 0
        && let Some(end) = text.rfind(" at line ")
    {
        text.truncate(end);
    }
    text
}
