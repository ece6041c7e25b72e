//! Chunks and events of runs, against streams that were captured from the reference.

mod data;

use bowline_agent::chunk::event::{Failed, Finish, IterationComplete, Suspended};
use bowline_agent::chunk::{Chunk, Decoder, Encoder, Failure, RawChunk, StepStart, ToolRecord};
use bowline_agent::model::{FinishReason, ModelPart, ToolInput};
use bowline_agent::{Data, ErrorKind};
use proptest::prelude::*;

use data::{Captured, captured};

/// The JSON of the typed form of `chunk`.
fn again(chunk: &Chunk, raw: &RawChunk) -> String {
    let run: serde_json::Value = serde_json::from_str(raw.as_str()).expect("JSON");
    let encoder = Encoder::new(run["runId"].as_str().unwrap_or_default().to_owned());
    String::from_utf8(encoder.chunk(chunk).to_vec()).expect("UTF-8")
}

fn chunks() -> Vec<Captured> {
    let events = captured().into_iter();
    let events = events.filter(|event| event.topic.starts_with("agent.stream."));
    events
        .filter(|event| event.kind == "chunk" || event.kind == "step-start")
        .collect()
}

#[test]
fn every_captured_chunk_is_read_into_its_type_and_written_as_it_was() {
    let chunks = chunks();
    assert!(chunks.len() > 150, "the captured streams are there");
    for captured in chunks {
        let (chunk, raw) = Decoder::new()
            .decode(captured.data.clone())
            .expect("a chunk");
        assert!(!matches!(chunk, Chunk::Other(_)), "{raw:?}");
        assert_eq!(raw.as_str(), captured.data);
        assert_eq!(again(&chunk, &raw), captured.data, "{}", captured.file);
        assert_eq!(Chunk::of(&raw), chunk, "both ways of reading agree");
    }
}

