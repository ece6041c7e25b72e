//! What a schedule starts.

use bowline_events::Text;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Json;
use super::json::Members;
use crate::Result;

/// What a schedule starts, in the JSON form of the reference: `{"type":"workflow", "workflowId", ...}` or
/// `{"type":"agent", "agentId", ...}`. Members that are not known here come back as they were.
///
/// ```
/// use bowline_workflow::schedule::{Json, Target};
/// let target = Target::workflow("triage").with_input(Json::parse(r#"{"n":1}"#)?);
/// let text = serde_json::to_string(&target).expect("a target has a JSON form");
/// assert_eq!(text, r#"{"type":"workflow","workflowId":"triage","inputData":{"n":1}}"#);
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A workflow.
    Workflow(WorkflowTarget),
    /// An agent.
    Agent(AgentTarget),
}

/// A workflow, and what its runs begin with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkflowTarget {
    /// The workflow.
    pub workflow_id: Text,
    /// The input of every run; an empty object if there is none.
    pub input_data: Option<Json>,
    /// The state of every run at its beginning.
    pub initial_state: Option<Json>,
    /// What the reference calls request context: values for the steps.
    pub request_context: Option<Json>,
    /// Whom the runs belong to.
    pub resource_id: Option<Text>,
    /// Members that are not known here.
    pub other: Members,
}

/// An agent, and what it is asked for. Everything but the agent is for the layer of agents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentTarget {
    /// The agent.
    pub agent_id: Text,
    /// The other members: `prompt`, `threadId`, ...
    pub other: Members,
}

impl Target {
    /// The workflow `id`, without input.
    pub fn workflow(id: impl Into<Text>) -> Self {
        Self::Workflow(WorkflowTarget {
            workflow_id: id.into(),
            ..WorkflowTarget::default()
        })
    }

    /// The agent `id`, with the other members of the target.
    pub fn agent(id: impl Into<Text>, other: Members) -> Self {
        Self::Agent(AgentTarget {
            agent_id: id.into(),
            other,
        })
    }

    /// The same with this input for the runs of a workflow; for an agent nothing changes.
    #[must_use]
    pub fn with_input(mut self, input: Json) -> Self {
        if let Self::Workflow(target) = &mut self {
            target.input_data = Some(input);
        }
        self
    }

    /// The id of the workflow or agent.
    pub fn id(&self) -> &Text {
        match self {
            Self::Workflow(target) => &target.workflow_id,
            Self::Agent(target) => &target.agent_id,
        }
    }

    /// `workflow` or `agent`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Workflow(_) => "workflow",
            Self::Agent(_) => "agent",
        }
    }

    /// What lists of schedules are filtered by.
    pub(super) fn group(&self) -> Text {
        format!("{}:{}", self.kind(), self.id()).into()
    }

    fn members(&self) -> Result<Members> {
        let mut members = vec![("type".into(), Json::of(self.kind())?)];
        match self {
            Self::Workflow(target) => {
                members.push(("workflowId".into(), Json::of(target.workflow_id.as_str())?));
                let resource = target.resource_id.as_deref().map(Json::of).transpose()?;
                let optional = [
                    ("inputData", target.input_data.clone()),
                    ("initialState", target.initial_state.clone()),
                    ("requestContext", target.request_context.clone()),
                    ("resourceId", resource),
                ];
                let present = optional.into_iter();
                members.extend(present.filter_map(|(name, value)| Some((name.into(), value?))));
                members.extend(target.other.0.iter().cloned());
            }
            Self::Agent(target) => {
                members.push(("agentId".into(), Json::of(target.agent_id.as_str())?));
                members.extend(target.other.0.iter().cloned());
            }
        }
        Ok(Members(members))
    }

    fn from_members(mut members: Members) -> Result<Self, serde_json::Error> {
        let kind = required(&mut members, "type")?;
        match kind.as_str() {
            "workflow" => Ok(Self::Workflow(WorkflowTarget {
                workflow_id: required(&mut members, "workflowId")?,
                input_data: members.take("inputData"),
                initial_state: members.take("initialState"),
                request_context: members.take("requestContext"),
                resource_id: optional(&mut members, "resourceId")?,
                other: members,
            })),
            // The older name of the reference for an agent.
            "agent" | "heartbeat" => Ok(Self::Agent(AgentTarget {
                agent_id: required(&mut members, "agentId")?,
                other: members,
            })),
            other => Err(serde_json::Error::custom(format_args!(
                "the target has the type {other:?}; it is \"workflow\" or \"agent\""
            ))),
        }
    }
}

fn optional(members: &mut Members, name: &str) -> Result<Option<Text>, serde_json::Error> {
    let Some(value) = members.take(name) else {
        return Ok(None);
    };
    let text: Option<String> = serde_json::from_str(value.as_str())?;
    Ok(text.map(Text::from))
}

fn required(members: &mut Members, name: &str) -> Result<Text, serde_json::Error> {
    optional(members, name)?
        .ok_or_else(|| serde_json::Error::custom(format_args!("the target has no {name:?}")))
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.members().map_err(serde::ser::Error::custom)?;
        members.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Members::deserialize(deserializer)?;
        Self::from_members(members).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_comes_back_as_it_was() {
        for text in [
            r#"{"type":"workflow","workflowId":"w"}"#,
            r#"{"type":"workflow","workflowId":"w","inputData":{"n":1.0},"initialState":null,"requestContext":{},"resourceId":"r"}"#,
            r#"{"type":"workflow","workflowId":"w","definitionHash":"66558c417c7823f8","z":12345678901234567890123}"#,
            r#"{"type":"agent","agentId":"a","prompt":"hello","ifActive":{"b":1,"a":2},"threadId":"t"}"#,
        ] {
            let target: Target = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&target).unwrap(), text);
        }
    }

    #[test]
    fn the_older_name_of_an_agent_is_read() {
        let target: Target = serde_json::from_str(r#"{"agentId":"a","type":"heartbeat"}"#).unwrap();
        assert_eq!(target, Target::agent("a", Members::default()));
    }

    #[test]
    fn what_is_no_target_is_named() {
        for (text, named) in [
            (r#"{"workflowId":"w"}"#, "type"),
            (r#"{"type":"workflow"}"#, "workflowId"),
            (r#"{"type":"agent","workflowId":"w"}"#, "agentId"),
            (r#"{"type":"cow"}"#, "cow"),
            (r#"{"type":"workflow","type":"agent"}"#, "twice"),
            (r#"[]"#, "object"),
        ] {
            let error = serde_json::from_str::<Target>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
