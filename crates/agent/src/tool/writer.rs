//! What a tool says while it works.

use serde::Serialize;

use super::{ToolContext, limit};
use crate::{Data, Error, ErrorKind, Result};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputChunk<'a, T: ?Sized> {
    #[serde(rename = "type")]
    kind: &'static str,
    run_id: &'a str,
    from: &'static str,
    payload: Output<'a, T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a, T: ?Sized> {
    output: &'a T,
    tool_call_id: &'a str,
    tool_name: &'a str,
}

/// What has to be known of a chunk of an application.
#[derive(serde::Deserialize)]
struct Custom {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "data")]
    _data: serde::de::IgnoredAny,
}

impl ToolContext {
    /// Shows `output` to whoever reads the run: progress, or a part of the result. The model does not see it. It comes before the
    /// result, in the order of the calls of this function, and again if the tool is called again after a crash.
    ///
    /// # Errors
    /// `InvalidInput` when it has no JSON, `TooLarge` above [`MAX_TOOL_BYTES`](super::MAX_TOOL_BYTES).
    pub async fn write<T: Serialize + ?Sized>(&self, output: &T) -> Result<()> {
        let chunk = OutputChunk {
            kind: "tool-output",
            run_id: self.run_id(),
            from: "USER",
            payload: Output {
                output,
                tool_call_id: self.call_id(),
                tool_name: self.tool(),
            },
        };
        let chunk = self.chunk(&chunk)?;
        self.sink().write(chunk).await;
        Ok(())
    }

    /// Puts a chunk of the application into the stream of the run as it is: an object whose `type` begins with `data-`, with a
    /// member `data`.
    ///
    /// # Errors
    /// `InvalidInput` when it is something else, `TooLarge` above [`MAX_TOOL_BYTES`](super::MAX_TOOL_BYTES).
    pub async fn custom<T: Serialize + ?Sized>(&self, chunk: &T) -> Result<()> {
        let chunk = self.chunk(chunk)?;
        match chunk.parse::<Custom>() {
            Ok(custom) if custom.kind.starts_with("data-") => {}
            Ok(custom) => {
                let message = format!(
                    "a chunk of the type {:?} is not the application's; let its type begin with data-",
                    custom.kind
                );
                return Err(self.refused(ErrorKind::InvalidInput, message));
            }
            Err(error) => {
                let message = "a chunk of an application is an object with the members type and data; write such a one";
                return Err(self
                    .refused(ErrorKind::InvalidInput, message.to_owned())
                    .with_source(error));
            }
        }
        self.sink().write(chunk).await;
        Ok(())
    }

    fn chunk<T: Serialize + ?Sized>(&self, chunk: &T) -> Result<Data> {
        let chunk = Data::of(chunk).map_err(|error| {
            self.refused(ErrorKind::InvalidInput, error.message().to_owned())
                .with_source(error)
        })?;
        match limit::excess("the chunk", &chunk, "write it in pieces") {
            Some(message) => Err(self.refused(ErrorKind::TooLarge, message)),
            None => Ok(chunk),
        }
    }

    fn refused(&self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, "write", message).with_subject(self.tool().clone())
    }
}
