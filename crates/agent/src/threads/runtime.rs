//! Threads of an application: what its processes share, and what this one does for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bowline_events::{PubSub, PubSubExt, Text};
use bowline_store::Store;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::inbox::{self, Inboxes, NOTIFICATION_RETENTION, NotificationPolicy};
use super::lease::Leases;
use super::ledger::Ledger;
use super::membership;
use super::presence::Presence;
use super::record::ThreadRecord;
use super::sweep;
use super::thread::ThreadId;
use crate::{AgentHandle, Error, ErrorKind, Result, random_id};

/// How long a lease of a thread holds unless it is prolonged, as in the reference.
pub const LEASE: Duration = Duration::from_secs(15);

/// Conversations in which agents are at work.
///
/// One run at a time is at work in a thread. A signal goes to it, or waits for its end, or wakes the agent; whatever processes end
/// meanwhile, it is given to one run exactly once, or the sender is told that it is not taken. The state of a thread is kept in the
/// store; processes with one store and one bus share their threads. Signals are exchanged with programs of the reference over the bus;
/// those that such a program is given by us can be given again if our process dies before it shows them.
///
/// Cheap to clone. The last clone that is dropped, or [`close`](Self::close), ends what this process does for its threads; another
/// process goes on with it.
///
/// ```
/// # use std::sync::Arc;
/// use bowline_agent::threads::{Accepted, ThreadId, Threads};
/// use bowline_agent::scripted::{Answer, ScriptedModel};
/// use bowline_agent::{Agent, DurableAgent};
/// # use bowline_events::{InProcessPubSub, PubSub};
/// # use bowline_store::{MemoryStore, Store};
/// # use bowline_workflow::Engine;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
/// # let bus: Arc<dyn PubSub> = Arc::new(InProcessPubSub::new());
/// # let agent = Agent::builder("greeter").model(ScriptedModel::always(Answer::says("Ahoy!"))).build()?;
/// # let agent = DurableAgent::new(agent, Arc::clone(&store), Arc::clone(&bus));
/// # let engine = Engine::builder(Arc::clone(&store), Arc::clone(&bus)).workflow(agent.workflow()?).start().await?;
/// # let agent = agent.on(&engine)?;
/// let threads = Threads::builder(store, bus).agent(agent).start();
/// let thread = ThreadId::new("thread-1").resource("user-1");
/// let mut stream = threads.subscribe(&thread).await?;
/// let accepted = threads.send_message("greeter", &thread, "Hello").await?;
/// assert!(matches!(accepted, Accepted::Wake { .. }));
/// while let Some(item) = stream.next().await {
///     if item?.event.is_end() {
///         break;
///     }
/// }
/// # threads.close().await;
/// # engine.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Threads(pub(super) Arc<Handle>);

/// Ends what this process does when the last one is dropped.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What the tasks of this process work with.
pub(super) struct Shared {
    pub(super) this: Weak<Self>,
    pub(super) store: Arc<dyn Store>,
    /// The bus of the streams of runs.
    pub(super) bus: Arc<dyn PubSub>,
    /// The bus of the topics of threads.
    pub(super) thread_bus: Arc<dyn PubSub>,
    pub(super) ledger: Ledger,
    pub(super) leases: Leases,
    pub(super) agents: HashMap<Text, AgentHandle>,
    /// Names this process.
    pub(super) source: Text,
    pub(super) ttl: Duration,
    /// What the tasks of this process run on, whoever causes them.
    pub(super) runtime: tokio::runtime::Handle,
    /// Something waits for a run of another program.
    pub(super) stir: Notify,
    pub(super) presence: Presence,
    pub(super) inboxes: Inboxes,
    tasks: Mutex<Tasks>,
    /// How runs of other programs are told, as far as this process reads of them.
    streams: Mutex<HashMap<Text, Text>>,
}

/// Runs of other programs of which is remembered how they are told.
const MAX_STREAMS: usize = 1000;

