//! The result of a step that a server of the reference executed for us.

use super::members::Members;
use super::step_result::{META, without_meta};
use crate::Data;
use crate::machine::{Completion, Failure, Outcome, Suspension};

/// What the JSON of a step result means to a run of ours; the error says what is wrong with it.
pub(super) fn completion(json: &[u8]) -> Result<Completion, String> {
    let result: Members = serde_json::from_slice(json)
        .map_err(|error| format!("the answer is no result of a step: {error}"))?;
    let status = result.text("status").unwrap_or_default();
    let outcome = match status.as_str() {
        "success" => Outcome::Success(output(&result)),
        "bailed" => Outcome::Bailed(output(&result)),
        "suspended" => Outcome::Suspended(suspension(&result)),
        "failed" => return Ok(Outcome::Failed(failure(&result)).into()),
        _ => return Err(format!("a step cannot end with the status {status:?}")),
    };
    let delta = result.get("__stateDelta").filter(|delta| delta.is_object());
    Ok(Completion {
        outcome,
        state: delta.cloned(),
    })
}

/// JavaScript leaves out what is undefined.
fn output(result: &Members) -> Data {
    result.get("output").cloned().unwrap_or_default()
}

fn suspension(result: &Members) -> Suspension {
    let Some(payload) = result.get("suspendPayload") else {
        return Suspension::default();
    };
    let meta = Members::of(payload).and_then(|members| Members::of(members.get(META)?));
    let labels = meta.and_then(|meta| Members::of(meta.get("resumeLabels")?));
    let labels = labels.unwrap_or_default();
    Suspension {
        payload: without_meta(payload),
        labels: labels.iter().map(|(label, _)| label.to_owned()).collect(),
    }
}

fn failure(result: &Members) -> Failure {
    let tripwire = result
        .get("tripwire")
        .filter(|tripwire| !tripwire.is_null());
    let last = result
        .get("nonRetryable")
        .is_some_and(|last| last.as_str() == "true");
    Failure {
        error: error(result.get("error")),
        last: last || tripwire.is_some(),
        tripwire: tripwire.cloned(),
    }
}

/// The error as an object with `message` and `name`. The stack is of no use to anybody here, and names files over there.
fn error(error: Option<&Data>) -> Data {
    let Some(mut members) = error.and_then(Members::of) else {
        let message = error.and_then(|error| error.parse::<String>().ok());
        let message = message.unwrap_or_else(|| "the step failed without an error".to_owned());
        return Failure::new("Error", &message).error;
    };
    members.remove("stack");
    for (name, text) in [("message", "\"\""), ("name", "\"Error\"")] {
        if members.get(name).is_none() {
            members.set(name, Data::made(text.to_owned()));
        }
    }
    members.to_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(json: &str) -> Outcome {
        completion(json.as_bytes()).unwrap().outcome
    }

    fn data(json: &str) -> Data {
        Data::from_json(json.to_owned()).unwrap()
    }

    #[test]
    fn every_status_of_a_step_has_its_outcome() {
        let success = outcome(r#"{"status":"success","output":[1]}"#);
        assert_eq!(success, Outcome::Success(data("[1]")));
        assert_eq!(
            outcome(r#"{"status":"success"}"#),
            Outcome::Success(Data::null())
        );
        let bailed = outcome(r#"{"status":"bailed","output":1}"#);
        assert_eq!(bailed, Outcome::Bailed(data("1")));
        for status in ["paused", "running", "skipped", "canceled", "", "SUCCESS"] {
            let json = format!(r#"{{"status":"{status}"}}"#);
            assert!(completion(json.as_bytes()).is_err(), "{status}");
        }
        for json in [
            "",
            "[]",
            "1",
            "null",
            "{}",
            r#"{"status":1}"#,
            r#"{"status":"success"}}"#,
        ] {
            assert!(completion(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn what_a_step_suspends_with_is_told_from_how_to_resume_it() {
        for (payload, own, labels) in [
            (
                r#"{"a":1,"__workflow_meta":{"path":["x"],"resumeLabels":{"l":{"stepId":"x"},"m":{}}}}"#,
                r#"{"a":1}"#,
                vec!["l", "m"],
            ),
            (r#"{"__workflow_meta":{"path":["x"]}}"#, "null", vec![]),
            (r#"{"a":1}"#, r#"{"a":1}"#, vec![]),
            ("{}", "{}", vec![]),
            ("7", "7", vec![]),
        ] {
            let json = format!(r#"{{"status":"suspended","suspendPayload":{payload}}}"#);
            let expected = Suspension {
                payload: data(own),
                labels: labels.into_iter().map(str::to_owned).collect(),
            };
            assert_eq!(outcome(&json), Outcome::Suspended(expected), "{payload}");
        }
        let bare = outcome(r#"{"status":"suspended"}"#);
        assert_eq!(bare, Outcome::Suspended(Suspension::default()));
    }

    #[test]
    fn a_failure_has_an_error_with_a_message_and_a_name_and_no_stack() {
        for (result, error, last) in [
            (
                r#""error":{"message":"no","name":"TypeError","stack":"at /srv"}"#,
                r#"{"message":"no","name":"TypeError"}"#,
                false,
            ),
            (
                r#""error":{"code":"C","message":"m"},"nonRetryable":true"#,
                r#"{"code":"C","message":"m","name":"Error"}"#,
                true,
            ),
            (
                r#""error":"text""#,
                r#"{"message":"text","name":"Error"}"#,
                false,
            ),
            (
                r#""error":{"message":"m","name":"n"},"tripwire":{"reason":"r"}"#,
                r#"{"message":"m","name":"n"}"#,
                true,
            ),
            (
                r#""tripwire":null"#,
                r#"{"message":"the step failed without an error","name":"Error"}"#,
                false,
            ),
        ] {
            let json = format!(r#"{{"status":"failed","__stateDelta":{{"x":1}},{result}}}"#);
            let completion = completion(json.as_bytes()).unwrap();
            let Outcome::Failed(failure) = completion.outcome else {
                panic!("{json}");
            };
            assert_eq!((failure.error.as_str(), failure.last), (error, last));
            assert_eq!(completion.state, None, "a failed step changes nothing");
        }
    }

    #[test]
    fn the_state_that_a_step_set_is_taken() {
        let read = |json: &str| completion(json.as_bytes()).unwrap().state;
        assert_eq!(read(r#"{"status":"success","__state":{"a":1}}"#), None);
        assert_eq!(
            read(r#"{"status":"success","__stateDelta":{"a":1}}"#),
            Some(data(r#"{"a":1}"#))
        );
        assert_eq!(read(r#"{"status":"success","__stateDelta":7}"#), None);
    }
}
