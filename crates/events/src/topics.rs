//! The topics and groups of the reference, as typed constructors.

use crate::Topic;

/// Group that orchestrates workflow runs on [`Topic::workflows`].
pub const ORCHESTRATION_GROUP: &str = "mastra-orchestration";
/// Group that fires agent schedules on [`Topic::agent_schedules`].
pub const AGENT_SCHEDULES_GROUP: &str = "mastra-agent-schedules";
/// Group that executes tasks of [`Topic::background_tasks`].
pub const BACKGROUND_TASK_GROUP: &str = "background-task-workers";

/// Topic prefix of events that the reference never lets leave the process.
pub const RUN_LOCAL_PREFIX: &str = "workflow.events.v2.";

/// The key of a conversation thread: resource id, NUL, thread id.
pub fn thread_key(resource_id: Option<&str>, thread_id: &str) -> String {
    format!("{}\0{thread_id}", resource_id.unwrap_or_default())
}

impl Topic {
    /// `workflows`: work of the evented workflow engine.
    pub fn workflows() -> Self {
        Self::new("workflows")
    }

    /// `workflows-finish`: ends of runs, for those who wait for them.
    pub fn workflows_finish() -> Self {
        Self::new("workflows-finish")
    }

    /// `workflow.events.v2.<runId>`: what happens in one run.
    pub fn workflow_events(run_id: &str) -> Self {
        Self::new(format!("{RUN_LOCAL_PREFIX}{run_id}"))
    }

    /// `nested-watch`: events of nested runs, for their parents.
    pub fn nested_watch() -> Self {
        Self::new("nested-watch")
    }

    /// `agent.stream.<runId>`: the resumable stream of an agent run.
    pub fn agent_stream(run_id: &str) -> Self {
        Self::new(format!("agent.stream.{run_id}"))
    }

    /// `agent.control.<runId>`: abort requests for an agent run.
    pub fn agent_control(run_id: &str) -> Self {
        Self::new(format!("agent.control.{run_id}"))
    }

    /// `agent.thread-stream.<encoded thread key>`: everything that happens in one conversation thread.
    pub fn agent_thread_stream(resource_id: Option<&str>, thread_id: &str) -> Self {
        Self::new(format!(
            "agent.thread-stream.{}",
            Self::encode_component(&thread_key(resource_id, thread_id))
        ))
    }

    /// `<thread topic>.idle-acceptance.<requestId>`: the reply to a signal for an idle thread.
    pub fn idle_acceptance(thread_topic: &Self, request_id: &str) -> Self {
        Self::new(format!("{thread_topic}.idle-acceptance.{request_id}"))
    }

    /// `agent.thread-owner-discovery`, or the reply topic of one request.
    pub fn thread_owner_discovery(request_id: Option<&str>) -> Self {
        Self::with_request("agent.thread-owner-discovery", request_id)
    }

    /// `agent.thread-peer-discovery`, or the reply topic of one request.
    pub fn thread_peer_discovery(request_id: Option<&str>) -> Self {
        Self::with_request("agent.thread-peer-discovery", request_id)
    }

    /// `agent-schedules`: schedules of agents that fire.
    pub fn agent_schedules() -> Self {
        Self::new("agent-schedules")
    }

    /// `scheduler`: wakes schedulers that do not run yet.
    pub fn scheduler() -> Self {
        Self::new("scheduler")
    }

    /// `background-tasks`: tasks that any worker may execute.
    pub fn background_tasks() -> Self {
        Self::new("background-tasks")
    }

    /// `background-tasks:<workerId>`: tasks whose executor lives in one process.
    pub fn background_tasks_of(worker_id: &str) -> Self {
        Self::new(format!("background-tasks:{worker_id}"))
    }

    /// `background-tasks-result`: progress and results of tasks.
    pub fn background_task_results() -> Self {
        Self::new("background-tasks-result")
    }

    /// Whether the reference publishes this topic only inside the process ([`RUN_LOCAL_PREFIX`]).
    pub fn is_run_local(&self) -> bool {
        self.starts_with(RUN_LOCAL_PREFIX)
    }

    /// Percent-encodes a part of a name as `encodeURIComponent` of JavaScript does.
    pub fn encode_component(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z'
                | b'a'..=b'z'
                | b'0'..=b'9'
                | b'-'
                | b'_'
                | b'.'
                | b'!'
                | b'~'
                | b'*'
                | b'\''
                | b'('
                | b')' => out.push(char::from(byte)),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    out.push('%');
                    out.push(char::from(HEX[usize::from(byte >> 4)]));
                    out.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
        }
        out
    }

    fn with_request(base: &str, request_id: Option<&str>) -> Self {
        match request_id {
            Some(id) => Self::new(format!("{base}.{id}")),
            None => Self::new(base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_topics_are_percent_encoded_as_in_javascript() {
        assert_eq!(
            Topic::agent_thread_stream(Some("user-1"), "t-1"),
            "agent.thread-stream.user-1%00t-1"
        );
        assert_eq!(
            Topic::agent_thread_stream(None, "a b/ü'()!*~"),
            "agent.thread-stream.%00a%20b%2F%C3%BC'()!*~"
        );
    }

    #[test]
    fn only_the_watch_topics_of_a_run_are_run_local() {
        assert!(Topic::workflow_events("r").is_run_local());
        assert!(!Topic::agent_stream("r").is_run_local());
    }

    #[test]
    fn reply_topics_extend_their_base() {
        assert_eq!(
            Topic::thread_owner_discovery(None),
            "agent.thread-owner-discovery"
        );
        assert_eq!(
            Topic::thread_peer_discovery(Some("q")),
            "agent.thread-peer-discovery.q"
        );
        assert_eq!(
            Topic::idle_acceptance(&Topic::new("t"), "u"),
            "t.idle-acceptance.u"
        );
    }
}
