//! Publishers, a connection that breaks in every way, and a server, on a clock of their own: every publish that is polled ends in
//! time, whatever happens to the others, and nothing is doubled.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bowline_events::{NewEvent, Topic};
use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::bus::Bus;
use crate::settings::Settings;
use crate::wire::{
    BoxFuture, Client, ClientOptions, Command, Connect, Connection, Failure, Link, LinkOptions,
    Purpose, Reply, Server, ServerError,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long one reply, and one attempt to connect, may take.
const RESPONSE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// A publish waits for a server, is sent, is lost, and has the same time once more to find out and to be sent again.
const LIMIT: Duration = Duration::from_secs(2 * 30 + 10 + 1);

/// What becomes of a command.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered(u64),
    /// The connection ends before the command arrives.
    LostBefore,
    /// The connection ends before the reply arrives.
    LostAfter(u64),
    /// Neither arrives, and the connection stands.
    Silent,
    Loading,
}

/// What becomes of an attempt to connect.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Connected(u64),
    Refused,
    Silent,
    /// The server is away for so many milliseconds.
    Away(u64),
}

/// What the caller does with a publish.
#[derive(Debug, Clone, Copy)]
enum Caller {
    Waits,
    DropsAfter(u64),
    /// Keeps the future, and polls it no more.
    StopsAfter(u64),
}

#[derive(Debug, Default)]
struct World {
    fates: Vec<Fate>,
    attempts: Vec<Attempt>,
    away: Option<Instant>,
    /// The texts of the entries.
    entries: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no panic")
    }

    fn execute(&self, command: &Command) -> Reply {
        let mut world = self.world();
        match command.name() {
            "XADD" => {
                let text = command.words().last().expect("an event").to_vec();
                world.entries.push(text);
                Reply::Nil
            }
            "XREVRANGE" => Reply::Array(world.entries.iter().enumerate().map(entry).collect()),
            other => panic!("{other} is not part of a publish"),
        }
    }

    /// How many entries hold the number `n`.
    fn count(&self, n: usize) -> usize {
        let holds = |text: &&Vec<u8>| {
            let event: serde_json::Value = serde_json::from_slice(text).expect("JSON");
            event["data"] == n
        };
        self.world().entries.iter().filter(holds).count()
    }
}

fn entry((number, text): (usize, &Vec<u8>)) -> Reply {
    let fields = vec![
        Reply::Bulk(Bytes::from_static(b"event")),
        Reply::Bulk(Bytes::from(text.clone())),
    ];
    let id = Reply::Bulk(Bytes::from(format!("1-{number}")));
    Reply::Array(vec![id, Reply::Array(fields)])
}

fn broken() -> Arc<std::io::Error> {
    Arc::new(std::io::ErrorKind::BrokenPipe.into())
}

impl Connect for Fake {
    fn connect<'a>(
        &'a self,
        _purpose: Purpose,
        _key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Arc<dyn Connection>, Failure>> {
        Box::pin(async move {
            let attempt = {
                let mut world = self.world();
                let is_away = world.away.is_some_and(|until| Instant::now() < until);
                match world.attempts.pop() {
                    _ if is_away => Attempt::Refused,
                    Some(Attempt::Away(millis)) => {
                        world.away = Some(Instant::now() + Duration::from_millis(millis));
                        Attempt::Refused
                    }
                    attempt => attempt.unwrap_or(Attempt::Connected(1)),
                }
            };
            match attempt {
                Attempt::Connected(millis) => {
                    sleep(Duration::from_millis(millis)).await;
                    let connection: Arc<dyn Connection> = Arc::new(FakeConnection {
                        fake: self.clone(),
                        ended: watch::Sender::new(false),
                    });
                    return Ok(connection);
                }
                Attempt::Silent => sleep(CONNECT).await,
                _ => {}
            }
            Err(Failure::Unreachable(broken()))
        })
    }
}

#[derive(Debug)]
struct FakeConnection {
    fake: Fake,
    ended: watch::Sender<bool>,
}

impl Connection for FakeConnection {
    fn send<'a>(&self, command: &'a Command) -> BoxFuture<'a, Result<Reply, Failure>> {
        let (fake, ended) = (self.fake.clone(), self.ended.clone());
        Box::pin(async move {
            if *ended.borrow() {
                return Err(Failure::Lost(broken()));
            }
            let fate = fake.world().fates.pop();
            let (reply, millis, ends) = match fate.unwrap_or(Fate::Answered(1)) {
                Fate::Answered(millis) => (fake.execute(command), millis, false),
                Fate::LostAfter(millis) => (fake.execute(command), millis, true),
                Fate::LostBefore => (Reply::Nil, 0, true),
                Fate::Silent => {
                    sleep(RESPONSE).await;
                    return Err(Failure::Lost(broken()));
                }
                Fate::Loading => {
                    return Err(Failure::Server(ServerError::from_line("LOADING")));
                }
            };
            let mut over = ended.subscribe();
            let lost = timeout(Duration::from_millis(millis), over.wait_for(|over| *over));
            let lost = lost.await.is_ok();
            if ends {
                ended.send_replace(true);
            }
            match lost || ends {
                true => Err(Failure::Lost(broken())),
                false => Ok(reply),
            }
        })
    }

    fn send_all<'a>(
        &self,
        _commands: &'a [Command],
        _transaction: bool,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Failure>> {
        unreachable!("a publish is one command while streams do not expire")
    }
}

