//! Standard input and output as lines, without blocking the runtime.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What the role says goes through here, one message per line.
#[derive(Clone)]
pub(super) struct Channel {
    messages: mpsc::Sender<Option<Value>>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Channel {
    /// The channel, and the lines of the input; they are as many as the coordinator chose to send.
    pub(super) fn open() -> (Self, UnboundedReceiver<String>) {
        let (lines, received) = unbounded_channel();
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(io::Result::ok) {
                if !line.trim().is_empty() && lines.send(line).is_err() {
                    return;
                }
            }
        });
        let (messages, queue) = mpsc::channel::<Option<Value>>();
        let writer = std::thread::spawn(move || {
            let mut out = io::stdout().lock();
            while let Ok(Some(message)) = queue.recv() {
                if writeln!(out, "{message}")
                    .and_then(|()| out.flush())
                    .is_err()
                {
                    return;
                }
            }
        });
        let channel = Self {
            messages,
            writer: Arc::new(Mutex::new(Some(writer))),
        };
        (channel, received)
    }

    pub(super) fn say(&self, message: Value) {
        // Nobody listens once the output is closed.
        let _ = self.messages.send(Some(message));
    }

    /// Returns when everything said so far was written.
    pub(super) fn finish(&self) {
        let _ = self.messages.send(None);
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}
