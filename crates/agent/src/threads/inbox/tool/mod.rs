//! The tool with which an agent looks into the inbox of its thread.
//!
//! A call that is made again after a crash finds what it has marked by its key, so it says the same and delivers nothing twice: what is
//! pending is delivered as the signal that the dispatcher would give, what was delivered before as one of the call.

mod call;

use bowline_events::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::digest;
use super::record::{NotificationRecord, NotificationStatus};
use crate::Tool;
use crate::threads::membership;
use crate::threads::notification::Priority;
use crate::threads::thread::ThreadId;
use crate::tool::{ToolContext, ToolError, tool};
use call::Call;

const DESCRIPTION: &str = "The notification inbox of this conversation. list returns what is unread, or what has the given \
    status; search looks through everything, also what is old; both mark what they return as seen. read has the full notifications \
    delivered to you, for example after a summary. markSeen, dismiss and archive say that one is dealt with.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Action {
    List,
    Read,
    MarkSeen,
    Dismiss,
    Archive,
    Search,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Request {
    action: Action,
    /// Another conversation with the same person.
    #[serde(default)]
    thread_id: Option<String>,
    /// Which notification; markSeen, dismiss and archive need it.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    status: Option<NotificationStatus>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    source: Option<String>,
    /// Words in the summary, the kind or the source; search needs it.
    #[serde(default)]
    query: Option<String>,
    /// How many at most, 1 to 100.
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Found {
        notifications: Vec<NotificationRecord>,
        has_more: bool,
        marked_seen: usize,
    },
    Read(Reading),
    Marked {
        notification: Box<NotificationRecord>,
    },
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reading {
    message: String,
    delivered: usize,
    marked_seen: usize,
    unavailable: usize,
    already_read: usize,
}

/// A tool `notification-inbox` for agents that are given to threads, as that of the reference: the model lists, reads, searches and
/// marks the notifications that it was sent in the thread of its run, or in another one with the same resource.
///
/// The run has to be at work in threads of this process; in another one the model is told that there is no inbox.
///
/// ```
/// use bowline_agent::Agent;
/// use bowline_agent::scripted::{Answer, ScriptedModel};
/// use bowline_agent::threads::inbox_tool;
///
/// let model = ScriptedModel::always(Answer::says("Ahoy!"));
/// let analyst = Agent::builder("analyst").model(model).tool(inbox_tool()).build()?;
/// # Ok::<(), bowline_agent::Error>(())
/// ```
pub fn inbox_tool() -> Tool {
    tool("notification-inbox", answer)
        .description(DESCRIPTION)
        .build()
        .expect("it has a name, a function, and an object of arguments")
}

async fn answer(context: ToolContext, request: Request) -> Result<Answer, ToolError> {
    let Some(own) = context.thread_id() else {
        let message = "the run belongs to no conversation, so there is no inbox";
        return Err(ToolError::fail("Error", message));
    };
    let in_thread = |id: &str| ThreadId::of(id.to_owned(), context.resource_id().cloned());
    let own = in_thread(own);
    let threads = membership::at_work(context.agent_id(), &own, context.run_id()).await?;
    let call = Call {
        thread: request
            .thread_id
            .as_deref()
            .map_or_else(|| own.clone(), in_thread),
        own,
        agent: context.agent_id().clone(),
        key: key_of(&context),
        threads,
    };
    match (request.action, &request.id, &request.query) {
        (Action::Search, _, None) => Err(missing("query")),
        (Action::List | Action::Search, ..) => call.list(&request).await,
        (Action::Read, ..) => call.read(&request).await,
        (Action::MarkSeen, Some(id), _) => call.mark(id, NotificationStatus::Seen).await,
        (Action::Dismiss, Some(id), _) => call.mark(id, NotificationStatus::Dismissed).await,
        (Action::Archive, Some(id), _) => call.mark(id, NotificationStatus::Archived).await,
        (_, None, _) => Err(missing("id")),
    }
}

/// What marks what a call has seen: the same when it is made again.
fn key_of(context: &ToolContext) -> Text {
    digest(&(context.run_id(), context.call_id()))
}

fn missing(what: &str) -> ToolError {
    ToolError::fail("Error", format!("this action of the inbox needs {what}"))
}
