//! Commands and replies as JSON.

use bowline_events::json;
use bytes::Bytes;
use serde_json::Value;

use crate::wire::{Command, Failure, Reply, ServerError};

/// A command as a list of strings.
pub(super) fn encode(command: &Command) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    text.push(b'[');
    for word in command.words() {
        if text.len() > 1 {
            text.push(b',');
        }
        json::escape_into(&String::from_utf8_lossy(word), &mut text);
    }
    text.push(b']');
    text
}

/// Encoded commands as one list.
pub(super) fn join<'a>(commands: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut body = vec![b'['];
    for command in commands {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(command);
    }
    body.push(b']');
    Bytes::from(body)
}

/// The replies of a pipeline; an error reply is [`Reply::Error`] in its place.
pub(super) fn replies(body: &[u8]) -> Result<Vec<Reply>, Failure> {
    let entries = match serde_json::from_slice(body) {
        Ok(Value::Array(entries)) => entries,
        _ => return Err(protocol("the service answered no list of replies")),
    };
    entries.into_iter().map(entry).collect()
}

fn entry(entry: Value) -> Result<Reply, Failure> {
    let Value::Object(mut entry) = entry else {
        return Err(protocol("a reply is no object"));
    };
    match (entry.remove("error"), entry.remove("result")) {
        (Some(Value::String(error)), _) => Ok(Reply::Error(server_error(&error))),
        (None, Some(result)) => Ok(reply(result)),
        _ => Err(protocol("a reply has neither result nor error")),
    }
}

/// A value. Where the service has read a stored text as JSON, this is a text again.
fn reply(value: Value) -> Reply {
    match value {
        Value::Null => Reply::Nil,
        Value::Bool(truth) => Reply::Int(i64::from(truth)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Reply::Int(number),
            None => Reply::Bulk(Bytes::from(number.to_string())),
        },
        Value::String(text) => Reply::Bulk(Bytes::from(text)),
        Value::Array(values) => Reply::Array(values.into_iter().map(reply).collect()),
        object @ Value::Object(_) => Reply::Bulk(Bytes::from(object.to_string())),
    }
}

/// The message in the answer to a request that was refused as a whole.
pub(super) fn refusal(body: &[u8]) -> ServerError {
    let error = match serde_json::from_slice(body) {
        Ok(Value::Object(mut object)) => object.remove("error"),
        _ => None,
    };
    match error {
        Some(Value::String(error)) => server_error(&error),
        _ => server_error("ERR no reason was given"),
    }
}

fn server_error(line: &str) -> ServerError {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let is_code = !first.is_empty() && first.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let (code, message) = if is_code {
        (first, rest)
    } else {
        ("ERR", line)
    };
    ServerError {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

fn protocol(message: &str) -> Failure {
    Failure::Protocol(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_lists_of_strings() {
        let one = Command::new("SET")
            .key("k\"\n")
            .arg(r#"{"a":"\ud83d"}"#)
            .number(7);
        let one = encode(&one);
        assert_eq!(
            String::from_utf8_lossy(&one),
            r#"["SET","k\"\n","{\"a\":\"\\ud83d\"}","7"]"#
        );
        let both = join([one.as_slice(), b"[\"PING\"]"]);
        assert!(both.starts_with(b"[[\"SET\"") && both.ends_with(b",[\"PING\"]]"));
    }

    #[test]
    fn replies_have_their_types_and_stored_json_stays_text() {
        let body = r#"[{"result":"OK"},{"result":7},{"result":null},{"result":["a",{"n":1},1.5,null]},{"error":"WRONGTYPE no"},{"error":"max size"}]"#;
        let text = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
        let error = |code: &str, message: &str| {
            Reply::Error(ServerError {
                code: code.to_owned(),
                message: message.to_owned(),
            })
        };
        assert_eq!(
            replies(body.as_bytes()).expect("replies"),
            [
                text("OK"),
                Reply::Int(7),
                Reply::Nil,
                Reply::Array(vec![text("a"), text(r#"{"n":1}"#), text("1.5"), Reply::Nil]),
                error("WRONGTYPE", "no"),
                error("ERR", "max size"),
            ]
        );
    }

    #[test]
    fn what_is_no_list_of_replies_is_refused() {
        for body in ["", "{}", "[1]", "[{}]", r#"[{"error":7}]"#, "<html>"] {
            let failure = replies(body.as_bytes()).expect_err(body);
            assert!(matches!(failure, Failure::Protocol(_)), "{body}");
        }
        assert_eq!(refusal(b"<html>").code, "ERR");
        assert_eq!(refusal(br#"{"error":"OOM full"}"#).code, "OOM");
    }
}
