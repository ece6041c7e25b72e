//! Tools of a server as tools of an agent.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;
use rmcp::ServiceError;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject,
    Tool as Listed,
};
use serde_json::{Value, json};

use super::connection::Connection;
use crate::tool::{Tool, ToolContext, ToolError};
use crate::{Data, Error, ErrorKind, Result};

/// The tool `listed` of the server of `connection`.
pub(super) fn tool(
    connection: &Arc<Connection>,
    listed: Listed,
    prefix: &str,
    limit: Duration,
) -> Result<Tool> {
    let own = Text::from(listed.name.into_owned());
    let schema = Data::of(&*listed.input_schema).map_err(|error| {
        Error::new(
            ErrorKind::InvalidDefinition,
            "use MCP server",
            "its schema is no JSON",
        )
        .with_subject(own.clone())
        .with_source(error)
    })?;
    let description = listed.description.map(std::borrow::Cow::into_owned);
    let description = description.or(listed.title).unwrap_or_default();
    let connection = Arc::clone(connection);
    Tool::builder(name(prefix, &own))
        .description(description)
        .input_schema(schema)
        .run(move |context, args| {
            let call = Call {
                connection: Arc::clone(&connection),
                tool: own.clone(),
                limit,
            };
            call.make(context, args)
        })
        .build()
}

/// The name for models.
fn name(prefix: &str, own: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let names = prefix.chars().chain(own.chars());
    names.map(|c| if plain(c) { c } else { '_' }).collect()
}

/// One call.
struct Call {
    connection: Arc<Connection>,
    tool: Text,
    limit: Duration,
}

impl Call {
    async fn make(self, context: ToolContext, args: Data) -> Result<Data, ToolError> {
        tokio::select! {
            result = tokio::time::timeout(self.limit, self.send(&args)) => match result {
                Ok(result) => result,
                Err(_) => Err(self.late()),
            },
            // Dropping the call tells the server.
            () = context.aborted() => Err(ToolError::Aborted),
        }
    }

    async fn send(&self, args: &Data) -> Result<Data, ToolError> {
        let arguments: JsonObject = args.parse().map_err(|_| {
            let message = format!(
                "The arguments of the tool {:?} are no JSON object.",
                self.tool
            );
            ToolError::fail("ToolInputError", message)
        })?;
        let peer = self.connection.peer().await?;
        let request = CallToolRequestParams::new(self.tool.to_string()).with_arguments(arguments);
        match peer.call_tool_once(request).await {
            Ok(CallToolResponse::Complete(result)) => outcome(result),
            Ok(_) => Err(ToolError::fail(
                "McpError",
                "the server wants to be answered or asked later, which agents do not do",
            )),
            Err(error) => Err(failure(error)),
        }
    }

    fn late(&self) -> ToolError {
        let message = format!(
            "the server did not answer within {:?}; ask it for less, or give it more time",
            self.limit
        );
        ToolError::fail("TimeoutError", message)
    }
}

fn failure(error: ServiceError) -> ToolError {
    let message = match &error {
        ServiceError::McpError(error) => error.message.to_string(),
        ServiceError::TransportClosed | ServiceError::TransportSend(_) => {
            "the server ended during the call, which may have been carried out or not".to_owned()
        }
        other => other.to_string(),
    };
    ToolError::Failed {
        name: "McpError".into(),
        message,
        source: Some(Box::new(error)),
    }
}

/// What the server returned: what is structured, else the text, else everything.
fn outcome(result: CallToolResult) -> Result<Data, ToolError> {
    let text = text(&result.content);
    if result.is_error == Some(true) {
        let message = match (text, result.structured_content) {
            (Some(text), _) if !text.is_empty() => text,
            (_, Some(value)) => value.to_string(),
            _ => "the tool failed and does not say why".to_owned(),
        };
        return Err(ToolError::fail("McpToolError", message));
    }
    let value = match (result.structured_content, text) {
        (Some(value), _) => value,
        (None, Some(text)) => Value::String(text),
        (None, None) => json!({ "content": result.content }),
    };
    Ok(Data::from(value))
}

/// The text, when there is nothing else.
fn text(content: &[ContentBlock]) -> Option<String> {
    let texts = content.iter().map(|block| match block {
        ContentBlock::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    let texts: Option<Vec<&str>> = texts.collect();
    texts.map(|texts| texts.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_models_can_call() {
        for (prefix, own, expected) in [
            ("", "read_file", "read_file"),
            ("files_", "read.file/now", "files_read_file_now"),
            ("", "größe", "gr__e"),
        ] {
            assert_eq!(name(prefix, own), expected);
        }
    }
}
