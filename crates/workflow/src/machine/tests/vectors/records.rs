//! What a run knows of its steps, against what the recorded one knew.

use serde_json::{Map, Value};

use super::log::masked;
use crate::machine::Machine;

/// The recorded steps whose record is another one here, and how. Sleeps have a record here only.
pub(super) fn different(
    machine: &Machine,
    frame: usize,
    recorded: &Value,
) -> Vec<(String, String)> {
    let Some(recorded) = recorded.as_object() else {
        return Vec::new();
    };
    let ours = ours(machine, frame);
    let mut different = Vec::new();
    for (id, value) in recorded {
        if matches!(id.as_str(), "input" | "__state") {
            continue;
        }
        let recorded = plain(value);
        let own = ours.get(id);
        if own != Some(&recorded) {
            let own = own.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let problem = format!("the record of {id:?} is {own}\n    instead of {recorded}");
            different.push((id.clone(), problem));
        }
    }
    for (id, own) in &ours {
        if !recorded.contains_key(id) && id != "sleep" {
            let problem = format!("the record of {id:?} is {own}\n    instead of nothing");
            different.push((id.clone(), problem));
        }
    }
    different
}

/// A record without what the engine of the reference keeps in it for itself.
pub(super) fn plain(record: &Value) -> Value {
    let mut record = masked(record);
    if let Some(members) = record.as_object_mut() {
        members.remove("__state");
        members.remove("__stateDelta");
    }
    record
}

pub(super) fn ours(machine: &Machine, frame: usize) -> Map<String, Value> {
    let frame = &machine.frames[frame];
    let mut ours = Map::new();
    for entry in &frame.workflow.definition().entries {
        for id in entry.ids() {
            let index = frame.workflow.index_of(&id).unwrap();
            if let Some(result) = frame.result(index) {
                let json: Value = result.to_json().parse().unwrap();
                ours.insert(id.to_string(), masked(&json));
            }
        }
    }
    ours
}
