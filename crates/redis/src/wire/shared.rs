//! Connections of the library: commands to it, and replies from it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::client::server_error;
use super::pipe::Pipe;
use super::watch::Watch;
use super::{BoxFuture, Command, Connection, Failure, Reply};

/// A connection of the library, whose handles are cheap to clone.
pub(super) struct Shared<C> {
    connection: C,
    /// Sees to it that every command ends; not where the library does, or the caller.
    watch: Option<Arc<Watch<C>>>,
    /// Whether commands go to the nodes of a cluster.
    routed: bool,
}

impl<C: Pipe> Shared<C> {
    /// A connection to one server, on which a reply may take `limit`, and without one as long as the caller waits.
    ///
    /// # Errors
    /// `Configuration` outside of a runtime.
    pub(super) fn single(connection: C, limit: Option<Duration>) -> Result<Self, Failure> {
        let watch = limit.map(|limit| Watch::new(connection.clone(), limit));
        Ok(Self {
            connection,
            watch: watch.transpose()?,
            routed: false,
        })
    }

    /// A connection to the nodes of a cluster. The library times their replies, which have no common order.
    pub(super) fn routed(connection: C) -> Self {
        Self {
            connection,
            watch: None,
            routed: true,
        }
    }

    /// Commands in flight, where they are watched.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> Option<usize> {
        self.watch.as_ref().map(|watch| watch.in_flight())
    }
}

impl<C> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<C: Pipe> Connection for Shared<C> {
    fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>> {
        let (mut connection, watch) = (self.connection.clone(), self.watch.clone());
        Box::pin(async move {
            let reply = pin!(connection.send(command.packed()));
            let reply = match &watch {
                Some(watch) => watch.answered(reply).await,
                None => reply.await,
            };
            reply.map_err(while_sending).map(Reply::from)?.into_result()
        })
    }

    fn send_all<'a>(
        &self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        let (connection, watch) = (self.connection.clone(), self.watch.clone());
        let routed = self.routed;
        Box::pin(async move {
            let replies = pin!(send_all(connection, commands, transaction, routed));
            let replies = match &watch {
                Some(watch) => watch.answered(replies).await,
                None => replies.await,
            };
            let replies = replies.map_err(while_sending)?;
            let replies: Vec<Reply> = replies.into_iter().map(Reply::from).collect();
            match (transaction, routed) {
                (false, _) => Ok(replies),
                (true, true) => executed(replies),
                (true, false) => executed_one_by_one(replies),
            }
        })
    }
}

async fn send_all<C: Pipe>(
    mut connection: C,
    commands: &[Command],
    transaction: bool,
    routed: bool,
) -> redis::RedisResult<Vec<redis::Value>> {
    let spelled_out = transaction && !routed;
    let mut pipeline = redis::Pipeline::with_capacity(commands.len() + 2);
    if spelled_out {
        // The library loses count of the replies when `MULTI` itself is refused.
        pipeline.cmd("MULTI");
    }
    for command in commands {
        pipeline.add_command(command.packed().clone());
    }
    let (skipped, wanted) = match (transaction, routed) {
        (false, _) => (0, commands.len()),
        (true, false) => {
            pipeline.cmd("EXEC");
            (0, commands.len() + 2)
        }
        (true, true) => {
            // Only so does the library send a transaction to one node.
            pipeline.atomic();
            (commands.len() + 1, 1)
        }
    };
    connection.send_all(&pipeline, skipped, wanted).await
}

/// The replies in that to `EXEC`, the last one.
fn executed(mut replies: Vec<Reply>) -> Result<Vec<Reply>, Failure> {
    match replies.pop().unwrap_or(Reply::Nil) {
        Reply::Array(replies) => Ok(replies),
        other => Err(other.unexpected("the replies of a transaction")),
    }
}

/// As [`executed`], where the replies to `MULTI` and to the queued commands come before.
fn executed_one_by_one(mut replies: Vec<Reply>) -> Result<Vec<Reply>, Failure> {
    let last = replies.pop();
    // What was refused on the way says more than that the whole was discarded.
    for reply in replies {
        reply.into_result()?;
    }
    executed(last.into_iter().collect())
}

fn while_sending(error: redis::RedisError) -> Failure {
    match server_error(&error) {
        Some(reply) => Failure::Server(reply),
        // A reply that ends in the middle is a parse error for the library; for us it is a broken connection.
        None => Failure::Lost(Arc::new(error)),
    }
}
