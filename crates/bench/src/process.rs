//! A role as seen by the coordinator: any program that speaks the role protocol of `bench/README.md`.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Result;

const DEADLINE: Duration = Duration::from_secs(60);
/// The key under which the first line is awaited; commands are numbered from 1 on.
const READY: u64 = 0;

/// Who waits for which reply.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<HashMap<u64, mpsc::Sender<Value>>>,
    unhandled: AtomicU64,
    fatal: Mutex<Option<String>>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Value>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Value) {
        if let Some(text) = message["fatal"].as_str() {
            *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
        } else if message.get("notice").is_some() {
            self.unhandled.fetch_add(1, Relaxed);
        } else {
            let key = if message["ready"] == true {
                Some(READY)
            } else {
                message["reply"].as_u64()
            };
            let waiting = key.and_then(|key| self.lock().remove(&key));
            if let Some(waiting) = waiting {
                // Who waited may have given up.
                let _ = waiting.send(message);
            }
        }
    }
}

/// A running role. Dropping it kills the process.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    inbox: Arc<Inbox>,
    next_id: u64,
    pub(crate) implementation: String,
}

/// A command that was sent.
pub(crate) struct Reply {
    name: &'static str,
    subject: String,
    reply: mpsc::Receiver<Value>,
    inbox: Arc<Inbox>,
    deadline: Duration,
}

impl Process {
    /// Starts `command` with the address of the bus appended; resolve [`Process::ready`] before anything else.
    pub(crate) fn start(
        name: &'static str,
        command: &[OsString],
        address: &OsStr,
    ) -> Result<(Self, Reply)> {
        let (program, args) = command
            .split_first()
            .ok_or_else(|| format!("the command of the {name} is empty"))?;
        let stderr = if std::env::var_os("BENCH_ROLE_STDERR").is_some_and(|on| on == "1") {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        let mut child = Command::new(program)
            .args(args)
            .arg(address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| {
                format!(
                    "the {name} {} cannot be started: {error}",
                    program.to_string_lossy()
                )
            })?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or("a child has no pipes")?;
        let inbox = Arc::new(Inbox::default());
        let reading = Arc::clone(&inbox);
        let mut process = Self {
            name,
            child,
            input,
            inbox,
            next_id: READY,
            implementation: String::new(),
        };
        let ready = process.expect("ready".into(), DEADLINE);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(io::Result::ok) {
                if let Ok(message) = serde_json::from_str(&line) {
                    reading.take(message);
                }
            }
            // Whoever still waits is told by the end of its channel.
            reading.lock().clear();
        });
        Ok((process, ready))
    }

    /// Waits for the first line.
    pub(crate) fn ready(&mut self, ready: Reply) -> Result<()> {
        let message: Value = ready.wait()?;
        self.implementation = message["impl"].as_str().unwrap_or("unknown").to_owned();
        Ok(())
    }

    fn expect(&mut self, subject: String, deadline: Duration) -> Reply {
        let (sender, reply) = mpsc::channel();
        self.inbox.lock().insert(self.next_id, sender);
        self.next_id += 1;
        Reply {
            name: self.name,
            subject,
            reply,
            inbox: Arc::clone(&self.inbox),
            deadline,
        }
    }

    /// Sends a command; `members` is an object, whose `seconds` prolong the deadline.
    pub(crate) fn send(&mut self, command: &str, mut members: Value) -> Result<Reply> {
        let id = self.next_id;
        let seconds = members["seconds"].as_f64().unwrap_or(0.0).max(0.0);
        members["id"] = json!(id);
        members["cmd"] = json!(command);
        let reply = self.expect(command.into(), DEADLINE + Duration::from_secs_f64(seconds));
        writeln!(self.input, "{members}")
            .map_err(|error| format!("{} cannot be told to {command}: {error}", self.name))?;
        Ok(reply)
    }

    /// Sends a command and waits for its reply.
    pub(crate) fn call<T: DeserializeOwned>(&mut self, command: &str, members: Value) -> Result<T> {
        self.send(command, members)?.wait()
    }

    /// Errors that no command asked for.
    pub(crate) fn unhandled(&self) -> u64 {
        self.inbox.unhandled.load(Relaxed)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // A process that has ended already is as dead as it should be.
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Nothing is left to do for a process that cannot be waited for.
        let _ = self.child.wait();
    }
}

impl Reply {
    /// Waits for the members of the reply.
    ///
    /// # Errors
    /// When the command failed, the process ended, or nothing came in time.
    pub(crate) fn wait<T: DeserializeOwned>(self) -> Result<T> {
        let Self { name, subject, .. } = &self;
        let message = self
            .reply
            .recv_timeout(self.deadline)
            .map_err(|error| match error {
                mpsc::RecvTimeoutError::Timeout => {
                    format!("{name}: no answer to {subject} in {:?}", self.deadline)
                }
                mpsc::RecvTimeoutError::Disconnected => {
                    let fatal = self
                        .inbox
                        .fatal
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    format!(
                        "{name} ended before it answered {subject}: {}",
                        fatal.as_deref().unwrap_or("it did not say why")
                    )
                }
            })?;
        if message["ok"] == false {
            return Err(format!(
                "{name}: {subject}: {}",
                message["error"].as_str().unwrap_or("failed")
            )
            .into());
        }
        Ok(serde_json::from_value(message)?)
    }
}

/// The same command to each of `processes`, at the same time.
pub(crate) fn call_each<T: DeserializeOwned>(
    processes: &mut [Process],
    command: &str,
    members: &Value,
) -> Result<Vec<T>> {
    let mut replies = Vec::new();
    for process in processes {
        replies.push(process.send(command, members.clone())?);
    }
    replies.into_iter().map(Reply::wait).collect()
}
