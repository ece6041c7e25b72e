//! One process of W4: it owns a bus on a socket and does what the lines of its standard input say.
//!
//! The protocol is in `bench/README.md`.

mod channel;
mod command;
mod counter;
mod paced;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_events::{PubSub, SubscribeOptions, Subscription, Topic};
use bowline_unix::UnixSocketPubSub;
use serde_json::{Value, json};

use crate::Result;
use crate::clock::{self, CpuTime, now_ns};
use crate::payload::{BenchEvents, Encoding, LEAST_BYTES};
use crate::publishers::{Publisher, blast};
use crate::settings::{Settings, span};
use crate::subject::runtime;
use channel::Channel;
use command::{Command, Line, Pace};
use counter::Counter;

const TOPIC: &str = "bench";
const NOOP: &str = "noop";
const PACED_WAIT: Duration = Duration::from_secs(10);

/// Status of a process that cannot go on.
const FATAL: u8 = 70;

/// Serves the role until its input ends or it is told to exit. What it cannot go on after is its last message.
pub(crate) fn serve(socket: &Path, settings: &Settings) -> ExitCode {
    match try_serve(socket, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be left to read it; the status says the same.
            let _ = crate::print(&json!({"fatal": error.to_string()}).to_string());
            ExitCode::from(FATAL)
        }
    }
}

fn try_serve(socket: &Path, settings: &Settings) -> Result<()> {
    let bus = UnixSocketPubSub::new(socket)?;
    let runtime = runtime(settings.flavor)?;
    let serving = Role::new(bus).serve();
    runtime.block_on(async { runtime.spawn(serving).await? })
}

struct Role {
    unix: UnixSocketPubSub,
    bus: Arc<dyn PubSub>,
    counter: Arc<Mutex<Counter>>,
    subscribed: Mutex<Vec<Topic>>,
    publishing: AtomicBool,
}

impl Role {
    fn new(unix: UnixSocketPubSub) -> Arc<Self> {
        Arc::new(Self {
            bus: Arc::new(unix.clone()),
            unix,
            counter: Arc::default(),
            subscribed: Mutex::default(),
            publishing: AtomicBool::new(false),
        })
    }

    async fn serve(self: Arc<Self>) -> Result<()> {
        let (channel, mut lines) = Channel::open();
        channel
            .say(json!({"ready": true, "pid": std::process::id(), "impl": "rust", "protocol": 1}));
        while let Some(text) = lines.recv().await {
            let line = match serde_json::from_str::<Line>(&text) {
                Ok(line) => line,
                Err(error) => {
                    channel.say(json!({"reply": null, "ok": false, "error": error.to_string()}));
                    continue;
                }
            };
            if let Some(Command::Exit { close }) = line.command() {
                let closed = if close {
                    self.bus.close().await
                } else {
                    Ok(())
                };
                let is_over = closed.is_ok();
                let reply = closed.map(|()| json!({})).map_err(Into::into);
                channel.say(reply_line(line.id, reply));
                if is_over {
                    break;
                }
                continue;
            }
            let (role, channel) = (Arc::clone(&self), channel.clone());
            tokio::spawn(async move {
                let reply = role.obey(&line).await;
                channel.say(reply_line(line.id, reply));
            });
        }
        channel.finish();
        Ok(())
    }

    async fn obey(&self, line: &Line) -> Result<Value> {
        let Some(command) = line.command() else {
            return Err(line.complaint().into());
        };
        match command {
            Command::Subscribe { topic } => {
                let topic = topic.as_deref().unwrap_or(TOPIC);
                self.subscribe(topic, Some(&self.counter)).await
            }
            Command::SubscribeNoop => self.subscribe(NOOP, None).await,
            Command::Reset {
                latency_every,
                trace,
            } => {
                *self.lock_counter() = Counter::new(latency_every.unwrap_or(10), trace);
                Ok(json!({}))
            }
            Command::Stats => Ok(self.stats()),
            Command::Trace => {
                let trace = &self.lock_counter().trace;
                Ok(json!({"trace": trace, "broker": self.unix.is_broker()}))
            }
            Command::Blast {
                bytes,
                width,
                seconds,
            } => self.exclusively(self.blast(bytes, width, seconds)).await,
            Command::Paced(pace) => self.exclusively(self.paced(pace)).await,
            Command::LogPublish {
                pace,
                settle_ms,
                wait_ms,
            } => {
                let settle = Duration::from_millis(settle_ms.unwrap_or(1500));
                let wait = Duration::from_millis(wait_ms.unwrap_or(10_000));
                self.exclusively(self.log_publish(pace, settle, wait)).await
            }
            Command::Exit { .. } => Ok(json!({})),
        }
    }

