//! What was recorded, as facts.

use serde_json::Value;

use super::log::Line;
use crate::Resume;
use crate::machine::{At, Fact, Failure, Machine, Outcome, Suspension, Travel};

/// How a run began, or began again.
pub(super) fn start(line: &Line, at: At) -> Fact {
    let travel = &line.data["timeTravel"];
    if travel.is_object() {
        let travel = Travel {
            step: serde_json::from_value(travel["steps"].clone()).unwrap(),
            input: Some(travel["inputData"].clone().into()),
            ..Travel::default()
        };
        return Fact::Traveled { at, travel };
    }
    Fact::Started {
        at,
        input: line.result()["output"].clone().into(),
        state: Some(line.data["initialState"].clone().into()),
        context: Some(line.data["requestContext"].clone().into()),
        per_step: line.data["perStep"] == true,
    }
}

/// What was resumed, if it waits here too.
pub(super) fn resume(line: &Line, at: At, machine: &Machine) -> Result<Fact, String> {
    let steps: Vec<String> = serde_json::from_value(line.data["resumeSteps"].clone()).unwrap();
    let mut resume = Resume::with_data(line.data["resumeData"].clone().into()).path(steps);
    if let Some(index) = line.data["forEachIndex"].as_u64() {
        resume = resume.index(usize::try_from(index).unwrap());
    }
    let spots = machine.select(&resume).map_err(|error| error.to_string())?;
    Ok(Fact::Resumed {
        at,
        spots,
        data: resume.data,
        context: None,
        per_step: false,
    })
}

/// The recorded end of a step.
pub(super) fn outcome(result: &Value) -> Result<Outcome, String> {
    Ok(match result["status"].as_str() {
        Some("success") => Outcome::Success(result["output"].clone().into()),
        Some("failed") => Outcome::Failed(Failure {
            error: result["error"].clone().into(),
            last: false,
            tripwire: result.get("tripwire").map(|value| value.clone().into()),
        }),
        Some("suspended") => {
            let mut payload = result["suspendPayload"].clone();
            let members = payload.as_object_mut().ok_or("no payload")?;
            let meta = members.remove("__workflow_meta").unwrap_or_default();
            let labels = meta["resumeLabels"].as_object();
            Outcome::Suspended(Suspension {
                labels: labels
                    .map(|labels| labels.keys().cloned().collect())
                    .unwrap_or_default(),
                payload: payload.into(),
            })
        }
        other => return Err(format!("a step ended as {other:?}")),
    })
}
