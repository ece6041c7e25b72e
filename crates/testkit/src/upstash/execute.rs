//! Commands on a connection to the server.

use std::net::SocketAddr;

use crate::{Connection, Error, Reply, Result};

use super::request::{Asked, Command};

/// Commands that belong to a connection, which a client of the REST protocol has none of.
const UNAVAILABLE: [&str; 17] = [
    "AUTH",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "QUIT",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
];

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The reply of the only command, or the error for all of them.
    One(Reply),
    /// The replies of all commands.
    Each(Vec<Reply>),
}

/// Carries out what is asked, on a connection of its own.
pub(super) async fn execute(redis: SocketAddr, asked: &Asked) -> Result<Outcome> {
    let mut connection = Connection::open(redis).await?;
    match asked {
        Asked::One(command) => call(&mut connection, command).await.map(Outcome::One),
        Asked::Pipeline(commands) => {
            let mut replies = Vec::new();
            for command in commands {
                replies.push(call(&mut connection, command).await?);
            }
            Ok(Outcome::Each(replies))
        }
        Asked::Transaction(commands) => transaction(&mut connection, commands).await,
    }
}

async fn transaction(connection: &mut Connection, commands: &[Command]) -> Result<Outcome> {
    connection.call(&["MULTI"]).await?;
    for command in commands {
        if let Reply::Error(error) = call(connection, command).await? {
            connection.call(&["DISCARD"]).await?;
            let discarded = format!("EXECABORT Transaction discarded because of: {error}");
            return Ok(Outcome::One(Reply::Error(discarded)));
        }
    }
    match connection.call(&["EXEC"]).await? {
        Reply::Array(replies) => Ok(Outcome::Each(replies)),
        error @ Reply::Error(_) => Ok(Outcome::One(error)),
        other => Err(Error::new(format!("EXEC was answered with {other:?}"))),
    }
}

async fn call(connection: &mut Connection, command: &Command) -> Result<Reply> {
    let name = command
        .first()
        .map(|name| String::from_utf8_lossy(name).to_uppercase())
        .unwrap_or_default();
    if UNAVAILABLE.contains(&name.as_str()) {
        let refused = format!("ERR Command is not available: '{name}'");
        return Ok(Reply::Error(refused));
    }
    connection.call(command).await
}
