//! Starting workflows of Node processes on their bus.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::{
    Event, PubSub, StartFrom, SubscribeOptions, Subscription, Text, Timestamp, Topic,
};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::NodeResult;
use super::node_event::{CANCEL, START, data_of, failed, publish};
use crate::engine::Start;
use crate::json::Writer;
use crate::{Data, Error, ErrorKind, Result};

/// How much older than the start an event may say that it is: clocks of machines differ. What is older is about an earlier run
/// of the same id.
const SKEW: Duration = Duration::from_secs(60);

/// Starts and cancels workflows that Node processes run, on the bus that they share with us, and waits for their results.
///
/// A Node process with an orchestration worker and that workflow has to be on the bus. If there is none, nobody answers, and
/// [`NodeRun::result`] waits for ever; [`NodeRun::result_within`] does not. Where Node workers share a queue (Redis), one that
/// does not know the workflow fails the run. What the run does meanwhile is not seen: the reference keeps those events in its
/// process.
///
/// It listens as long as it, a clone or a [`NodeRun`] of it lives.
#[derive(Clone)]
pub struct NodeWorkflows(Arc<Shared>);

struct Shared {
    bus: Arc<dyn PubSub>,
    runs: Arc<Runs>,
    listener: AbortHandle,
}

/// The runs that somebody waits for.
#[derive(Debug, Default)]
struct Runs(Mutex<HashMap<Text, Waited>>);

#[derive(Debug)]
struct Waited {
    since: Timestamp,
    heard: watch::Sender<Heard>,
}

/// What is known of a run.
#[derive(Debug, Clone, Default)]
enum Heard {
    #[default]
    Nothing,
    Finished(Arc<NodeResult>),
    /// Events were lost, and the result may have been among them.
    Lost,
    /// The bus was closed.
    Closed,
}

/// A run of a Node workflow. Dropping it does nothing to the run.
#[derive(Debug)]
pub struct NodeRun {
    workflows: NodeWorkflows,
    workflow: Text,
    id: Text,
    heard: watch::Receiver<Heard>,
}

impl NodeWorkflows {
    /// Listens to the ends of runs on `bus`. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// `Bus` when it cannot listen.
    pub async fn connect(bus: Arc<dyn PubSub>) -> Result<Self> {
        let topic = Topic::workflows_finish();
        let options = SubscribeOptions::new().start(StartFrom::Latest);
        let events = bus.subscribe_with(&topic, options).await;
        let events = events.map_err(|error| failed("listen", topic.as_str(), error))?;
        let runs = Arc::new(Runs::default());
        let listener = tokio::spawn(listen(events, Arc::clone(&runs))).abort_handle();
        Ok(Self(Arc::new(Shared {
            bus,
            runs,
            listener,
        })))
    }

    /// Starts a run of the Node workflow `workflow`. When this returns the event is on the bus; nothing says that anybody has
    /// taken it. A Node engine checks neither the input nor whether there is a run of that id already.
    ///
    /// # Errors
    /// `InvalidInput` for a state or a request context that is no object, `AlreadyExists` when a run of this id is waited for
    /// already, `Bus` when the bus did not take it.
    pub async fn start(&self, workflow: impl Into<Text>, start: Start) -> Result<NodeRun> {
        let workflow = workflow.into();
        let id = start.run_id.clone();
        let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into());
        let data = start_data(&workflow, &id, &start)?;
        let heard = self.0.runs.enter(&id)?;
        // From here on it is dropped, and with it the entry, when something fails.
        let run = NodeRun {
            workflows: self.clone(),
            workflow,
            id,
            heard,
        };
        publish(&*self.0.bus, &Topic::workflows(), START, &run.id, &data).await?;
        Ok(run)
    }

    /// Cancels the run `run` of the Node workflow `workflow`. Nothing says whether it was running, and steps that run in another
    /// process than the one that takes the event are not told.
    ///
    /// # Errors
    /// `Bus` when the bus did not take it.
    pub async fn cancel(&self, workflow: &str, run: &str) -> Result<()> {
        let mut data = Writer::object();
        data.text("workflowId", workflow).text("runId", run);
        let data = Data::made(data.end());
        publish(&*self.0.bus, &Topic::workflows(), CANCEL, run, &data).await
    }
}

fn start_data(workflow: &Text, run: &Text, start: &Start) -> Result<Data> {
    let empty = Data::object();
    let objects = [
        ("state", "initialState", &start.state),
        ("request context", "requestContext", &start.context),
    ];
    let mut data = Writer::object();
    data.text("workflowId", workflow)
        .text("runId", run)
        .nested("prevResult", |result| {
            result
                .text("status", "success")
                .data("output", &start.input);
        });
    for (what, name, value) in objects {
        let value = value.as_ref().unwrap_or(&empty);
        if !value.is_object() {
            let message = format!("the {what} is no object");
            let error = Error::new(ErrorKind::InvalidInput, "start", message);
            return Err(error.with_subject(run.clone()));
        }
        data.data(name, value);
    }
    if start.per_step {
        data.raw("perStep", "true");
    }
    if let Some(resource) = &start.resource {
        data.text("resourceId", resource);
    }
    data.nested("outputOptions", |options| {
        options.raw("includeState", "true");
    });
    Ok(Data::made(data.end()))
}

