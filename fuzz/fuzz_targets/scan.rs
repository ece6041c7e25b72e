//! The scanner against `serde_json`: the same texts are JSON, the same members are found.

#![no_main]

use std::ops::Range;

use bowline_events::json::{self, MemberVisitor, ScanErrorKind};
use libfuzzer_sys::fuzz_target;
use serde_json::de::IoRead;

/// Gathers the ranges of all members and of the members of all of them.
#[derive(Default)]
struct All {
    outer: Vec<Range<usize>>,
    inner: Vec<Range<usize>>,
}

impl MemberVisitor for All {
    fn descend(&mut self, _key: &[u8]) -> bool {
        true
    }

    fn inner(&mut self, _key: &[u8], value: Range<usize>) {
        self.inner.push(value);
    }

    fn member(&mut self, key: &[u8], value: Range<usize>) {
        let name = json::unescape(key).expect("a scanned key can be unescaped");
        // Names with U+FFFD may stand for what no name can be.
        assert!(json::same_key(key, &name) || name.contains('\u{fffd}'));
        self.outer.push(value);
    }
}

fuzz_target!(|text: &[u8]| {
    let ours = json::validate(text);
    // The stream form has no borrowed fast path that checks more than the grammar.
    let mut judge = serde_json::Deserializer::new(IoRead::new(text));
    let theirs = serde::de::Deserialize::deserialize(&mut judge)
        .and_then(|serde::de::IgnoredAny| judge.end());
    match (&ours, &theirs) {
        (Ok(()), Err(error)) => assert!(error.to_string().contains("recursion"), "{error}"),
        (Err(error), Ok(())) => assert_eq!(error.kind(), ScanErrorKind::Depth),
        _ => {}
    }
    if let Err(error) = ours {
        assert!(error.offset() <= text.len());
    }

    let mut all = All::default();
    let object = json::members_nested(text, &mut all).is_ok();
    assert_eq!(json::members(text, |_, _| {}).is_ok(), object);
    if object {
        assert!(ours.is_ok());
        for range in all.outer.into_iter().chain(all.inner) {
            assert!(json::validate(&text[range]).is_ok());
        }
    }

    let _ = json::unescape(text);
    if let Ok(text) = json::utf8(text) {
        let mut quoted = Vec::new();
        json::escape_into(text, &mut quoted);
        let raw = &quoted[1..quoted.len() - 1];
        assert_eq!(json::unescape(raw).as_deref(), Ok(text));
    }
});