fn bus(fake: &Fake) -> Arc<Bus> {
    let server: Server = "redis://localhost".parse().expect("a URL");
    let settings = Settings {
        publish_timeout: PATIENCE,
        ..Settings::default()
    };
    let mut bus = Bus::new(Client::new(server, ClientOptions::default()), settings);
    let options = LinkOptions { patience: PATIENCE };
    bus.link = Link::new(Arc::new(fake.clone()), options);
    Arc::new(bus)
}

/// Publishes `n` and checks how that ends. A caller that stops polling waits at `end`.
async fn publish(bus: Arc<Bus>, fake: Fake, n: usize, caller: Caller, end: Arc<Barrier>) {
    let topic = Topic::from("orders");
    let data = n.to_string();
    let event = NewEvent::new("work", "run-1").with_json(data);
    let mut publishing = pin!(bus.publish(&topic, event.expect("JSON")));
    let limit = match caller {
        Caller::Waits => LIMIT,
        Caller::DropsAfter(millis) | Caller::StopsAfter(millis) => Duration::from_millis(millis),
    };
    match (timeout(limit, &mut publishing).await, caller) {
        (Ok(Ok(_)), _) => assert_eq!(fake.count(n), 1, "{n} is published"),
        (Ok(Err(_)), _) | (Err(_), Caller::DropsAfter(_)) => {}
        (Err(_), Caller::Waits) => panic!("{n} was not answered in time"),
        (Err(_), Caller::StopsAfter(_)) => {
            end.wait().await;
            return;
        }
    }
    end.wait().await;
}

async fn play(fates: Vec<Fate>, attempts: Vec<Attempt>, callers: Vec<Caller>) {
    let fake = Fake::default();
    let bus = bus(&fake);
    // A server that was never there is not waited for.
    let one = Arc::new(Barrier::new(1));
    publish(Arc::clone(&bus), fake.clone(), 0, Caller::Waits, one).await;
    (fake.world().fates, fake.world().attempts) = (fates, attempts);
    let end = Arc::new(Barrier::new(callers.len()));
    let mut publishers = JoinSet::new();
    for (n, caller) in callers.iter().enumerate() {
        let (bus, fake, end) = (Arc::clone(&bus), fake.clone(), Arc::clone(&end));
        publishers.spawn(publish(bus, fake, n + 1, *caller, end));
        if n % 3 == 2 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    while let Some(ended) = publishers.join_next().await {
        ended.expect("every publisher ends");
    }
    for n in 0..=callers.len() {
        assert!(fake.count(n) <= 1, "{n} is doubled");
    }
    assert_eq!(bus.outstanding(), 0);
}

fn run(fates: Vec<Fate>, attempts: Vec<Attempt>, callers: Vec<Caller>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime
        .expect("a runtime")
        .block_on(play(fates, attempts, callers));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (0..20_u64).prop_map(Fate::Answered),
        2 => Just(Fate::LostBefore),
        2 => (0..20_u64).prop_map(Fate::LostAfter),
        1 => Just(Fate::Silent),
        1 => Just(Fate::Loading),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![
        4 => (0..200_u64).prop_map(Attempt::Connected),
        2 => Just(Attempt::Refused),
        1 => Just(Attempt::Silent),
        1 => (1..60_000_u64).prop_map(Attempt::Away),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        6 => Just(Caller::Waits),
        1 => (0..3_000_u64).prop_map(Caller::DropsAfter),
        1 => (0..3_000_u64).prop_map(Caller::StopsAfter),
    ]
}

proptest! {
    #[test]
    fn every_publish_ends_in_time_and_nothing_is_doubled(
        fates in prop::collection::vec(fate(), 0..40),
        attempts in prop::collection::vec(attempt(), 0..12),
        callers in prop::collection::vec(caller(), 1..24),
    ) {
        run(fates, attempts, callers);
    }
}

#[test]
fn those_who_are_lost_together_do_not_wait_one_after_the_other() {
    // The server is away for ten minutes; the first command takes the others with it.
    let fates = vec![Fate::LostAfter(15); 8];
    run(fates, vec![Attempt::Away(600_000)], vec![Caller::Waits; 8]);
}

#[test]
fn a_publish_that_is_not_polled_holds_no_other_up() {
    // The looks, which are the last fates, take long enough to stop polling meanwhile.
    let mut fates = vec![Fate::Answered(500); 2];
    fates.extend([Fate::LostAfter(5); 3]);
    let callers = vec![Caller::StopsAfter(100), Caller::Waits, Caller::Waits];
    run(fates, Vec::new(), callers);
}
