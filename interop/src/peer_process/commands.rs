//! What the commands do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{
    Dialect, NewEvent, PublishOptions, StartFrom, SubscribeOptions, Subscription, Text, Topic,
};
use bowline_interop::values::revive;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use crate::channel::say;
use crate::leases;
use crate::open::Opened;
use crate::subscriber::{Subscriber, digest, reveal_event};

/// Events that `history` replies at most.
const LONGEST_HISTORY: usize = 100_000;

/// A subscription that a task reads.
#[derive(Debug)]
struct Reader {
    topic: Topic,
    group: Option<Text>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
}

#[derive(Debug)]
struct Label {
    subscriber: Arc<Subscriber>,
    readers: Mutex<Vec<Reader>>,
}

/// The bus and the labels on it.
#[derive(Debug)]
pub(crate) struct Driver {
    opened: Opened,
    labels: Mutex<HashMap<String, Arc<Label>>>,
}

pub(crate) type Reply = Result<Value, String>;

/// A member that must be a text.
pub(crate) fn required<'a>(command: &'a Value, name: &str) -> Result<&'a str, String> {
    command[name]
        .as_str()
        .ok_or_else(|| format!("{} needs \"{name}\"", command["cmd"]))
}

/// A member that must be a whole number.
pub(crate) fn number(command: &Value, name: &str) -> Result<u64, String> {
    command[name]
        .as_u64()
        .ok_or_else(|| format!("{} needs \"{name}\"", command["cmd"]))
}

impl Driver {
    pub(crate) fn new(opened: Opened) -> Self {
        Self {
            opened,
            labels: Mutex::default(),
        }
    }

    /// Carries out one command.
    pub(crate) async fn run(&self, command: &Value) -> Reply {
        if let Some(reply) = leases::run(self.opened.bus.lease_provider(), command).await {
            return reply;
        }
        match command["cmd"].as_str().unwrap_or_default() {
            "subscribe" => self.subscribe(command).await?,
            "unsubscribe" => self.unsubscribe(command).await?,
            "configure" => self.label(command).await?.subscriber.configure(command),
            "publish" => self.publish(command).await?,
            "publishMany" => return self.publish_many(command).await,
            "publishBig" => return self.publish_big(command).await,
            "stats" => return Ok(self.label(command).await?.subscriber.stats()),
            "resetStats" => self.label(command).await?.subscriber.reset(),
            "reached" => return self.reached(command).await,
            "status" => {}
            "history" => return self.history(command).await,
            "clearTopic" => {
                let topic = Topic::new(required(command, "topic")?);
                let cleared = self.opened.bus.clear_topic(&topic).await;
                cleared.map_err(|error| error.to_string())?;
            }
            "flush" => self
                .opened
                .bus
                .flush()
                .await
                .map_err(|error| error.to_string())?,
            "close" => self.close().await?,
            "exit" if command["close"] == true => self.close().await?,
            "exit" => {}
            other => return Err(format!("unknown command {other:?}")),
        }
        Ok(self.status())
    }

    async fn close(&self) -> Result<(), String> {
        let closed = self.opened.bus.close().await;
        closed.map_err(|error| error.to_string())
    }

    fn status(&self) -> Value {
        let socket = self.opened.socket.as_ref();
        json!({
            "isBroker": socket.map(|bus| bus.is_broker()),
            "remoteClientCount": socket.map(|bus| bus.remote_client_count()),
        })
    }

    async fn history(&self, command: &Value) -> Reply {
        let topic = Topic::new(required(command, "topic")?);
        let offset = command["offset"].as_u64().unwrap_or_default();
        let events = self
            .opened
            .bus
            .history(&topic, offset, LONGEST_HISTORY)
            .await;
        let events = events.map_err(|error| error.to_string())?;
        let indices: Vec<_> = events.iter().map(|event| event.index).collect();
        let shown: Vec<_> = events.iter().map(|event| reveal_event(event)).collect();
        Ok(json!({ "count": events.len(), "indices": indices, "events": shown }))
    }

    fn start(&self, command: &Value) -> Result<StartFrom, String> {
        if let Some(offset) = command["offset"].as_u64() {
            return Ok(StartFrom::Offset(offset));
        }
        match command["startFrom"].as_str() {
            Some("earliest") => Ok(StartFrom::Earliest),
            Some("latest") => Ok(StartFrom::Latest),
            None if self.opened.starts_earliest => Ok(StartFrom::Earliest),
            None => Ok(StartFrom::default()),
            Some(other) => Err(format!("unknown startFrom {other:?}")),
        }
    }

    async fn label(&self, command: &Value) -> Result<Arc<Label>, String> {
        let name = required(command, "as")?;
        let found = self.labels.lock().await.get(name).cloned();
        found.ok_or_else(|| format!("no subscriber {name:?}"))
    }