impl NodeRun {
    /// Its id.
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// Waits until the run has ended, or halted because it is suspended or paused. A run that failed is no error of this.
    /// Cancel safe.
    ///
    /// # Errors
    /// `Bus` when events were lost, among which the result may have been; `Closed` when the bus was closed.
    pub async fn result(&self) -> Result<NodeResult> {
        let mut heard = self.heard.clone();
        let heard = heard
            .wait_for(|heard| !matches!(heard, Heard::Nothing))
            .await
            .map_or(Heard::Closed, |heard| heard.clone());
        let (kind, message) = match heard {
            Heard::Finished(result) => return Ok((*result).clone()),
            Heard::Lost => (
                ErrorKind::Bus,
                "events were lost, and the result may have been among them; look at the run in the store of Node",
            ),
            Heard::Nothing | Heard::Closed => (
                ErrorKind::Closed,
                "the bus was closed before the run ended; look at the run in the store of Node",
            ),
        };
        Err(Error::new(kind, "result", message).with_subject(self.id.clone()))
    }

    /// As [`result`](Self::result), and gives up after `limit`. The run goes on.
    ///
    /// # Errors
    /// As there, and `Timeout`.
    pub async fn result_within(&self, limit: Duration) -> Result<NodeResult> {
        match tokio::time::timeout(limit, self.result()).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!(
                    "the run {:?} did not end within {limit:?}; is a Node process with an orchestration worker and the workflow {:?} on the bus?",
                    self.id, self.workflow
                );
                let error = Error::new(ErrorKind::Timeout, "result", message);
                Err(error.with_subject(self.id.clone()))
            }
        }
    }

    /// As [`NodeWorkflows::cancel`].
    ///
    /// # Errors
    /// As there.
    pub async fn cancel(&self) -> Result<()> {
        self.workflows.cancel(&self.workflow, &self.id).await
    }
}

impl Drop for NodeRun {
    fn drop(&mut self) {
        self.workflows.0.runs.table().remove(&self.id);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Runs {
    fn enter(&self, run: &Text) -> Result<watch::Receiver<Heard>> {
        let mut table = self.table();
        if table.contains_key(run) {
            let message = "a run of this id is waited for already; give it another id";
            let error = Error::new(ErrorKind::AlreadyExists, "start", message);
            return Err(error.with_subject(run.clone()));
        }
        let (sender, heard) = watch::channel(Heard::Nothing);
        let waited = Waited {
            since: Timestamp::now(),
            heard: sender,
        };
        table.insert(run.clone(), waited);
        Ok(heard)
    }

    fn hear(&self, event: &Event) {
        let table = self.table();
        let Some(waited) = table.get(&event.run_id) else {
            return;
        };
        let skew = i64::try_from(SKEW.as_millis()).unwrap_or(i64::MAX);
        if event.created_at.as_millis() < waited.since.as_millis().saturating_sub(skew) {
            return;
        }
        let Some(data) = data_of(event) else {
            tracing::warn!(run = %event.run_id, "the end of a run has no data");
            return;
        };
        // Ends of nested runs have the id of the nested run in their data, as they have it themselves.
        let result = NodeResult::read(&event.event_type, event.run_id.clone(), &data);
        if let Some(result) = result {
            waited.tell(Heard::Finished(Arc::new(result)));
        }
    }

    fn tell_all(&self, heard: &Heard) {
        for waited in self.table().values() {
            waited.tell(heard.clone());
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Text, Waited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waited {
    /// The first end counts: the reference tells some of them twice. A result that comes although events were lost is one.
    fn tell(&self, news: Heard) {
        self.heard.send_if_modified(|heard| {
            let stays = match (&*heard, &news) {
                (Heard::Finished(_), _) => true,
                (Heard::Lost, Heard::Finished(_)) => false,
                (known, _) => !matches!(known, Heard::Nothing),
            };
            if !stays {
                *heard = news;
            }
            !stays
        });
    }
}

async fn listen(mut events: Subscription, runs: Arc<Runs>) {
    while let Some(delivery) = events.next().await {
        match delivery {
            Ok(delivery) => {
                runs.hear(delivery.event());
                if delivery.is_settleable()
                    && let Err(error) = delivery.ack().await
                {
                    tracing::debug!(%error, "the end of a run was not acknowledged");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "ends of runs were lost");
                runs.tell_all(&Heard::Lost);
            }
        }
    }
    runs.tell_all(&Heard::Closed);
}

impl fmt::Debug for NodeWorkflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeWorkflows")
            .field("waiting", &self.0.runs.table().len())
            .finish_non_exhaustive()
    }
}
