//! Failures of providers as errors of this crate, without secrets.

use std::time::Duration;

use ::genai::Error as GenaiError;
use ::genai::webc::Error as WebError;
use bowline_events::Text;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::Secret;
use crate::model::Unavailable;
use crate::{Error, ErrorKind};

/// Bytes of the longest message of a provider that is passed on.
const LONGEST: usize = 2048;

/// What an error names.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) model: Text,
    pub(super) secrets: Vec<Secret>,
}

impl Subject {
    /// The connection was cut: what came is not all.
    pub(super) fn cut(&self) -> Error {
        let message = "the answer broke off before its end; ask again";
        self.error(ErrorKind::ModelUnavailable, message.to_owned())
    }

    /// A request that cannot be made.
    pub(super) fn invalid(&self, message: &str) -> Error {
        self.error(ErrorKind::InvalidInput, message.to_owned())
    }

    /// Any failure of the adapter.
    pub(super) fn of(&self, error: &GenaiError) -> Error {
        let inner = innermost(error);
        let status = inner.status().map(|status| status.as_u16());
        let kind = match (inner, status) {
            (_, Some(status)) if may_pass(status) => ErrorKind::ModelUnavailable,
            (_, Some(_)) => ErrorKind::Model,
            (GenaiError::ChatResponse { body, .. }, _) => kind_in_stream(body),
            (GenaiError::WebStream { .. }, _) => ErrorKind::ModelUnavailable,
            (GenaiError::WebModelCall { webc_error, .. }, _) => match webc_error {
                WebError::Reqwest(error) if !error.is_builder() => ErrorKind::ModelUnavailable,
                _ => ErrorKind::Model,
            },
            // A message that is cut reads like one that makes no sense.
            (GenaiError::StreamParse { .. }, _) => ErrorKind::ModelUnavailable,
            _ => ErrorKind::Model,
        };
        let message = match status {
            Some(status) => format!(
                "the provider answered with status {status}: {}",
                said(inner)
            ),
            None => said(inner),
        };
        let mut unavailable = Unavailable::new(status);
        if let Some(wait) = inner.headers().and_then(retry_after) {
            unavailable = unavailable.retry_after(wait);
        }
        self.error(kind, message).with_source(unavailable)
    }

    /// A failure of `kind`.
    pub(super) fn error(&self, kind: ErrorKind, message: String) -> Error {
        let message = self.without_secrets(message);
        Error::new(kind, "call model", cut(message)).with_subject(self.model.clone())
    }

    fn without_secrets(&self, mut text: String) -> String {
        for secret in &self.secrets {
            if !secret.0.is_empty() && text.contains(&*secret.0) {
                text = text.replace(&*secret.0, "[secret]");
            }
        }
        text
    }
}

/// Statuses after which the same request may succeed.
fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429) || status >= 500
}

/// A failure of the connection is wrapped, and a refusal in a stream, too.
fn innermost(error: &GenaiError) -> &GenaiError {
    if let GenaiError::WebStream { error: cause, .. } = error
        && let Some(inner) = cause.downcast_ref::<GenaiError>()
    {
        return inner;
    }
    error
}

/// What the provider said, or what happened.
fn said(error: &GenaiError) -> String {
    match error {
        GenaiError::HttpError { body, .. } => body_text(body),
        GenaiError::ChatResponse { body, .. } => {
            format!("the provider broke off: {}", message_in(body))
        }
        GenaiError::WebStream { error, .. } => {
            format!("the connection failed: {}", chain(error.as_ref()))
        }
        GenaiError::WebModelCall {
            webc_error: WebError::Reqwest(error),
            ..
        } => format!("the request failed: {}", chain(error)),
        other => other.to_string(),
    }
}

/// An error with its causes; those of HTTP clients say little themselves.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<reqwest::Error>() {
        // Its text has the URL, in which some providers have a key.
        Some(error) if error.is_timeout() => "it took too long".to_owned(),
        Some(error) if error.is_connect() => "no connection".to_owned(),
        Some(error) if error.is_body() || error.is_decode() => "the body broke off".to_owned(),
        Some(_) => "the request was not answered".to_owned(),
        None => error.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn body_text(body: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(value) => message_in(&value),
        Err(_) => body.trim().to_owned(),
    }
}

/// The message in `{"error": {"message": ..}}` and the forms around it.
fn message_in(body: &serde_json::Value) -> String {
    let error = body.get("error").unwrap_or(body);
    let message = error.get("message").or_else(|| body.get("message"));
    match message.unwrap_or(error) {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a failure that the provider tells in its stream may pass.
fn kind_in_stream(body: &serde_json::Value) -> ErrorKind {
    let error = body.get("error").unwrap_or(body);
    let code = error.get("code").or_else(|| error.get("status"));
    let code = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    if let Some(code) = code.and_then(|code| u16::try_from(code).ok()) {
        return if may_pass(code) {
            ErrorKind::ModelUnavailable
        } else {
            ErrorKind::Model
        };
    }
    let word = error.get("type").or_else(|| error.get("code"));
    match word.and_then(serde_json::Value::as_str) {
        Some(word) if word.contains("invalid") || word.contains("permission") => ErrorKind::Model,
        // Nothing was wrong with the request when the answer began.
        _ => ErrorKind::ModelUnavailable,
    }
}

/// How long to wait, where it is said in seconds or milliseconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| -> Option<f64> {
        let value = headers.get(name)?.to_str().ok()?;
        value.trim().parse().ok()
    };
    let millis = number("retry-after-ms").map(|millis| millis / 1000.0);
    let seconds = millis.or_else(|| number(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_in_the_stream_may_pass_or_not() {
        for (body, kind) in [
            (
                json!({"message": "overloaded", "type": "overloaded_error"}),
                true,
            ),
            (
                json!({"error": {"message": "x", "type": "server_error"}}),
                true,
            ),
            (json!({"message": "x", "code": 429}), true),
            (json!({"message": "x", "code": "503"}), true),
            (json!({"message": "x", "code": 400}), false),
            (
                json!({"message": "x", "type": "invalid_request_error"}),
                false,
            ),
            (json!("broken"), true),
        ] {
            let found = kind_in_stream(&body) == ErrorKind::ModelUnavailable;
            assert_eq!(found, kind, "{body}");
        }
    }

    #[test]
    fn the_wait_is_read_in_seconds_and_milliseconds() {
        for (name, value, millis) in [
            ("retry-after", "7", Some(7000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "20", Some(20)),
            ("retry-after", "-1", None),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            let wait = retry_after(&headers).map(|wait| wait.as_millis());
            assert_eq!(wait, millis, "{name}: {value}");
        }
    }

    #[test]
    fn messages_are_short_and_without_secrets() {
        let subject = Subject {
            model: "m".into(),
            secrets: vec![Secret("sk-1234".into()), Secret("".into())],
        };
        let error = subject.error(ErrorKind::Model, "the key sk-1234 is wrong".to_owned());
        assert_eq!(error.message(), "the key [secret] is wrong");
        let long = subject.error(ErrorKind::Model, "ü".repeat(5000));
        assert!(long.message().len() <= LONGEST + 4);
    }
}
