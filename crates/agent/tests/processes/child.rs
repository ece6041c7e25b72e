//! What this program does when a test starts it once more: it works on the runs in a store until it is killed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::{Agent, AgentHandle, DurableAgent, Strategy};
use bowline_events::{CachingPubSub, EventCache, InProcessPubSub, PubSub, Reach};
use bowline_redis::{RedisCache, RedisStreamsPubSub};
use bowline_store::{Store, StoreCache};
use bowline_unix::UnixSocketPubSub;
use bowline_workflow::Engine;

use crate::line::{Death, Line};
use crate::scene::{self, Effects, Hands};
use crate::stalled;
use crate::wires::{FarBus, FarStore};

const FOLDER: &str = "BOWLINE_AGENT_TEST_FOLDER";
const DEATH: &str = "BOWLINE_AGENT_TEST_DEATH";
/// Set for a process whose agent is that of the tests of stalls.
const TELLS: &str = "BOWLINE_AGENT_TEST_TELLS";

pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// This program, working on what is in `folder`; after so many operations nothing of it passes any more, and it says so.
pub(crate) fn command(folder: &Path, death: Option<u64>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if let Some(death) = death {
        command.env(DEATH, death.to_string());
    }
    command
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// As [`command`], with the agent of the tests of stalls.
pub(crate) fn telling(folder: &Path) -> Command {
    let mut command = command(folder, None);
    command.env(TELLS, "");
    command
}

/// The file by which a process says that nothing of it passes any more.
pub(crate) fn stuck(folder: &Path) -> PathBuf {
    folder.join("stuck")
}

/// Where the store and the bus of a test are, by their URLs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) bus: String,
    pub(crate) strategy: Strategy,
}

impl Place {
    /// A file, and a bus in every process, with its history in the file.
    pub(crate) fn file(folder: &Path) -> Self {
        Self {
            store: format!("sqlite:{}", folder.join("store.db").display()),
            bus: "memory:".to_owned(),
            strategy: Strategy::Durable,
        }
    }

    /// The same place, where runs are worked on like this.
    pub(crate) fn with(self, strategy: Strategy) -> Self {
        Self { strategy, ..self }
    }

    /// A file, with the history of the streams, and the socket of the process that asks for it first.
    pub(crate) fn socket(folder: &Path) -> Self {
        Self {
            bus: format!("unix://{}", folder.join("bus.sock").display()),
            ..Self::file(folder)
        }
    }

    /// Tells the processes in `folder`.
    pub(crate) fn tell(&self, folder: &Path) {
        let text = format!("{}\n{}\n{:?}\n", self.store, self.bus, self.strategy);
        std::fs::write(folder.join("place"), text).unwrap();
    }

    fn told(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("place")).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        Self {
            store: lines.next().unwrap(),
            bus: lines.next().unwrap(),
            strategy: match lines.next().as_deref() {
                Some("Evented") => Strategy::Evented,
                _ => Strategy::Durable,
            },
        }
    }

    async fn open(&self) -> (Arc<dyn Store>, Arc<dyn PubSub>) {
        let store = bowline_store::open(&self.store).await.unwrap();
        let (bus, cache): (Arc<dyn PubSub>, Arc<dyn EventCache>) = match self.bus.as_str() {
            "memory:" => (
                Arc::new(InProcessPubSub::builder().no_replay().build()),
                Arc::new(StoreCache::new(Arc::clone(&store))),
            ),
            url if url.starts_with("unix:") => (
                Arc::new(UnixSocketPubSub::from_url(url).unwrap()),
                Arc::new(StoreCache::new(Arc::clone(&store))),
            ),
            url => (
                Arc::new(RedisStreamsPubSub::new(url).unwrap()),
                Arc::new(RedisCache::new(url).unwrap()),
            ),
        };
        (store, Arc::new(CachingPubSub::new(bus, cache)))
    }
}

pub(crate) fn effects(folder: &Path) -> Effects {
    Effects::Written(folder.join("effects").into())
}

pub(crate) fn work(folder: &Path) -> ExitCode {
    let death = std::env::var(DEATH).ok();
    let death = death.map(|n| Death::After(n.parse().unwrap()));
    let line = Arc::new(Line::new(death));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let work = async {
            let _process = match std::env::var_os(TELLS) {
                Some(_) => process_with(folder, &line, true, stalled::agent(folder)).await,
                None => process(folder, &line, true).await,
            };
            std::future::pending::<()>().await;
        };
        let says = async {
            line.died().await;
            std::fs::write(stuck(folder), "").unwrap();
        };
        tokio::join!(work, says);
    });
    ExitCode::FAILURE
}

/// A process, with what it shares with others.
pub(crate) struct Process {
    pub(crate) agent: AgentHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn PubSub>,
}

/// A process on what is in `folder`.
pub(crate) async fn process(folder: &Path, line: &Arc<Line>, workers: bool) -> Process {
    let hands = Hands {
        effects: effects(folder),
        line: Arc::clone(line),
        pace: Duration::from_millis(2),
    };
    process_with(folder, line, workers, scene::agent(&hands)).await
}

/// A process on what is in `folder`, with this agent.
pub(crate) async fn process_with(
    folder: &Path,
    line: &Arc<Line>,
    workers: bool,
    agent: Agent,
) -> Process {
    let place = Place::told(folder);
    let (store, bus) = place.open().await;
    let reach = bus.capabilities().reach;
    let far_store: Arc<dyn Store> = Arc::new(FarStore {
        inner: Arc::clone(&store),
        line: Arc::clone(line),
    });
    let far_bus: Arc<dyn PubSub> = Arc::new(FarBus {
        inner: Arc::clone(&bus),
        line: Arc::clone(line),
        reach: reach.max(Reach::Process),
    });
    let agent = DurableAgent::new(agent, Arc::clone(&far_store), Arc::clone(&far_bus));
    let agent = agent.strategy(place.strategy);
    let engine = Engine::builder(far_store, far_bus)
        .workers(workers)
        .workflow(agent.workflow().unwrap())
        .lease(Duration::from_millis(300))
        .poll(Duration::from_millis(20));
    let engine = engine.start().await.unwrap();
    Process {
        agent: agent.on(&engine).unwrap(),
        store,
        bus,
    }
}
