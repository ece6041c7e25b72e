//! The line channel: a JSON command per input line, a JSON message per output line.

use std::io::{BufRead, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::commands::Driver;

/// Writes one message. When nobody reads any more the process has no purpose left.
pub(crate) fn say(message: &Value) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{message}")
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Serves commands concurrently until `exit` or the end of the input.
pub(crate) async fn serve(driver: Arc<Driver>) {
    let mut lines = input();
    let (leave, mut left) = mpsc::channel::<()>(1);
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = left.recv() => return,
        };
        let Some(line) = line else { return };
        let (driver, leave) = (Arc::clone(&driver), leave.clone());
        tokio::spawn(async move {
            if answer(&driver, &line).await {
                // Full means that another `exit` came first.
                let _ = leave.try_send(());
            }
        });
    }
}

/// Answers one line; whether it was the last.
async fn answer(driver: &Driver, line: &str) -> bool {
    let command: Value = serde_json::from_str(line).unwrap_or_default();
    let id = command["id"].clone();
    if id.is_null() {
        say(
            &json!({ "reply": null, "ok": false, "error": "a command is a JSON object with an \"id\"" }),
        );
        return false;
    }
    match driver.run(&command).await {
        Ok(mut reply) => {
            reply["reply"] = id;
            reply["ok"] = json!(true);
            say(&reply);
            command["cmd"] == "exit"
        }
        Err(error) => {
            say(&json!({ "reply": id, "ok": false, "error": error }));
            false
        }
    }
}

/// The lines of standard input, read by a thread because a pending read cannot be cancelled.
fn input() -> mpsc::UnboundedReceiver<String> {
    let (send, receive) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}