    /// As with a callback of the reference: the same label in another group of the topic moves there.
    async fn subscribe(&self, command: &Value) -> Result<(), String> {
        let name = required(command, "as")?;
        let topic = Topic::new(required(command, "topic")?);
        let group = command["group"]
            .as_str()
            .map(|group| Text::from(group.to_owned()));
        let label = self.make_label(name).await;
        label.subscriber.configure(command);
        let mut readers = label.readers.lock().await;
        if let Some(at) = readers.iter().position(|reader| reader.topic == topic) {
            if readers[at].group == group {
                return Ok(());
            }
            stop(readers.swap_remove(at)).await?;
        }
        let mut options = SubscribeOptions::new().start(self.start(command)?);
        options.group.clone_from(&group);
        let subscription = self
            .opened
            .bus
            .subscribe_with(&topic, options)
            .await
            .map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let reading = read(
            Arc::clone(&label.subscriber),
            topic.clone(),
            subscription,
            stopped,
        );
        readers.push(Reader {
            topic,
            group,
            stop,
            task: tokio::spawn(reading),
        });
        Ok(())
    }

    async fn make_label(&self, name: &str) -> Arc<Label> {
        let mut labels = self.labels.lock().await;
        let label = labels.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Label {
                subscriber: Arc::new(Subscriber::new(name)),
                readers: Mutex::default(),
            })
        });
        Arc::clone(label)
    }

    async fn unsubscribe(&self, command: &Value) -> Result<(), String> {
        let topic = Topic::new(required(command, "topic")?);
        let label = self.label(command).await?;
        let mut readers = label.readers.lock().await;
        match readers.iter().position(|reader| reader.topic == topic) {
            Some(at) => stop(readers.swap_remove(at)).await,
            None => Ok(()),
        }
    }

    async fn publish(&self, command: &Value) -> Result<(), String> {
        let topic = Topic::new(required(command, "topic")?);
        let text = Bytes::from(revive(&command["event"])?);
        let event =
            NewEvent::from_json(&text, Dialect::Tagged).map_err(|error| error.to_string())?;
        let mut options = PublishOptions::default();
        options.local_only = command["localOnly"] == true;
        self.opened
            .bus
            .publish_with(&topic, event, options)
            .await
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn publish_json(
        &self,
        topic: &Topic,
        kind: &'static str,
        data: String,
    ) -> Result<(), String> {
        let event = NewEvent::new(kind, "r")
            .with_json(data)
            .map_err(|error| error.to_string())?;
        let published = self
            .opened
            .bus
            .publish_with(topic, event, PublishOptions::default())
            .await;
        published.map(drop).map_err(|error| error.to_string())
    }

    async fn publish_many(&self, command: &Value) -> Reply {
        let topic = Topic::new(required(command, "topic")?);
        let count = number(command, "count")?;
        let from = command["from"].as_u64().unwrap_or_default();
        let pad = "x".repeat(
            usize::try_from(command["bytes"].as_u64().unwrap_or_default()).unwrap_or_default(),
        );
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        for seq in from..from + count {
            let data = json!({ "seq": seq, "pad": pad }).to_string();
            if let Err(error) = self.publish_json(&topic, "flood", data).await {
                *errors.entry(error).or_default() += 1;
            }
            if let Some(pause) = command["everyMs"].as_u64() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        let rejected: u64 = errors.values().sum();
        Ok(json!({ "published": count - rejected, "rejected": rejected, "errors": errors }))
    }

    async fn publish_big(&self, command: &Value) -> Reply {
        let topic = Topic::new(required(command, "topic")?);
        let chars =
            usize::try_from(number(command, "chars")?).map_err(|error| error.to_string())?;
        let data = format!(r#"{{"big":"{}"}}"#, "x".repeat(chars));
        let reply = digest(data.as_bytes());
        self.publish_json(&topic, "big", data).await?;
        Ok(reply)
    }

    async fn reached(&self, command: &Value) -> Reply {
        let label = self.label(command).await?;
        let count = number(command, "count")?;
        let within = Duration::from_millis(command["withinMs"].as_u64().unwrap_or(5000));
        let waited = tokio::time::timeout(within, label.subscriber.reached(count)).await;
        let stats = label.subscriber.stats();
        match waited {
            Ok(()) => Ok(stats),
            Err(_) => Err(format!(
                "{} has {stats} of {count} events after {within:?}",
                command["as"]
            )),
        }
    }
}

async fn stop(reader: Reader) -> Result<(), String> {
    // A reader that ended by itself no longer listens.
    let _ = reader.stop.send(());
    reader.task.await.map_err(|error| error.to_string())?
}

async fn read(
    subscriber: Arc<Subscriber>,
    topic: Topic,
    mut subscription: Subscription,
    mut stopped: oneshot::Receiver<()>,
) -> Result<(), String> {
    loop {
        let item = tokio::select! {
            biased;
            _ = &mut stopped => return subscription.unsubscribe().await.map_err(|error| error.to_string()),
            item = subscription.next() => item,
        };
        match item {
            Some(Ok(delivery)) => subscriber.deliver(topic.as_str(), delivery),
            Some(Err(error)) => say(&json!({ "notice": {
                "topic": topic.as_str(),
                "kind": format!("{:?}", error.kind()),
                "message": error.to_string(),
            } })),
            None => return Ok(()),
        }
    }
}
