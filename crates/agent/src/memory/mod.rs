//! What agents remember: conversations, kept in a [store](bowline_store::Store).

mod append;
mod delete;
mod read;
mod thread;
mod threads;

use std::sync::Arc;

use bowline_events::Text;
use bowline_store::{Store, Table};

pub use read::{MessagePage, MessageRange};
pub use thread::{Thread, ThreadDetails, ThreadPage, ThreadQuery};

use crate::{Error, ErrorKind, Result};

/// One record a thread, by its id; the resource is its owner.
const THREADS: Table = Table::new("threads");

/// One log of messages a thread, by its id.
const MESSAGES: Table = Table::new("messages");

/// One record a message, so that it is appended once; the thread is its group.
const MESSAGE_IDS: Table = Table::new("message_ids");

/// Bytes of the id of a thread, a resource or a message.
pub const MAX_ID: usize = 500;

/// Conversations, kept in a store. Cheap to clone.
///
/// A thread is a conversation with a resource: a person, or whatever else agents talk with. It keeps its messages in the
/// order in which they were appended, as many as there are, until it is deleted.
///
/// # Guarantees
/// - What [`append`](Self::append) has returned for is in the store. Appends of several processes at the same time all
///   happen, one after the other.
/// - A message is appended once, however often somebody tries: its id counts.
/// - Nobody gets a thread of another resource by opening it.
///
/// ```
/// use std::sync::Arc;
/// use bowline_agent::memory::{Memory, ThreadDetails};
/// use bowline_agent::Message;
/// use bowline_store::MemoryStore;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> bowline_agent::Result<()> {
/// let memory = Memory::new(Arc::new(MemoryStore::new()));
/// memory.open("thread-1", "user-1", ThreadDetails::default()).await?;
/// memory.append("thread-1", &[Message::user("Where is order 7?")]).await?;
/// assert_eq!(memory.recent("thread-1", 10).await?[0].text(), "Where is order 7?");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Memory {
    store: Arc<dyn Store>,
}

/// How an agent uses its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryOptions {
    /// How many messages of the thread the model gets, besides the new ones. 10 unless set.
    pub last_messages: usize,
    /// Whether messages of the run are not kept. `false` unless set.
    pub read_only: bool,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            last_messages: 10,
            read_only: false,
        }
    }
}

impl Memory {
    /// The conversations in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

/// A failure of the store in `operation` on `subject`.
fn failed(operation: &'static str, subject: &str, source: bowline_store::Error) -> Error {
    use bowline_store::ErrorKind as From;
    let kind = match source.kind() {
        From::Conflict => ErrorKind::Conflict,
        From::Closed => ErrorKind::Closed,
        From::TooLarge => ErrorKind::TooLarge,
        From::InvalidInput => ErrorKind::InvalidInput,
        From::Corrupt => ErrorKind::Corrupt,
        _ => ErrorKind::Store,
    };
    Error::new(kind, operation, source.to_string())
        .with_subject(subject.to_owned())
        .with_source(source)
}

fn not_found(operation: &'static str, thread: &str) -> Error {
    let message = "there is no such thread; open it first";
    Error::new(ErrorKind::NotFound, operation, message).with_subject(thread.to_owned())
}

/// Others changed the thread every time.
fn contended(operation: &'static str, thread: &str) -> Error {
    let message = "others changed the thread in every attempt; try again later";
    Error::new(ErrorKind::Conflict, operation, message).with_subject(thread.to_owned())
}

/// How often a commit that lost is tried again.
const ATTEMPTS: usize = 64;

/// Whether `id` can be the id of a `what`.
fn check_id(operation: &'static str, what: &str, id: &str) -> Result<()> {
    let problem = if id.is_empty() {
        format!("the id of a {what} has at least one byte")
    } else if id.len() > MAX_ID {
        let bytes = id.len();
        format!("the id of the {what} has {bytes} bytes, the limit is {MAX_ID}; use a hash")
    } else if id.contains('\0') {
        format!("the id of a {what} has no byte of value 0")
    } else {
        return Ok(());
    };
    let shown: String = id.chars().take(64).collect();
    Err(Error::new(ErrorKind::InvalidInput, operation, problem).with_subject(shown))
}

/// The key of the record of a message. The length keeps two threads apart of which one is named as the other begins.
fn message_key(thread: &str, message: &str) -> Text {
    format!("{}:{thread}:{message}", thread.len()).into()
}
