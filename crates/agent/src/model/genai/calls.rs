//! Putting tool calls together that come in pieces.

use std::collections::VecDeque;

use ::genai::chat::ToolCall;
use bowline_events::Text;
use serde_json::Value;
use uuid::Uuid;

use crate::Data;
use crate::model::{ModelPart, ToolInput};
use crate::tool::MAX_TOOL_BYTES;

/// The tool calls of an answer.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    /// What the provider calls it; not always different from the others.
    provider_id: String,
    input: ToolInput,
    /// The arguments so far.
    written: String,
    closed: bool,
}

/// More came than may come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// For a call that was complete.
    AfterEnd,
    /// Than the arguments of a tool may have.
    TooLarge,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a piece of a call: all of its arguments so far when they are a text, else all of them. `metadata` goes with the call.
    pub(super) fn piece(
        &mut self,
        piece: ToolCall,
        metadata: Option<Data>,
        parts: &mut VecDeque<ModelPart>,
    ) -> Result<(), Excess> {
        let (written, whole) = match piece.fn_arguments {
            Value::String(text) => (text, false),
            Value::Null => (String::new(), true),
            other => (other.to_string(), true),
        };
        let known = self.0.iter_mut().rev().find(|call| {
            call.provider_id == piece.call_id
                && !whole
                && call.input.name == piece.fn_name.as_str()
                && written.starts_with(&call.written)
        });
        if let Some(call) = known {
            return call.write(written, parts);
        }
        self.close_complete(parts);
        let mut call = Call {
            input: ToolInput {
                id: self.id_for(&piece.call_id),
                name: piece.fn_name.into(),
                provider_executed: false,
                metadata,
            },
            provider_id: piece.call_id,
            written: String::new(),
            closed: false,
        };
        parts.push_back(ModelPart::ToolInputStart(call.input.clone()));
        call.write(written, parts)?;
        if whole {
            call.close(parts);
        }
        self.0.push(call);
        Ok(())
    }

    /// What is complete is called before something else begins.
    pub(super) fn close_complete(&mut self, parts: &mut VecDeque<ModelPart>) {
        for call in &mut self.0 {
            if !call.closed && call.is_complete() {
                call.close(parts);
            }
        }
    }

    /// The answer is over.
    pub(super) fn close(&mut self, parts: &mut VecDeque<ModelPart>) {
        for call in &mut self.0 {
            if !call.closed {
                call.close(parts);
            }
        }
    }

    /// The id of the provider, unless it is one of those that come again in every answer.
    fn id_for(&self, provider_id: &str) -> Text {
        let counted = provider_id.strip_prefix("call_");
        let counted = counted.is_some_and(|rest| rest.len() < 4 && rest.parse::<u16>().is_ok());
        let taken = self.0.iter().any(|call| call.input.id == provider_id);
        if provider_id.is_empty() || counted || taken {
            return format!("call_{}", Uuid::new_v4().simple()).into();
        }
        provider_id.to_owned().into()
    }
}

impl Call {
    /// Takes the arguments as far as they are now.
    fn write(&mut self, written: String, parts: &mut VecDeque<ModelPart>) -> Result<(), Excess> {
        let delta = written.get(self.written.len()..).unwrap_or_default();
        if delta.is_empty() {
            return Ok(());
        }
        if written.len() > MAX_TOOL_BYTES {
            return Err(Excess::TooLarge);
        }
        if self.closed {
            return Err(Excess::AfterEnd);
        }
        parts.push_back(ModelPart::ToolInputDelta {
            id: self.input.id.clone(),
            delta: delta.to_owned(),
        });
        self.written = written;
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.written.trim_end().ends_with('}') && Data::from_json(self.written.clone()).is_ok()
    }

    fn close(&mut self, parts: &mut VecDeque<ModelPart>) {
        self.closed = true;
        let id = self.input.id.clone();
        parts.push_back(ModelPart::ToolInputEnd { id });
        parts.push_back(ModelPart::ToolCall {
            call: self.input.clone(),
            args: arguments(&self.written),
        });
    }
}

