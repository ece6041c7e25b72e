//! Stopping a run from anywhere: a fact in the store, and a word on the control topic of the run.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    NewEvent, PubSub, PubSubExt, SubscribeOptions, Subscription, Text, Timestamp, Topic,
};
use bowline_store::{Commit, Expect, Index, Store, Table};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::{Error, ErrorKind, Result};

/// Runs that are to stop, by their id. They go with the run.
pub(crate) const STOPS: Table = Table::new("agent_stops");

/// How long it is kept at most, where no engine removes the run: longer than any process that may go on with it is away.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Facts that are over and removed by whoever writes one.
const SWEPT: usize = 100;

/// The pauses before an ear subscribes again whose subscription has ended.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The type of the event that asks for it, as in core 1.71.
const ABORT_REQUEST: &str = "abort-request";

/// Writes down that the run is to stop, and tells whoever works on it. Doing it twice is fine.
///
/// # Errors
/// `Store`. That nobody can be told is no error: who works on the run looks into the store at the next step.
pub(crate) async fn request(store: &dyn Store, bus: &dyn PubSub, run_id: &Text) -> Result<()> {
    write_down(store, run_id).await?;
    if let Err(error) = tell(bus, run_id).await {
        tracing::warn!(run = %run_id, %error, "that a run is to stop was not told; it is found in the store");
    }
    Ok(())
}

/// Tells whoever works on the run now that it is to stop.
pub(crate) async fn tell(bus: &dyn PubSub, run_id: &Text) -> bowline_events::Result<()> {
    let topic = Topic::agent_control(run_id);
    let event = NewEvent::new(ABORT_REQUEST, run_id.clone()).with_json("{}")?;
    bus.publish(&topic, event).await.map(|_| ())
}

async fn write_down(store: &dyn Store, run_id: &Text) -> Result<()> {
    let now = Timestamp::now();
    let over = store.due(STOPS, now, SWEPT).await.unwrap_or_default();
    for record in over {
        // Whoever was faster has removed it.
        let gone = Commit::new().delete(STOPS, record.key, record.version);
        let _ = store.commit(gone).await;
    }
    let until = now.as_millis().saturating_add(KEPT.as_millis() as i64);
    let index = Index::new(now).due(Timestamp::from_millis(until));
    let commit = Commit::new().put(STOPS, run_id.clone(), Expect::Absent, index, "{}");
    match store.commit(commit).await {
        Err(error) if error.conflict().is_none() => {
            let message = format!("that the run is to stop was not written down: {error}");
            Err(Error::new(ErrorKind::Store, "abort", message)
                .with_subject(run_id.clone())
                .with_source(error))
        }
        _ => Ok(()),
    }
}

/// Forgets that a run was to stop, because it has. If that fails, it is forgotten later.
pub(crate) async fn forget(store: &dyn Store, run_id: &Text) {
    if let Ok(Some(stop)) = store.get(STOPS, run_id).await {
        let gone = Commit::new().delete(STOPS, stop.key, stop.version);
        let _ = store.commit(gone).await;
    }
}

async fn is_written(store: &dyn Store, run_id: &Text) -> Result<bool> {
    let stop = store.get(STOPS, run_id).await;
    stop.map(|stop| stop.is_some()).map_err(|error| {
        Error::new(ErrorKind::Store, "listen", error.to_string())
            .with_subject(run_id.clone())
            .with_source(error)
    })
}

/// Hears, while it lives, whether a run is to stop. When the bus ends its subscription, it subscribes again, and asks the store
/// meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    say: Arc<watch::Sender<bool>>,
    heard: watch::Receiver<bool>,
    _listening: Arc<Listening>,
}

#[derive(Debug)]
struct Listening(AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens for an ear.
struct Listener {
    store: Arc<dyn Store>,
    bus: Arc<dyn PubSub>,
    run_id: Text,
    told: Arc<watch::Sender<bool>>,
}

impl Listener {
    /// Listens until the run is to stop.
    async fn listen(self, mut words: Subscription) {
        let mut pause = FIRST_PAUSE;
        loop {
            while let Some(word) = words.next().await {
                match word {
                    Ok(word) if word.event_type == ABORT_REQUEST => return self.stop().await,
                    Ok(_) => pause = FIRST_PAUSE,
                    // It may have been among what was missed.
                    Err(_) if self.is_written().await => return,
                    Err(_) => {}
                }
            }
            // Whatever became of the bus: a fact is in the store.
            loop {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                let again = subscribe(&*self.bus, &self.run_id).await;
                if self.is_written().await {
                    return;
                }
                match again {
                    Ok(again) => {
                        words = again;
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(run = %self.run_id, %error, "requests to stop are not heard; the store is asked");
                    }
                }
            }
        }
    }

    async fn stop(&self) {
        if self.told.send_replace(true) {
            return;
        }
        // A Node process says it only once; here it is to hold when this process dies, too.
        if let Err(error) = write_down(&*self.store, &self.run_id).await {
            tracing::warn!(run = %self.run_id, %error, "a request to stop is forgotten if this process dies now");
        }
    }

    /// Whether the store says that the run is to stop.
    async fn is_written(&self) -> bool {
        let written = is_written(&*self.store, &self.run_id).await;
        let written = written.unwrap_or_default();
        if written {
            self.told.send_replace(true);
        }
        written
    }
}

async fn subscribe(bus: &dyn PubSub, run_id: &Text) -> bowline_events::Result<Subscription> {
    let topic = Topic::agent_control(run_id);
    bus.subscribe(topic, SubscribeOptions::new()).await
}

impl Ear {
    /// Listens from now on, and looks for what was said before.
    ///
    /// # Errors
    /// When neither bus nor store can be asked.
    pub(crate) async fn open(
        store: &Arc<dyn Store>,
        bus: &Arc<dyn PubSub>,
        run_id: &Text,
    ) -> Result<Self> {
        let words = subscribe(&**bus, run_id)
            .await
            .map_err(|error| Error::bus("listen", error).with_subject(run_id.clone()))?;
        let stopped = is_written(&**store, run_id).await?;
        let (say, heard) = watch::channel(stopped);
        let say = Arc::new(say);
        let listener = Listener {
            store: Arc::clone(store),
            bus: Arc::clone(bus),
            run_id: run_id.clone(),
            told: Arc::clone(&say),
        };
        let listening = tokio::spawn(listener.listen(words));
        let listening = Arc::new(Listening(listening.abort_handle()));
        Ok(Self {
            say,
            heard,
            _listening: listening,
        })
    }

    /// Looks into the store whether the run is to stop.
    ///
    /// # Errors
    /// `Store`.
    pub(crate) async fn look(&self, store: &dyn Store, run_id: &Text) -> Result<()> {
        if !self.is_stopped() && is_written(store, run_id).await? {
            self.say.send_replace(true);
        }
        Ok(())
    }

    /// Whether the run is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.heard.borrow()
    }

    /// Ready when the run is to stop.
    pub(crate) async fn stopped(&self) {
        let mut heard = self.heard.clone();
        if heard.wait_for(|stopped| *stopped).await.is_err() {
            // Nobody says anything any more.
            std::future::pending::<()>().await;
        }
    }
}
