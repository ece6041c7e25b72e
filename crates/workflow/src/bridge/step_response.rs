//! What is answered to a request to execute a step.

use bowline_events::Text;

use crate::json::Writer;

/// The answer to a request to execute a step: a status of HTTP and a JSON body. Cheap to clone.
///
/// 200 has the result of the step, whatever its status is: also a step that failed was executed. Everything else has an object
/// with the member `error`, and means that nothing was executed.
///
/// | status | why |
/// |---|---|
/// | 400 | the body is no request |
/// | 404 | no such workflow, or no step at that path of it |
/// | 409 | another step is at that path here |
/// | 413 | the body is too large |
/// | 503 | too many steps run, or the server is being closed; another attempt may help |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResponse {
    status: u16,
    body: Text,
}

impl StepResponse {
    pub(super) fn result(json: impl Into<Text>) -> Self {
        Self {
            status: 200,
            body: json.into(),
        }
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        let mut json = Writer::object();
        json.text("error", message);
        Self {
            status,
            body: json.end().into(),
        }
    }

    /// The status of HTTP.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The JSON, for the content type `application/json`.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The body, to send it.
    #[cfg(feature = "bridge-server")]
    pub(super) fn bytes(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(self.body.as_bytes())
    }
}
