//! A link whose commands are not all polled.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{
    BoxFuture, Command, Connect, Connection, Failure, Link, LinkOptions, Purpose, Repeat, Reply,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Connects in 20 ms and answers at once, but loses what is called `QUIT` with the connection.
#[derive(Debug)]
struct Prompt;

impl Connect for Prompt {
    fn connect<'a>(
        &'a self,
        _purpose: Purpose,
        _key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Arc<dyn Connection>, Failure>> {
        Box::pin(async {
            sleep(Duration::from_millis(20)).await;
            Ok(Arc::new(Self) as Arc<dyn Connection>)
        })
    }
}

impl Connection for Prompt {
    fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>> {
        Box::pin(async {
            match command.name() {
                "QUIT" => Err(Failure::Lost(Arc::new(std::io::Error::other("it ended")))),
                _ => Ok(Reply::Nil),
            }
        })
    }

    fn send_all<'a>(
        &self,
        commands: &'a [Command],
        _transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        Box::pin(async { Ok(vec![Reply::Nil; commands.len()]) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_not_polled_is_waited_for_once_and_briefly() {
    let options = LinkOptions { patience: PATIENCE };
    let link = Link::new(Arc::new(Prompt), options);
    let (ping, quit) = (Command::new("PING"), Command::new("QUIT"));
    let mut stopped = pin!(link.run(&ping, Repeat::No));
    let first = stopped
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(first, Poll::Pending), "it waits for a connection");
    // It never sends; only the first of these waits whether it does.
    sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    for _ in 0..1_000 {
        link.run(&ping, Repeat::No).await.expect("answered");
    }
    assert!(
        begun.elapsed() <= Duration::from_millis(20),
        "by the clock of the test"
    );
    // Nor does it keep a broken connection from being made again.
    assert!(link.run(&quit, Repeat::No).await.is_err());
    let again = timeout(PATIENCE, link.run(&ping, Repeat::No)).await;
    assert!(matches!(again, Ok(Ok(_))));
    assert!(stopped.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_those_who_wait() {
    let link = Link::new(Arc::new(Prompt), LinkOptions { patience: PATIENCE });
    let ping = Command::new("PING");
    let waiting = async { link.run(&ping, Repeat::Yes).await };
    let closing = async {
        sleep(Duration::from_millis(10)).await;
        link.close();
    };
    let begun = Instant::now();
    let (waited, ()) = tokio::join!(waiting, closing);
    assert!(matches!(waited, Err(Failure::Unreachable(_))));
    assert!(begun.elapsed() < PATIENCE, "by the clock of the test");
    assert!(link.run(&ping, Repeat::Yes).await.is_err());
}

#[test]
fn a_command_in_a_runtime_that_has_ended_hangs_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let handle = runtime.handle().clone();
    drop(runtime);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _entered = handle.enter();
        let options = LinkOptions { patience: PATIENCE };
        let link = Link::new(Arc::new(Prompt), options);
        let ping = Command::new("PING");
        let polled =
            pin!(link.run(&ping, Repeat::No)).poll(&mut Context::from_waker(Waker::noop()));
        tell.send(polled.is_pending())
    });
    let pending = told.recv_timeout(PATIENCE).expect("it returns");
    assert!(pending, "it lets the runtime drop it");
}