    fn lock_counter(&self) -> std::sync::MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn subscribe(&self, topic: &str, counter: Option<&Arc<Mutex<Counter>>>) -> Result<Value> {
        let topic = Topic::new(topic);
        let is_new = {
            let mut subscribed = self
                .subscribed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let is_new = !subscribed.contains(&topic);
            if is_new {
                subscribed.push(topic.clone());
            }
            is_new
        };
        if is_new {
            let subscription = self
                .bus
                .subscribe_with(&topic, SubscribeOptions::new())
                .await?;
            tokio::spawn(read(subscription, counter.cloned()));
        }
        Ok(json!({"broker": self.unix.is_broker()}))
    }

    fn stats(&self) -> Value {
        let mut stats = self.lock_counter().report();
        stats["rss_mb"] = json!(clock::rss_mb());
        stats["cpu_us"] = cpu_us();
        stats["broker"] = json!(self.unix.is_broker());
        stats["clients"] = json!(self.unix.remote_client_count());
        stats
    }

    /// Runs one publishing command at a time: two would share their sequence numbers.
    async fn exclusively(&self, work: impl Future<Output = Result<Value>>) -> Result<Value> {
        if self.publishing.swap(true, Relaxed) {
            return Err("busy: a publishing command runs; wait for its reply".into());
        }
        let result = work.await;
        self.publishing.store(false, Relaxed);
        result
    }

    fn publisher(&self, bytes: usize) -> Result<Arc<Publisher>> {
        if bytes < LEAST_BYTES {
            return Err(format!(
                "{bytes} bytes are too few for the data; {LEAST_BYTES} is the least"
            )
            .into());
        }
        let events = BenchEvents::new(bytes, Encoding::Json);
        Ok(Publisher::new(&self.bus, &Topic::new(TOPIC), events))
    }

    async fn blast(&self, bytes: usize, width: usize, seconds: f64) -> Result<Value> {
        let blasted = blast(&self.publisher(bytes)?, width, span(seconds)?).await;
        Ok(json!({
            "published": blasted.published,
            "rejected": blasted.rejected,
            "first_ns": blasted.first_ns,
            "last_ns": blasted.last_ns,
            "rss_mb": clock::rss_mb(),
            "cpu_us": cpu_us(),
        }))
    }

    async fn paced(&self, pace: Pace) -> Result<Value> {
        let publisher = self.publisher(pace.bytes())?;
        let first_ns = now_ns();
        let done = paced::run(
            &publisher,
            pace.rate,
            span(pace.seconds)?,
            Duration::ZERO,
            PACED_WAIT,
        )
        .await;
        let settled = |ok: bool| done.log.iter().filter(|entry| entry.3 == Some(ok)).count();
        Ok(json!({
            "published": done.log.len(),
            "rejected": settled(false),
            "unsettled": done.log.len() - settled(false) - settled(true),
            "first_ns": first_ns,
            "last_ns": now_ns(),
            "rss_mb": clock::rss_mb(),
            "cpu_us": cpu_us(),
        }))
    }

    async fn log_publish(&self, pace: Pace, settle: Duration, wait: Duration) -> Result<Value> {
        let publisher = self.publisher(pace.bytes())?;
        let done = paced::run(&publisher, pace.rate, span(pace.seconds)?, settle, wait).await;
        Ok(json!({"log": done.log, "errors": done.errors, "broker": self.unix.is_broker()}))
    }
}

async fn read(mut subscription: Subscription, counter: Option<Arc<Mutex<Counter>>>) {
    while let Some(item) = subscription.next_batch().await {
        // A notice tells of events that are missing; the counts show them.
        if let (Ok(batch), Some(counter)) = (item, &counter) {
            let mut counter = counter.lock().unwrap_or_else(PoisonError::into_inner);
            for delivery in &batch {
                counter.count(delivery.event());
            }
        }
    }
}

fn reply_line(id: i64, reply: Result<Value>) -> Value {
    match reply {
        Ok(mut members) => {
            members["reply"] = json!(id);
            members["ok"] = json!(true);
            members
        }
        Err(error) => json!({"reply": id, "ok": false, "error": error.to_string()}),
    }
}

fn cpu_us() -> Value {
    let cpu = CpuTime::now();
    json!({"user": cpu.user.as_micros() as u64, "system": cpu.system.as_micros() as u64})
}