/// The arguments, or the text that they should have been.
fn arguments(written: &str) -> Data {
    if written.trim().is_empty() {
        return Data::object();
    }
    let text = || Data::from(Value::from(written));
    Data::from_json(written.to_owned()).unwrap_or_else(|_| text())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn piece(id: &str, name: &str, arguments: Value) -> ToolCall {
        ToolCall {
            call_id: id.to_owned(),
            fn_name: name.to_owned(),
            fn_arguments: arguments,
            thought_signatures: None,
        }
    }

    /// The parts, short, with the ids in the order of their appearance.
    fn shown(pieces: Vec<ToolCall>) -> Vec<String> {
        let mut calls = Calls::default();
        let mut parts = VecDeque::new();
        for piece in pieces {
            calls.piece(piece, None, &mut parts).unwrap();
        }
        calls.close(&mut parts);
        let ids: Vec<_> = calls.0.iter().map(|call| call.input.id.clone()).collect();
        let number = |id: &Text| ids.iter().position(|own| own == id).unwrap();
        parts
            .iter()
            .map(|part| match part {
                ModelPart::ToolInputStart(call) => format!("start {}", number(&call.id)),
                ModelPart::ToolInputDelta { id, delta } => format!("{} {delta}", number(id)),
                ModelPart::ToolInputEnd { id } => format!("end {}", number(id)),
                ModelPart::ToolCall { call, args } => format!("call {} {args}", number(&call.id)),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn calls_come_one_after_the_other() {
        let pieces = vec![
            piece("a", "f", json!("")),
            piece("a", "f", json!("{\"x\"")),
            piece("a", "f", json!("{\"x\":1}")),
            piece("b", "f", json!("{}")),
        ];
        let expected = [
            "start 0",
            "0 {\"x\"",
            "0 :1}",
            "end 0",
            "call 0 {\"x\":1}",
            "start 1",
            "1 {}",
            "end 1",
            "call 1 {}",
        ];
        assert_eq!(shown(pieces), expected);
    }

    #[test]
    fn calls_that_come_at_once_are_kept_apart() {
        let pieces = vec![
            piece("a", "f", json!("{\"x\"")),
            piece("b", "g", json!("{\"y\"")),
            piece("a", "f", json!("{\"x\":1}")),
            piece("b", "g", json!("{\"y\":2}")),
        ];
        let expected = [
            "start 0",
            "0 {\"x\"",
            "start 1",
            "1 {\"y\"",
            "0 :1}",
            "1 :2}",
            "end 0",
            "call 0 {\"x\":1}",
            "end 1",
            "call 1 {\"y\":2}",
        ];
        assert_eq!(shown(pieces), expected);
    }

    #[test]
    fn ids_are_made_different() {
        for id in ["", "call_0", "same"] {
            let pieces = [json!({"x": 1}), json!({"x": 2})].map(|args| piece(id, "f", args));
            let calls = shown(pieces.to_vec());
            assert!(calls.contains(&"call 1 {\"x\":2}".to_owned()), "{calls:?}");
        }
        let mut parts = VecDeque::new();
        let mut calls = Calls::default();
        calls
            .piece(piece("call_0", "f", json!({})), None, &mut parts)
            .unwrap();
        assert_ne!(calls.0[0].input.id, "call_0");
        calls
            .piece(piece("toolu_1", "f", json!({})), None, &mut parts)
            .unwrap();
        assert_eq!(calls.0[1].input.id, "toolu_1");
    }

    #[test]
    fn what_is_no_json_is_a_text_and_nothing_is_an_object() {
        for (written, args) in [("{\"x\"", "\"{\\\"x\\\"\""), ("", "{}"), (" ", "{}")] {
            let calls = shown(vec![piece("a", "f", json!(written))]);
            assert_eq!(calls.last().unwrap(), &format!("call 0 {args}"));
        }
    }

    #[test]
    fn more_than_everything_is_refused() {
        let mut calls = Calls::default();
        let mut parts = VecDeque::new();
        calls
            .piece(piece("a", "f", json!("{}")), None, &mut parts)
            .unwrap();
        calls.close_complete(&mut parts);
        let more = calls.piece(piece("a", "f", json!("{} {}")), None, &mut parts);
        assert_eq!(more, Err(Excess::AfterEnd));
        let large = "x".repeat(MAX_TOOL_BYTES + 1);
        let large = calls.piece(piece("b", "f", json!(large)), None, &mut parts);
        assert_eq!(large, Err(Excess::TooLarge));
    }

    proptest! {
        /// However the arguments of calls are cut into pieces, and the pieces mixed, they come out whole.
        #[test]
        fn arguments_come_out_whole(
            texts in prop::collection::vec("\\PC{0,12}", 1..4),
            turns in prop::collection::vec((0_usize..4, 1_usize..5), 0..60),
        ) {
            let whole: Vec<Vec<char>> =
                texts.iter().map(|text| json!({"a": text}).to_string().chars().collect()).collect();
            let mut ends = vec![0_usize; whole.len()];
            let mut calls = Calls::default();
            let mut parts = VecDeque::new();
            let finish = (0..whole.len()).map(|call| (call, usize::MAX));
            for (call, length) in turns.into_iter().chain(finish) {
                let call = call % whole.len();
                ends[call] = whole[call].len().min(ends[call].saturating_add(length));
                let written: String = whole[call][..ends[call]].iter().collect();
                let id = format!("toolu_{call}");
                calls.piece(piece(&id, "f", json!(written)), None, &mut parts).unwrap();
            }
            calls.close(&mut parts);
            for (call, whole) in whole.iter().enumerate() {
                let id = Text::from(format!("toolu_{call}"));
                let whole: String = whole.iter().collect();
                let deltas = parts.iter().filter_map(|part| match part {
                    ModelPart::ToolInputDelta { id: own, delta } if *own == id => Some(delta.as_str()),
                    _ => None,
                });
                prop_assert_eq!(&deltas.collect::<String>(), &whole);
                let args: Vec<_> = parts.iter().filter_map(|part| match part {
                    ModelPart::ToolCall { call, args } if call.id == id => Some(args.as_str()),
                    _ => None,
                }).collect();
                prop_assert_eq!(args, [whole.as_str()]);
            }
        }
    }
}