#[test]
fn every_captured_event_that_is_no_chunk_is_written_as_it_was() {
    let mut seen = [0; 3];
    for captured in captured() {
        let data = Data::from_json(captured.data.clone()).expect("JSON");
        let (kind, json) = match captured.kind.as_str() {
            "iteration-complete" => (
                0,
                data.parse::<IterationComplete>().expect("typed").to_json(),
            ),
            "suspended" => (1, data.parse::<Suspended>().expect("typed").to_json()),
            "finish" => (2, data.parse::<Finish>().expect("typed").to_json()),
            _ => continue,
        };
        seen[kind] += 1;
        assert_eq!(json, captured.data, "{}", captured.file);
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_failure_of_the_run_has_a_name_and_a_message() {
    let failed = Failed {
        error: Failure::new("Error", "no room"),
    };
    assert_eq!(
        failed.to_json(),
        r#"{"error":{"name":"Error","message":"no room"}}"#
    );
    let event = failed.to_event(&"r".into());
    assert_eq!(
        (event.event_type.as_str(), event.run_id.as_str()),
        ("error", "r")
    );
}

#[test]
fn the_parts_of_an_answer_become_the_chunks_of_the_reference() {
    let call = ToolInput {
        id: "call-1".into(),
        name: "weather".into(),
        ..ToolInput::default()
    };
    let args = || Data::from_json(r#"{"city":"Oslo"}"#).expect("JSON");
    let parts = [
        ModelPart::TextStart {
            id: "t1".into(),
            metadata: None,
        },
        ModelPart::TextDelta {
            id: "t1".into(),
            text: "It is 21".into(),
            metadata: None,
        },
        ModelPart::TextEnd {
            id: "t1".into(),
            metadata: None,
        },
        ModelPart::ToolInputStart(call.clone()),
        ModelPart::ToolInputDelta {
            id: "call-1".into(),
            delta: args().to_string(),
        },
        ModelPart::ToolInputEnd {
            id: "call-1".into(),
        },
        ModelPart::ToolCall { call, args: args() },
    ];
    let mut encoder = Encoder::new("run-tool");
    let expected: Vec<String> = chunks().into_iter().map(|chunk| chunk.data).collect();
    for part in &parts {
        let chunk = encoder.part(part).expect("not the end of the answer");
        let chunk = String::from_utf8(chunk.to_vec()).expect("UTF-8");
        assert!(expected.contains(&chunk), "{chunk}");
    }
    let finish = ModelPart::Finish {
        reason: FinishReason::Stop,
        usage: Default::default(),
        metadata: None,
    };
    assert_eq!(encoder.part(&finish), None);
}

#[test]
fn the_iteration_of_a_step_is_one_more_member_at_its_end() {
    let start = StepStart {
        message_id: "m".into(),
        started_at: None,
        iteration: Some(2),
    };
    let json = Encoder::new("r").chunk(&Chunk::StepStart(Box::new(start.clone())));
    let expected = r#"{"type":"step-start","runId":"r","from":"AGENT","payload":{"stepId":"durable-llm-execution","messageId":"m","warnings":[],"request":{},"iteration":2}}"#;
    assert_eq!(json, expected);
    let raw = RawChunk::read(json).expect("a chunk");
    assert_eq!(Chunk::of(&raw), Chunk::StepStart(Box::new(start)));
}

#[test]
fn null_is_not_the_same_as_nothing() {
    for (payload, expected) in [
        (
            r#"{"toolCallId":"c","toolName":"t","args":{},"result":null}"#,
            Some(Data::null()),
        ),
        (r#"{"toolCallId":"c","toolName":"t","args":{}}"#, None),
    ] {
        let text =
            format!(r#"{{"type":"tool-result","runId":"r","from":"AGENT","payload":{payload}}}"#);
        let raw = RawChunk::read(text.clone()).expect("a chunk");
        let Chunk::ToolResult(result) = Chunk::of(&raw) else {
            panic!("a result");
        };
        assert_eq!(result.result, expected);
        assert_eq!(Encoder::new("r").chunk(&Chunk::ToolResult(result)), text);
        let record: ToolRecord = serde_json::from_str(payload).expect("a record");
        assert_eq!(record.result, expected);
    }
}

#[test]
fn what_is_unknown_is_passed_on_as_it_is() {
    for text in [
        r#"{"type":"goal","runId":"r","from":"AGENT","payload":{"objective":"x"}}"#,
        r#"{ "payload" : 1, "type" : "text-delta" }"#,
        r#"{"type":"text-delta","payload":{"id":7,"text":"x"}}"#,
        r#"{"type":"tool-result","payload":{"no":"call"}}"#,
        r#"{"type":"step-finish"}"#,
        r#"{"type":"object","object":{"a":1}}"#,
    ] {
        let (chunk, raw) = Decoder::new().decode(text).expect("a chunk");
        assert_eq!(chunk, Chunk::Other(raw.clone()), "{text}");
        assert_eq!(raw.as_str(), text);
        assert_eq!(Encoder::new("r").chunk(&chunk), text);
    }
}

#[test]
fn members_may_come_in_any_order_and_spelling() {
    let text = r#"{"payload":{"text":"a\u0062\ud83d\ude00\ud800","id":"t\u0031"},"from":"AGENT","\u0074ype":"text-delta","runId":"r"}"#;
    let (chunk, _) = Decoder::new().decode(text).expect("a chunk");
    let Chunk::TextDelta(delta) = chunk else {
        panic!("a piece of text");
    };
    assert_eq!(
        (delta.id.as_str(), delta.text.as_str()),
        ("t1", "ab😀\u{fffd}")
    );
}

#[test]
fn a_member_that_is_there_twice_makes_another_chunk_of_a_piece_of_text() {
    for payload in [
        r#"{"id":"t1","id":"t2","text":"a"}"#,
        r#"{"id":"t1","text":"a","text":"b"}"#,
    ] {
        let json = format!(r#"{{"type":"text-delta","payload":{payload}}}"#);
        let (chunk, raw) = Decoder::new().decode(json).unwrap();
        assert_eq!(chunk, Chunk::Other(raw));
    }
}

#[test]
fn what_is_no_chunk_is_an_error_that_says_so() {
    let deep = format!(
        r#"{{"type":"x","payload":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"x""#,
        deep.as_str(),
    ] {
        let error = RawChunk::read(text.to_owned()).expect_err("no chunk");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
    }
    RawChunk::read(&b"{\"type\":\"\xff\"}"[..]).expect_err("no UTF-8");
}

/// JSON with the structure of chunks, and with anything in the place of anything.
fn hostile() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("-1.5e300".to_owned()),
        Just("[]".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a text")),
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    let value = scalar.prop_recursive(3, 24, 6, |inner| {
        let key = prop::sample::select(vec![
            "id",
            "text",
            "toolCallId",
            "toolName",
            "args",
            "result",
            "error",
            "message",
            "output",
            "usage",
            "stepResult",
            "reason",
            "_durableStepContent",
            "type",
            "messageId",
            "approval",
            "inputTokens",
            "payload",
        ]);
        prop::collection::vec((key, inner), 0..6).prop_map(|members| {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("\"{key}\":{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        })
    });
    let kind = prop::sample::select(vec![
        "text-delta",
        "reasoning-delta",
        "text-end",
        "tool-call",
        "tool-result",
        "tool-error",
        "tool-output",
        "tool-output-denied",
        "tool-call-delta",
        "step-start",
        "step-finish",
        "finish",
        "error",
        "raw",
        "file",
        "source",
        "tripwire",
        "data-x",
        "response-metadata",
        "redacted-reasoning",
        "start",
        "abort",
    ]);
    (kind, value).prop_map(|(kind, value)| {
        format!(r#"{{"type":"{kind}","payload":{value},"data":{value}}}"#)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_payload_is_read_and_what_was_read_is_written_as_json(text in hostile()) {
        let (chunk, raw) = Decoder::new().decode(text.clone()).expect("an object with a type");
        prop_assert_eq!(raw.as_str(), &text);
        let json = Encoder::new("r").chunk(&chunk);
        let (second, _) = Decoder::new().decode(json).expect("a chunk");
        if !matches!(chunk, Chunk::Other(_)) {
            prop_assert_eq!(second, chunk);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..200) {
        let _ = RawChunk::read(bytes);
        let whole = r#"{"type":"text-delta","runId":"r","from":"AGENT","payload":{"id":"t1","text":"A\u00e9\"hoy"}}"#;
        let cut = cut.min(whole.len());
        prop_assert_eq!(RawChunk::read(whole[..cut].to_owned()).is_ok(), cut == whole.len());
    }

    #[test]
    fn a_text_survives_whatever_it_holds(id in any::<String>(), text in any::<String>(), run in any::<String>()) {
        let part = ModelPart::TextDelta { id: id.clone().into(), text: text.clone(), metadata: None };
        let json = Encoder::new(run).part(&part).expect("a chunk");
        let (chunk, _) = Decoder::new().decode(json).expect("a chunk");
        let Chunk::TextDelta(delta) = chunk else { panic!("a piece of text") };
        prop_assert_eq!(delta.id.as_str(), id.as_str());
        prop_assert_eq!(delta.text, text);
    }
}