#[derive(Default)]
struct Tasks {
    closed: bool,
    running: HashMap<Text, AbortHandle>,
}

/// Builds [`Threads`].
#[must_use]
pub struct ThreadsBuilder {
    store: Arc<dyn Store>,
    bus: Arc<dyn PubSub>,
    thread_bus: Option<Arc<dyn PubSub>>,
    agents: HashMap<Text, AgentHandle>,
    ttl: Duration,
    presence: Presence,
    notifications: NotificationPolicy,
    retention: Duration,
}

impl ThreadsBuilder {
    /// An agent whose threads these are, and that this process can wake. It has to work on the same store and bus. From now on every
    /// handle on it begins its runs that have a thread here.
    pub fn agent(mut self, agent: AgentHandle) -> Self {
        self.agents.insert(agent.agent().id().clone(), agent);
        self
    }

    /// The bus of the topics of threads and of their leases, if it is not that of the streams of runs: the one below its cache, so
    /// that these topics are not kept.
    pub fn thread_bus(mut self, bus: Arc<dyn PubSub>) -> Self {
        self.thread_bus = Some(bus);
        self
    }

    /// How long a lease holds unless it is prolonged, and how long a process is silent before another one goes on with what it did for
    /// a thread; [`LEASE`] unless set, 50 ms at least. All processes should say the same.
    pub fn lease(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.max(Duration::from_millis(50));
        self
    }

    /// How long it is asked who has [claimed](Threads::claim_ownership) a thread; [`OWNER_DISCOVERY`](super::OWNER_DISCOVERY) unless
    /// set. A bus that is slower, or a busy host, needs more; whoever claims a thread waits as long.
    pub fn owner_discovery(mut self, wait: Duration) -> Self {
        self.presence.discovery = wait;
        self
    }

    /// How long a claimed owner has to take a signal; [`OWNER_ACCEPTANCE`](super::OWNER_ACCEPTANCE) unless set.
    pub fn owner_acceptance(mut self, wait: Duration) -> Self {
        self.presence.acceptance = wait;
        self
    }

    /// What becomes of notifications that this process [sends](Threads::send_notification), and how the runs are that those wake which
    /// it delivers later. Whoever sends one is told what is wrong with the options of its runs.
    pub fn notifications(mut self, policy: NotificationPolicy) -> Self {
        self.notifications = policy;
        self
    }

    /// How long notifications that are done with are kept; [`NOTIFICATION_RETENTION`] unless set. It counts for what this process
    /// does with them.
    pub fn notification_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Begins to look after threads, on the Tokio runtime in which it is called.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> Threads {
        let thread_bus = self.thread_bus.unwrap_or_else(|| Arc::clone(&self.bus));
        let provider = thread_bus.lease_provider();
        let shared = Arc::new_cyclic(|this| Shared {
            this: Weak::clone(this),
            ledger: Ledger::new(Arc::clone(&self.store), self.ttl),
            inboxes: Inboxes::new(Arc::clone(&self.store), self.notifications, self.retention),
            store: self.store,
            bus: self.bus,
            leases: Leases {
                provider,
                ttl: self.ttl,
            },
            thread_bus,
            agents: self.agents,
            source: random_id(),
            ttl: self.ttl,
            runtime: tokio::runtime::Handle::current(),
            stir: Notify::new(),
            presence: self.presence,
            tasks: Mutex::default(),
            streams: Mutex::default(),
        });
        shared.spawn("sweep".into(), sweep::run(Arc::downgrade(&shared)));
        shared.spawn("inboxes".into(), inbox::run(Arc::downgrade(&shared)));
        let threads = Threads(Arc::new(Handle { shared }));
        membership::register(&threads);
        for agent in threads.shared().agents.values() {
            agent.membership().join(&threads);
        }
        threads
    }
}

