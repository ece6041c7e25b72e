//! Event frames: the publisher's bytes with the stamp spliced in.

use bowline_events::json;
use bytes::Bytes;

use super::queue::{Part, Run};
use crate::frame::plain_key;
use crate::stamp::Stamp;

/// An event of this size is referred to instead of copied.
pub(crate) const SHARE_FROM: usize = 4096;

/// The end of an event frame without a group.
pub(crate) const FAN_OUT_TAIL: &[u8] = b"}\n";

/// The members of an event between its braces, as the publisher wrote them.
#[derive(Debug, Clone)]
pub(crate) enum Body<'a> {
    /// To be copied.
    Copy(&'a [u8]),
    /// To be referred to.
    Share(Bytes),
    /// To be rewritten: it holds members that the broker assigns.
    Stamped(&'a [u8]),
}

/// An event frame without its tail.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) parts: Vec<Part>,
    /// Where in the first part the event begins.
    pub(crate) event_at: usize,
    /// Bytes of all parts.
    pub(crate) len: usize,
}

impl Encoded {
    /// Encodes a frame for `topic`, given as the text between its quotes, and replaces what was held before.
    pub(crate) fn write(&mut self, run: &mut Run, topic: &[u8], body: Body<'_>, stamp: &Stamp) {
        self.parts.clear();
        self.len = 0;
        let mut start = run.len();
        run.push(br#"{"type":"event","topic":""#);
        run.push(topic);
        run.push(br#"","event":"#);
        self.event_at = run.len() - start;
        run.push(b"{");
        match body {
            Body::Copy(b"") => run.push(stamp.members()),
            Body::Copy(body) => {
                run.push(body);
                run.push(b",");
                run.push(stamp.members());
            }
            Body::Share(body) => {
                self.push(Part::Run(start..run.len()));
                self.push(Part::Shared(body));
                start = run.len();
                run.push(b",");
                run.push(stamp.members());
            }
            Body::Stamped(body) => restamp(run, body, stamp),
        }
        run.push(b"}");
        self.push(Part::Run(start..run.len()));
    }

    fn push(&mut self, part: Part) {
        self.len += part.len();
        self.parts.push(part);
    }
}

/// Writes the members of `body` with those of the stamp in the places of their namesakes, the missing ones at the end.
fn restamp(run: &mut Run, body: &[u8], stamp: &Stamp) {
    let object = [b"{", body, b"}"].concat();
    let mut written = [false; 3];
    let mut first = true;
    let mut separate = |run: &mut Run| {
        if !std::mem::take(&mut first) {
            run.push(b",");
        }
    };
    let scanned = json::members(&object, |key, value| {
        let name = plain_key(key);
        let own = stamp
            .each()
            .iter()
            .position(|(own, _)| own.as_bytes() == &*name);
        match own {
            Some(at) if written[at] => {}
            Some(at) => {
                written[at] = true;
                separate(run);
                run.push(stamp.each()[at].1);
            }
            None => {
                separate(run);
                run.push(b"\"");
                run.push(key);
                run.push(b"\":");
                run.push(&object[value]);
            }
        }
    });
    debug_assert!(scanned.is_ok(), "the frame was scanned before");
    for ((_, member), written) in stamp.each().into_iter().zip(written) {
        if !written {
            separate(run);
            run.push(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::Timestamp;
    use uuid::Uuid;

    const STAMP: &str = r#""id":"00000000-0000-0000-0000-000000000007","createdAt":{"__m_codec__":"Date","v":"1970-01-01T00:00:00.005Z"},"deliveryAttempt":1"#;

    fn encode(body: Body<'_>) -> String {
        let mut run = Run::default();
        let mut encoded = Encoded::default();
        let mut stamp = Stamp::new();
        stamp.set(Uuid::from_u128(7), Timestamp::from_millis(5));
        encoded.write(&mut run, b"t", body, &stamp);
        let run = run.finish();
        let mut text = Vec::new();
        for part in &encoded.parts {
            match part {
                Part::Run(range) => text.extend_from_slice(&run[range.clone()]),
                Part::Shared(bytes) => text.extend_from_slice(bytes),
            }
        }
        assert_eq!(text.len(), encoded.len);
        assert_eq!(text[encoded.event_at], b'{');
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_stamp_is_appended_or_takes_the_place_of_its_namesakes() {
        let head = r#"{"type":"event","topic":"t","event":"#;
        let [id, created_at, attempt] = {
            let mut stamp = Stamp::new();
            stamp.set(Uuid::from_u128(7), Timestamp::from_millis(5));
            stamp
                .each()
                .map(|(_, text)| String::from_utf8(text.to_vec()).unwrap())
        };
        let table = [
            (Body::Copy(b""), format!("{{{STAMP}}}")),
            (
                Body::Copy(br#""data":1"#),
                format!(r#"{{"data":1,{STAMP}}}"#),
            ),
            (
                Body::Share(Bytes::from_static(br#""data":1"#)),
                format!(r#"{{"data":1,{STAMP}}}"#),
            ),
            (
                Body::Stamped(br#""createdAt":0, "i\u0064":"mine","data":1,"id":2"#),
                format!(r#"{{{created_at},{id},"data":1,{attempt}}}"#),
            ),
        ];
        for (body, expected) in table {
            assert_eq!(encode(body), format!("{head}{expected}"));
        }
    }
}
