//! Replies of the server as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Reply;

/// How strings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As text, invalid UTF-8 replaced.
    Text,
    /// All of them in Base64, except a reply that is nothing but `OK`, and errors.
    Base64,
}

/// One reply, as a `result` or an `error`.
pub(super) fn entry(reply: &Reply, encoding: Encoding) -> Value {
    match reply {
        Reply::Error(error) => json!({ "error": error }),
        Reply::Status(status) if status == "OK" => json!({ "result": status }),
        reply => json!({ "result": value(reply, encoding) }),
    }
}

fn value(reply: &Reply, encoding: Encoding) -> Value {
    match reply {
        Reply::Status(text) => string(text.as_bytes(), encoding),
        Reply::Bulk(bytes) => string(bytes, encoding),
        Reply::Error(error) => Value::from(error.as_str()),
        Reply::Int(int) => Value::from(*int),
        Reply::Nil => Value::Null,
        Reply::Array(items) => items.iter().map(|item| value(item, encoding)).collect(),
    }
}

fn string(bytes: &[u8], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Text => Value::from(String::from_utf8_lossy(bytes)),
        Encoding::Base64 => Value::from(STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Encoding, entry};
    use crate::Reply;

    #[test]
    fn every_reply_has_its_json() {
        let status = |text: &str| Reply::Status(text.into());
        let bulk = |bytes: &[u8]| Reply::Bulk(bytes.into());
        for (reply, text, base64) in [
            (status("OK"), json!("OK"), json!("OK")),
            (status("PONG"), json!("PONG"), json!("UE9ORw==")),
            (bulk(b"OK"), json!("OK"), json!("T0s=")),
            (bulk(b"a\xff"), json!("a\u{fffd}"), json!("Yf8=")),
            (Reply::Int(-7), json!(-7), json!(-7)),
            (Reply::Nil, json!(null), json!(null)),
            (
                Reply::Array(vec![
                    bulk(b"bar"),
                    Reply::Nil,
                    Reply::Array(vec![Reply::Int(1), status("OK")]),
                ]),
                json!(["bar", null, [1, "OK"]]),
                json!(["YmFy", null, [1, "T0s="]]),
            ),
        ] {
            assert_eq!(entry(&reply, Encoding::Text), json!({ "result": text }));
            assert_eq!(entry(&reply, Encoding::Base64), json!({ "result": base64 }));
        }
        let error = Reply::Error("ERR no".into());
        for encoding in [Encoding::Text, Encoding::Base64] {
            assert_eq!(entry(&error, encoding), json!({ "error": "ERR no" }));
        }
    }
}