impl Threads {
    /// Threads in `store`, told on `bus`: those of the engine of the agents.
    pub fn builder(store: Arc<dyn Store>, bus: Arc<dyn PubSub>) -> ThreadsBuilder {
        ThreadsBuilder {
            store,
            bus,
            thread_bus: None,
            agents: HashMap::new(),
            ttl: LEASE,
            presence: Presence::default(),
            notifications: NotificationPolicy::default(),
            retention: NOTIFICATION_RETENTION,
        }
    }

    /// Ends what this process does for its threads. Runs go on as the engine has it; another process tells of them on their threads
    /// as soon as it finds this one silent.
    pub async fn close(&self) {
        self.0.shared.stop();
        // The tasks let go of what they hold at their next step.
        tokio::task::yield_now().await;
    }

    /// A handle on the agent `id` that keeps these threads open as long as it is there.
    ///
    /// # Errors
    /// `NotFound` for an agent that they were not given.
    pub fn agent(&self, id: &str) -> Result<AgentHandle> {
        let agent = self.shared().agent("find agent", id)?;
        Ok(agent.clone().with_threads(self.clone()))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

impl Shared {
    /// The agent `id`.
    pub(super) fn agent(&self, operation: &'static str, id: &str) -> Result<&AgentHandle> {
        self.agents.get(id).ok_or_else(|| {
            let message = "there is no agent of this name; give it to `Threads::builder`";
            Error::new(ErrorKind::NotFound, operation, message).with_subject(id.to_owned())
        })
    }

    /// Publishes a record on the topic of a thread.
    pub(super) async fn tell(
        &self,
        thread: &ThreadId,
        record: &ThreadRecord,
    ) -> bowline_events::Result<()> {
        let event = record.to_event(&thread.key());
        self.thread_bus.publish(thread.topic(), event).await?;
        Ok(())
    }

    /// Publishes a record that nobody depends on.
    pub(super) async fn mention(&self, thread: &ThreadId, record: &ThreadRecord) {
        if let Err(error) = self.tell(thread, record).await {
            tracing::warn!(thread = %thread.id(), %error, "{} was not told", record.kind());
        }
    }

    /// Runs `task` under `name`, unless one of this name runs.
    pub(super) fn spawn(&self, name: Text, task: impl Future<Output = ()> + Send + 'static) {
        let (this, own) = (Weak::clone(&self.this), name.clone());
        let (begin, begins) = oneshot::channel::<()>();
        // Not under the lock: a runtime that is shutting down drops the task, and what it holds, here.
        let spawned = self.runtime.spawn(async move {
            if begins.await.is_err() {
                return;
            }
            task.await;
            if let Some(shared) = this.upgrade() {
                shared.tasks().running.remove(&own);
            }
        });
        let mut tasks = self.tasks();
        if tasks.closed || tasks.running.contains_key(&name) || spawned.is_finished() {
            return;
        }
        tasks.running.insert(name, spawned.abort_handle());
        drop(tasks);
        // It cannot leave the table before it is in it.
        let _ = begin.send(());
    }

    /// Ends the task of this name.
    pub(super) fn end(&self, name: &str) {
        if let Some(task) = self.tasks().running.remove(name) {
            task.abort();
        }
    }

    /// Whether a task of this name runs.
    pub(super) fn runs(&self, name: &str) -> bool {
        self.tasks().running.contains_key(name)
    }

    pub(super) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.tasks().closed {
            let message = "the threads are closed";
            return Err(Error::new(ErrorKind::Closed, operation, message));
        }
        Ok(())
    }

    /// By the run, the name of its telling.
    pub(super) fn streams(&self) -> MutexGuard<'_, HashMap<Text, Text>> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() > MAX_STREAMS {
            streams.clear();
        }
        streams
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        let mut tasks = self.tasks();
        tasks.closed = true;
        for (_, task) in tasks.running.drain() {
            task.abort();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("source", &self.shared().source)
            .field("agents", &self.shared().agents.keys())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ThreadsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadsBuilder")
            .field("agents", &self.agents.keys())
            .finish_non_exhaustive()
    }
}
