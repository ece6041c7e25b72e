//! The ids of schedules, made as the reference makes them.

use std::fmt::Write as _;

use bowline_events::Text;

use super::Target;
use super::record::MAX_ID;
use crate::{Error, ErrorKind, Result};

/// The id of a schedule that is declared with its workflow: `wf_<workflow>`, or `wf_<workflow>__<name>` for one of several.
/// Both parts are URL-encoded, and `_` becomes `%5F`, so that the two underscores are found again.
///
/// ```
/// use bowline_workflow::schedule::declared_id;
/// assert_eq!(declared_id("sched_wf", None), "wf_sched%5Fwf");
/// assert_eq!(declared_id("a b", Some("daily")), "wf_a%20b__daily");
/// ```
pub fn declared_id(workflow: &str, name: Option<&str>) -> Text {
    let mut id = String::from("wf_");
    encode(workflow, &mut id);
    if let Some(name) = name {
        id.push_str("__");
        encode(name, &mut id);
    }
    id.into()
}

/// `encodeURIComponent`, and `_` as well.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The id of a schedule that somebody made at run time: `schedule_<name>` for a workflow, `agent_<name>` for an agent, where
/// the name is made of lower-case letters, digits and hyphens, or random.
pub(super) fn imperative_id(target: &Target, name: Option<&str>) -> Text {
    let prefix = match target {
        Target::Workflow(_) => "schedule",
        Target::Agent(_) => "agent",
    };
    let slug = name.map(slug).filter(|slug| !slug.is_empty());
    let name = slug.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    format!("{prefix}_{name}").into()
}

fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// Whether `id` can be the name of `what`.
pub(super) fn check_id(what: &str, id: &str) -> Result<()> {
    let problem = if id.is_empty() {
        format!("the id of {what} is empty; give it a name")
    } else if id.len() > MAX_ID {
        format!(
            "the id of {what} has {} bytes, the limit is {MAX_ID}; shorten it",
            id.len()
        )
    } else if id.chars().any(char::is_control) {
        format!("the id of {what} has a control character; leave it out")
    } else {
        return Ok(());
    };
    let shown: String = id.chars().take(64).collect();
    Err(Error::new(ErrorKind::InvalidInput, "schedule", problem).with_subject(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_reference() {
        let workflow = Target::workflow("w");
        assert_eq!(
            imperative_id(&workflow, Some("my-sched")),
            "schedule_my-sched"
        );
        assert_eq!(
            imperative_id(&workflow, Some(" Every  Day! ")),
            "schedule_every-day"
        );
        assert_eq!(
            imperative_id(&Target::agent("a", Default::default()), Some("x")),
            "agent_x"
        );
        let random = imperative_id(&workflow, Some("!!"));
        assert_eq!(random.len(), "schedule_".len() + 36);
        assert_ne!(random, imperative_id(&workflow, None));
    }

    #[test]
    fn parts_of_declared_ids_cannot_be_confused() {
        assert_ne!(declared_id("a__b", None), declared_id("a", Some("b")));
        assert_eq!(declared_id("ü/_", None), "wf_%C3%BC%2F%5F");
    }
}
