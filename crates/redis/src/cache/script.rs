//! The scripts that the server executes as one step.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::layout::Keys;
use super::store::Store;
use crate::wire::{Command, Failure, Repeat, Reply, ServerError};

/// The text of a script and its hash, by which the server finds it again.
#[derive(Debug)]
pub(crate) struct Source {
    code: String,
    hash: String,
}

impl Source {
    fn new(body: &str) -> Self {
        let code = format!("{}{body}", include_str!("lua/history.lua"));
        let hash = sha1_smol::Sha1::from(&code).digest().to_string();
        Self { code, hash }
    }
}

/// Gives an event its index, appends it, trims and renews the lifetime.
pub(crate) static APPEND: LazyLock<Source> =
    LazyLock::new(|| Source::new(include_str!("lua/append.lua")));

/// Forgets the events before an index.
pub(crate) static TRIM: LazyLock<Source> =
    LazyLock::new(|| Source::new(include_str!("lua/trim.lua")));

/// A script, and what is known of the server about it.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static Source,
    /// The server has executed the script: the hash is enough from now on.
    loaded: AtomicBool,
    /// The user may not execute scripts by their hash.
    hash_denied: AtomicBool,
}

impl Script {
    pub(crate) fn new(source: &'static Source) -> Self {
        Self {
            source,
            loaded: AtomicBool::new(false),
            hash_denied: AtomicBool::new(false),
        }
    }

    /// Executes the script. Until it has succeeded once its text is sent along, so that calls in flight keep their order.
    pub(crate) async fn run<A: AsRef<[u8]>>(
        &self,
        store: &dyn Store,
        keys: &[&str],
        arguments: &[A],
        repeat: Repeat,
    ) -> Result<Reply, Failure> {
        if self.loaded.load(Relaxed) && !self.hash_denied.load(Relaxed) {
            let command = call("EVALSHA", &self.source.hash, keys, arguments);
            match store.run(&command, repeat).await {
                Err(failure) if failure.code() == Some("NOSCRIPT") => {
                    self.loaded.store(false, Relaxed);
                }
                Err(failure) if is_denied(&failure) => self.hash_denied.store(true, Relaxed),
                result => return result.map_err(explained),
            }
        }
        let command = call("EVAL", &self.source.code, keys, arguments);
        match store.run(&command, repeat).await {
            Err(denied) if is_denied(&denied) && !self.hash_denied.load(Relaxed) => {
                // Somebody who may load scripts can have done so.
                let command = call("EVALSHA", &self.source.hash, keys, arguments);
                match store.run(&command, repeat).await {
                    Err(failure) if failure.code() == Some("NOSCRIPT") => Err(denied),
                    result => result.map_err(explained),
                }
            }
            result => {
                if result.is_ok() {
                    self.loaded.store(true, Relaxed);
                }
                result.map_err(explained)
            }
        }
    }
}

fn call<A: AsRef<[u8]>>(
    name: &'static str,
    script: &str,
    keys: &[&str],
    arguments: &[A],
) -> Command {
    let bytes = arguments
        .iter()
        .map(|a| a.as_ref().len() + 16)
        .sum::<usize>();
    let mut command = Command::sized(name, script.len() + bytes + 256)
        .arg(script)
        .number(keys.len() as u64);
    for key in keys {
        command = match command.subject() {
            None => command.key(key),
            Some(_) => command.arg(key),
        };
    }
    command.args(arguments)
}

/// Whether the user may not execute scripts this way.
fn is_denied(failure: &Failure) -> bool {
    matches!(failure, Failure::Server(error)
        if error.code == "NOPERM" && error.message.to_ascii_lowercase().contains("'eval"))
}

/// Whether scripts cannot be used on this server, or not on keys in two hash slots.
pub(crate) fn is_impossible(failure: &Failure) -> bool {
    is_denied(failure)
        || matches!(failure, Failure::Server(error)
            if error.code == "CROSSSLOT" || error.code == "ERR" && error.message.starts_with("unknown command"))
}

/// A command that is refused inside of a script is reported without a code of its own.
fn explained(failure: Failure) -> Failure {
    match failure {
        Failure::Server(error)
            if error.code == "ERR" && error.message.contains("can't run this command")
                || error.message.contains("can't access") =>
        {
            Failure::Server(ServerError {
                code: "NOPERM".to_owned(),
                message: error.message,
            })
        }
        other => other,
    }
}

impl Keys {
    /// Both keys, as the append script takes them.
    pub(crate) fn both(&self) -> [&str; 2] {
        [&self.list, &self.counter]
    }
}
