//! One process of a measurement with several: it owns a bus and does what the lines of its standard input say.
//!
//! The protocol is in `bench/README.md`.

mod bus;
mod channel;
mod command;
mod counter;
mod paced;
mod publishing;
mod subscribers;

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;
use crate::clock;
use crate::settings::{Settings, span};
use crate::subject::runtime;
use crate::w5::{Bare, round_trips};
use bus::Bus;
use channel::Channel;
use command::{Command, Line, Pace, Subscribe};
use publishing::{Turn, blast_bus, cpu_us, log_publish, pace_bus};
use subscribers::Subscribers;

const TOPIC: &str = "bench";
const NOOP: &str = "noop";

/// Status of a process that cannot go on.
const FATAL: u8 = 70;

/// Serves the role until its input ends or it is told to exit. What it cannot go on after is its last message.
pub(crate) fn serve(address: &OsStr, settings: &Settings) -> ExitCode {
    match try_serve(address, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be left to read it; the status says the same.
            let _ = crate::print(&json!({"fatal": error.to_string()}).to_string());
            ExitCode::from(FATAL)
        }
    }
}

fn try_serve(address: &OsStr, settings: &Settings) -> Result<()> {
    let runtime = runtime(settings.flavor)?;
    let _entered = runtime.enter();
    let role = Role {
        bus: Bus::open(address)?,
        subscribers: Subscribers::default(),
        turn: Turn::default(),
    };
    let serving = Arc::new(role).serve();
    runtime.block_on(async { runtime.spawn(serving).await? })
}

struct Role {
    bus: Bus,
    subscribers: Subscribers,
    turn: Turn,
}

impl Role {
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
                    self.bus.any.close().await
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
        let bus = &self.bus.any;
        match command {
            Command::Subscribe(wanted) => self.subscribe(&wanted).await,
            Command::SubscribeNoop => {
                self.subscribers.ignore(&**bus, NOOP).await?;
                Ok(json!({"broker": self.bus.is_broker()}))
            }
            Command::Reset {
                latency_every,
                trace,
            } => {
                self.subscribers.reset(latency_every.unwrap_or(10), trace);
                Ok(json!({}))
            }
            Command::Stats => Ok(self.stats()),
            Command::Trace => {
                Ok(json!({"trace": self.subscribers.trace(), "broker": self.bus.is_broker()}))
            }
            Command::Blast {
                topic,
                bytes,
                width,
                seconds,
            } => {
                let blast = blast_bus(bus, topic.as_deref(), bytes, width, seconds);
                self.turn.run(blast).await
            }
            Command::Paced(pace) => self.turn.run(pace_bus(bus, pace)).await,
            Command::Request(pace) => self.turn.run(self.request(pace)).await,
            Command::LogPublish {
                pace,
                settle_ms,
                wait_ms,
            } => {
                let settle = Duration::from_millis(settle_ms.unwrap_or(1500));
                let wait = Duration::from_millis(wait_ms.unwrap_or(10_000));
                self.turn.run(self.log_publish(pace, settle, wait)).await
            }
            Command::Exit { .. } => Ok(json!({})),
        }
    }

    async fn subscribe(&self, wanted: &Subscribe) -> Result<Value> {
        let topic = wanted.topic.as_deref().unwrap_or(TOPIC);
        self.subscribers
            .count(&*self.bus.any, topic, wanted)
            .await?;
        Ok(json!({"broker": self.bus.is_broker()}))
    }

    fn stats(&self) -> Value {
        let mut stats = self.subscribers.report();
        stats["rss_mb"] = json!(clock::rss_mb());
        stats["cpu_us"] = cpu_us();
        stats["broker"] = json!(self.bus.is_broker());
        stats["clients"] = json!(self.bus.clients());
        stats
    }

    async fn log_publish(&self, pace: Pace, settle: Duration, wait: Duration) -> Result<Value> {
        let done = log_publish(&self.bus.any, pace, settle, wait).await?;
        Ok(json!({"log": done.log, "errors": done.errors, "broker": self.bus.is_broker()}))
    }

    /// Requests without a bus: what the client library and the server take for one.
    async fn request(&self, pace: Pace) -> Result<Value> {
        let address = self.bus.redis.as_ref().ok_or("the bus is not on Redis")?;
        let key = pace.topic.as_deref().unwrap_or(TOPIC);
        let entry = "x".repeat(pace.bytes());
        let bare = Bare::connect(
            &address.url,
            key,
            address.cap.unwrap_or(0),
            entry.as_bytes(),
        )
        .await?;
        let histogram = round_trips(&bare, pace.rate, span(pace.seconds)?).await?;
        Ok(json!({"hist": histogram}))
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
