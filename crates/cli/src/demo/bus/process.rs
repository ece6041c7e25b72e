//! The processes of the demo, as the demo holds them.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::Sender;

use super::wire::{Order, Word};
use crate::args::{DemoPeerArgs, Part};
use crate::outcome::Failure;

/// Which process of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Broker,
    First,
    Second,
    Publisher,
}

impl Who {
    /// All, in the order in which they start: the first one becomes the broker.
    pub(crate) const ALL: [Self; 4] = [Self::Broker, Self::First, Self::Second, Self::Publisher];

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::First => "subscriber A",
            Self::Second => "subscriber B",
            Self::Publisher => "publisher",
        }
    }

    fn part(self) -> Part {
        match self {
            Self::Broker => Part::Broker,
            Self::First | Self::Second => Part::Subscriber,
            Self::Publisher => Part::Publisher,
        }
    }
}

/// What a process said; `None` when it ended.
pub(crate) type Heard = (Who, Option<Word>);

/// A running process. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    who: Who,
    child: Child,
    orders: ChildStdin,
    pub(crate) pid: u32,
}

impl Peer {
    /// Starts this very program as `who`; what it says goes to `ear`.
    pub(crate) fn start(who: Who, socket: &Path, ear: Sender<Heard>) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::failed(format!("the {} cannot be started: {error}", who.name()))
        };
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .args([DemoPeerArgs::NAME, who.part().as_str(), "--socket"])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // A group of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let missing = || Failure::failed(format!("the {} has no standard streams", who.name()));
        let orders = child.stdin.take().ok_or_else(missing)?;
        let words = child.stdout.take().ok_or_else(missing)?;
        let pid = child.id().ok_or_else(missing)?;
        tokio::spawn(hear(who, words, ear));
        Ok(Self {
            who,
            child,
            orders,
            pid,
        })
    }

    /// Gives an order.
    pub(crate) async fn order(&mut self, order: Order) -> Result<(), Failure> {
        // Orders are plain structs, which serialise always.
        let mut line = serde_json::to_string(&order).unwrap_or_default();
        line.push('\n');
        self.orders
            .write_all(line.as_bytes())
            .await
            .map_err(|error| {
                Failure::failed(format!("the {} takes no orders: {error}", self.who.name()))
            })
    }

    /// SIGKILL; resolves when the process is gone and the operating system has closed all it had open.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|error| {
            Failure::failed(format!("the {} cannot be killed: {error}", self.who.name()))
        })
    }

    /// Lets the process leave the bus in order; it is killed if it does not in time.
    pub(crate) async fn leave(self, within: std::time::Duration) {
        let Self {
            mut child, orders, ..
        } = self;
        drop(orders);
        if tokio::time::timeout(within, child.wait()).await.is_err() {
            // It may have ended meanwhile.
            let _ = child.kill().await;
        }
    }
}

async fn hear(who: Who, words: ChildStdout, ear: Sender<Heard>) {
    let mut lines = BufReader::new(words).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(word) = serde_json::from_str(&line) else {
            break;
        };
        if ear.send((who, Some(word))).await.is_err() {
            return;
        }
    }
    // Nobody listens any more when the demo itself ends.
    let _ = ear.send((who, None)).await;
}
