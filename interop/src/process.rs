//! A child process that speaks JSON lines.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

use crate::roles::project;
use crate::{Kind, PATIENCE, Seen, eventually};

/// What to start.
pub(crate) struct Launch<'a> {
    pub(crate) kind: Kind,
    /// The program of a peer in Node.
    pub(crate) script: &'a str,
    pub(crate) name: String,
    pub(crate) rust_peer: &'a Path,
    /// The path of the socket, or the URL of the server.
    pub(crate) address: &'a OsStr,
    pub(crate) options: Value,
    pub(crate) folder: &'a Path,
    /// The user to run as; `None`: the present one.
    pub(crate) user: Option<u32>,
}

impl Launch<'_> {
    fn command(&self) -> Command {
        let mut command = match self.kind {
            Kind::Rust => Command::new(self.rust_peer),
            Kind::Node => {
                let mut node = Command::new("node");
                node.arg(project().join(self.script));
                node
            }
        };
        command
            .arg(self.address)
            .arg(self.options.to_string())
            .env("TMPDIR", self.folder);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

/// Everything a peer has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) ready: bool,
    pub(crate) replies: HashMap<u64, Value>,
    pub(crate) events: Vec<Seen>,
    /// Notices of subscriptions and the last words of a dying peer.
    pub(crate) remarks: Vec<Value>,
    pub(crate) ended: bool,
}

impl Said {
    fn add(&mut self, message: Value) {
        if let Some(id) = message["reply"].as_u64() {
            self.replies.insert(id, message);
        } else if !message["event"].is_null() {
            self.events.push(Seen::new(message["event"].clone()));
        } else if message["ready"] == true {
            self.ready = true;
        } else {
            self.remarks.push(message);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Said> {
        // A test thread that failed while it looked leaves nothing half done.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The child, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    pid: Pid,
    input: Mutex<ChildStdin>,
    shared: Arc<Shared>,
    log: PathBuf,
}

impl Process {
    /// Starts the peer. Panics when that is impossible.
    pub(crate) fn start(launch: &Launch<'_>) -> Self {
        let log = launch.folder.join(format!("{}.log", launch.name));
        let cannot = |error| -> ! { panic!("cannot start {}: {error}", launch.name) };
        let errors = File::create(&log).unwrap_or_else(|error| cannot(error));
        let mut child = launch
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| cannot(error));
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("{} has no pipes", launch.name)
        };
        let shared = Arc::new(Shared::default());
        let listener = Arc::clone(&shared);
        thread::spawn(move || listen(output, &listener));
        Self {
            name: launch.name.clone(),
            pid: Pid::from_child(&child),
            child: Mutex::new(child),
            input: Mutex::new(input),
            shared,
            log,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes one command. A peer that is gone shows in the reply that never comes.
    pub(crate) fn say(&self, command: &Value) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = input.write_all(format!("{command}\n").as_bytes());
    }

    /// What the peer has said so far.
    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.shared.lock()
    }

    /// Waits until `check` finds something in what the peer said. Panics after [`PATIENCE`], or when the peer ends before.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, mut check: impl FnMut(&Said) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut said = self.said();
        loop {
            if let Some(found) = check(&said) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || said.ended {
                let why = if said.ended {
                    "has ended"
                } else {
                    "took too long"
                };
                let report = self.report(&said);
                drop(said);
                panic!("{} {why} before {what}; {report}", self.name);
            }
            said = self
                .shared
                .changed
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn report(&self, said: &Said) -> String {
        let last = said.events.len().saturating_sub(20);
        let events: Vec<String> = said.events[last..]
            .iter()
            .map(|one| format!("{}: {}", one.label(), cut(&one.event().to_string(), 200)))
            .collect();
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!(
            "{} events, the last: {events:#?}; remarks: {:?}; standard error: {}",
            said.events.len(),
            said.remarks,
            cut(&log, 2000)
        )
    }

    /// Sends a signal; to a peer that has ended already none.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Stops the peer and waits until all of its threads stand: a signal is only a request.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        eventually("the process stands", || {
            let asked = waitid(
                WaitId::Pid(self.pid),
                WaitIdOptions::STOPPED | WaitIdOptions::NOHANG,
            );
            match asked {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{} says {other:?}", self.name)),
            }
        });
    }

    /// Waits for the end.
    pub(crate) fn ended(&self) -> ExitStatus {
        self.wait("its end", |said| said.ended.then_some(()));
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child
            .wait()
            .unwrap_or_else(|error| panic!("{} cannot be waited for: {error}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn listen(output: ChildStdout, shared: &Shared) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    // A line without an end is what a killed peer was writing.
    while output.read_until(b'\n', &mut line).is_ok() && line.ends_with(b"\n") {
        let message = serde_json::from_slice(&line).unwrap_or_else(|error| {
            let line = String::from_utf8_lossy(&line);
            Value::String(format!("not a message ({error}): {line}"))
        });
        shared.lock().add(message);
        shared.changed.notify_all();
        line.clear();
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}

fn cut(text: &str, length: usize) -> String {
    if text.len() <= length {
        return text.to_owned();
    }
    let half = length / 2;
    let head: String = text.chars().take(half).collect();
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    format!("{head}…{}", tail.into_iter().rev().collect::<String>())
}
