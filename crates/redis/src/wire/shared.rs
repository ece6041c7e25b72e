//! Connections of the library: commands to it, replies from it, and no command without an end.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::client::server_error;
use super::{BoxFuture, Command, Connection, Failure, Reply};

/// How long a command may go unanswered before it is found out whether its connection still stands.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// A connection of the library, whose handles are cheap to clone.
pub(super) struct Shared<C> {
    pub(super) connection: C,
    /// How long a reply may take.
    pub(super) limit: Option<Duration>,
    /// Whether commands go to the nodes of a cluster.
    pub(super) routed: bool,
}

impl<C> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connection for Shared<C> {
    fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>> {
        let (mut connection, probe, limit) =
            (self.connection.clone(), self.connection.clone(), self.limit);
        Box::pin(async move {
            let reply = connection.req_packed_command(command.packed());
            let reply = answered(reply, probe, limit).await;
            reply.map_err(while_sending).map(Reply::from)?.into_result()
        })
    }

    fn send_all<'a>(
        &self,
        commands: &'a [Command],
        transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        let (connection, probe, limit) =
            (self.connection.clone(), self.connection.clone(), self.limit);
        let routed = self.routed;
        Box::pin(async move {
            let replies = send_all(connection, commands, transaction, routed);
            let replies = answered(replies, probe, limit).await;
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

async fn send_all<C: ConnectionLike>(
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
    connection
        .req_packed_commands(&pipeline, skipped, wanted)
        .await
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

/// What `reply` brings, within `limit`.
///
/// The library forgets a command that is handed over at the moment at which the connection ends: its reply never comes, not even
/// as an error. So after a second another command goes behind it. On a connection that ended this one fails at once, and on one
/// that stands replies come in the order of the commands.
async fn answered<T, C: ConnectionLike>(
    reply: impl Future<Output = redis::RedisResult<T>>,
    mut connection: C,
    limit: Option<Duration>,
) -> redis::RedisResult<T> {
    let Some(limit) = limit else {
        return reply.await;
    };
    let mut reply = pin!(reply);
    let first = limit.min(PROBE_AFTER);
    if let Ok(reply) = timeout(first, &mut reply).await {
        return reply;
    }
    let late = async {
        let ping = redis::cmd("PING");
        tokio::select! {
            biased;
            reply = &mut reply => return reply,
            _ = connection.req_packed_command(&ping) => {}
        }
        // It may have come between the two looks; one more shows.
        let last = timeout(Duration::ZERO, unconstrained(reply)).await;
        last.unwrap_or_else(|_| Err(forgotten()))
    };
    let late = Box::pin(timeout(limit - first, late)).await;
    late.unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()))
}

fn forgotten() -> redis::RedisError {
    let message = "the connection ended while the command was handed over";
    std::io::Error::new(std::io::ErrorKind::ConnectionAborted, message).into()
}

fn while_sending(error: redis::RedisError) -> Failure {
    match server_error(&error) {
        Some(reply) => Failure::Server(reply),
        // A reply that ends in the middle is a parse error for the library; for us it is a broken connection.
        None => Failure::Lost(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};
    use tokio::time::{Instant, sleep};

    /// When the answers to a command and to a `PING` behind it come, if ever.
    #[derive(Clone)]
    struct Scripted {
        answer: Option<Duration>,
        pong: Option<RedisResult<Duration>>,
    }

    impl ConnectionLike for Scripted {
        fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
            let name = command.args_iter().next();
            let is_ping = matches!(name, Some(redis::Arg::Simple(b"PING")));
            let due = match is_ping {
                true => self.pong.clone(),
                false => self.answer.map(Ok),
            };
            Box::pin(async move {
                match due {
                    Some(due) => sleep(due?).await,
                    None => std::future::pending().await,
                }
                Ok(Value::Okay)
            })
        }

        fn req_packed_commands<'a>(
            &'a mut self,
            _pipeline: &'a Pipeline,
            _offset: usize,
            _count: usize,
        ) -> RedisFuture<'a, Vec<Value>> {
            Box::pin(std::future::pending())
        }

        fn get_db(&self) -> i64 {
            0
        }
    }

    /// Whether a command was answered, and how long that took by the clock of the test.
    async fn play(answer: Option<Duration>, pong: Option<RedisResult<Duration>>) -> (bool, u64) {
        let shared = Shared {
            connection: Scripted { answer, pong },
            limit: Some(Duration::from_secs(10)),
            routed: false,
        };
        let asked = Instant::now();
        let answer = shared.send(&Command::new("XADD")).await;
        let took = asked.elapsed().as_secs();
        assert!(
            matches!(answer, Ok(_) | Err(Failure::Lost(_))),
            "{answer:?}"
        );
        (answer.is_ok(), took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_the_library_forgot_is_lost_at_the_first_look() {
        let ended = Some(Err(forgotten()));
        assert_eq!(play(None, ended).await, (false, 1), "the connection ended");
        let stands = Some(Ok(Duration::ZERO));
        assert_eq!(
            play(None, stands).await,
            (false, 1),
            "what came later is answered"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_has_its_time_and_a_silent_one_no_more() {
        let slow = Duration::from_secs(7);
        assert_eq!(play(Some(slow), Some(Ok(slow))).await, (true, 7));
        assert_eq!(play(Some(slow), None).await, (true, 7));
        assert_eq!(play(None, None).await, (false, 10));
    }
}
