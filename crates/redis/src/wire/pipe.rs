//! What the library sends commands by, without its boxes where it can be had without.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};

/// A connection of the library, whose handles are cheap to clone. Commands go in the order of the first polls.
pub(super) trait Pipe: Clone + Send + Sync + 'static {
    /// Sends a command and waits for its reply, for however long.
    fn send(&mut self, command: &Cmd) -> impl Future<Output = RedisResult<Value>> + Send;

    /// Sends commands in one piece; of the replies, `skipped` are left out and `wanted` returned.
    fn send_all(
        &mut self,
        commands: &Pipeline,
        skipped: usize,
        wanted: usize,
    ) -> impl Future<Output = RedisResult<Vec<Value>>> + Send;
}

impl Pipe for MultiplexedConnection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.send_packed_command(command).await
    }

    async fn send_all(
        &mut self,
        commands: &Pipeline,
        skipped: usize,
        wanted: usize,
    ) -> RedisResult<Vec<Value>> {
        self.send_packed_commands(commands, skipped, wanted).await
    }
}

impl Pipe for ClusterConnection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.req_packed_command(command).await
    }

    async fn send_all(
        &mut self,
        commands: &Pipeline,
        skipped: usize,
        wanted: usize,
    ) -> RedisResult<Vec<Value>> {
        self.req_packed_commands(commands, skipped, wanted).await
    }
}
