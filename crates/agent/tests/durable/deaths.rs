//! A process dies at every operation that it does, before and after the operation took effect; another one ends the run, and no
//! reader notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::{AgentHandle, RunOutput, Strategy};
use bowline_events::Reach;
use bowline_store::SqliteStore;
use futures_util::StreamExt;

use crate::house::House;
use crate::line::{Death, Line};
use crate::outcome::{Outcome, committed, remembered};
use crate::scene::{self, Effects, Hands, see_to_it};
use crate::seen::{Seen, attached, reconnecting};

/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(60);
/// Times that a reader connects anew at least.
const RECONNECTIONS: usize = 20;

const RUN: &str = "run-1";

async fn process(house: &House, hands: &Hands, reach: Reach) -> AgentHandle {
    house.far(&scene::agent(hands), &hands.line, reach).await
}

/// A process that dies. Whether it did, or had nothing to do any more before.
async fn live(house: &House, effects: &Effects, death: Death, reach: Reach) -> bool {
    let line = Arc::new(Line::new(Some(death)));
    let hands = Hands {
        effects: effects.clone(),
        line: Arc::clone(&line),
        pace: Duration::ZERO,
    };
    let whole = async {
        let agent = process(house, &hands, reach).await;
        see_to_it(&agent, RUN).await;
        agent.engine().close().await;
    };
    let died = tokio::select! {
        () = whole => false,
        () = line.died() => true,
    };
    line.die();
    line.quiet().await;
    died
}

/// What a reader sees whose run is over.
async fn read(house: &House) -> (Seen, RunOutput) {
    let (seen, output) = attached(&house.bus, RUN).await;
    (seen.essence(), output)
}

struct Survived {
    outcome: Outcome,
    effects: Effects,
    /// What the process that ended the run did with store and bus.
    operations: u64,
    /// Processes that died.
    died: usize,
    /// What they had committed.
    kept: usize,
}

/// Lets a process end the run that `deaths` processes have worked on before, and looks at everything.
async fn survives(house: House, deaths: &[Death], reach: Reach) -> Survived {
    let (bus, again) = (Arc::clone(&house.bus), Arc::clone(&house.bus));
    let first = tokio::spawn(async move { attached(&bus, RUN).await });
    let restless = tokio::spawn(async move { reconnecting(&again, RUN, 2).await });
    let effects = Effects::default();
    let mut died = 0;
    for death in deaths {
        died += usize::from(live(&house, &effects, *death, reach).await);
    }
    let (before, kept) = (effects.all(), committed(&house.store, RUN).await);
    let (bus, late) = (Arc::clone(&house.bus), deaths.is_empty());
    let late = (!late).then(|| tokio::spawn(async move { attached(&bus, RUN).await }));
    let hands = Hands {
        effects: effects.clone(),
        line: Arc::new(Line::new(None)),
        pace: Duration::ZERO,
    };
    let agent = process(&house, &hands, reach).await;
    see_to_it(&agent, RUN).await;
    let (seen, output) = first.await.unwrap();
    let (of_restless, restless, times) = restless.await.unwrap();
    assert!(times >= RECONNECTIONS, "it has connected {times} times");
    let mut readers = vec![(of_restless, restless), read(&house).await];
    if let Some(late) = late {
        readers.push(late.await.unwrap());
    }
    let seen = seen.essence();
    for (other, made) in readers {
        assert_eq!(other.essence(), seen);
        assert_eq!(made, output);
    }
    for (k, event) in house.told(RUN).await.iter().enumerate() {
        assert_eq!(event.index, Some(k as u64), "a gap, or the same again");
    }
    let outcome = Outcome {
        status: agent.status(RUN).await.unwrap().to_string(),
        messages: remembered(&house.store, RUN).await,
        output,
        seen,
    };
    agent.engine().close().await;
    let after = effects.all();
    for done in &kept {
        assert_eq!(
            after[done], before[done],
            "{done} was committed, and done again"
        );
    }
    Survived {
        outcome,
        effects,
        operations: hands.line.passed(),
        died,
        kept: kept.len(),
    }
}

/// The same with `deaths`: it comes to what `wanted` says.
async fn at(house: House, deaths: &[Death], reach: Reach, wanted: &Outcome) -> Survived {
    let what = format!("{deaths:?} on a bus of {reach:?}");
    let run = survives(house, deaths, reach);
    let run = std::panic::AssertUnwindSafe(tokio::time::timeout(FOREVER, run));
    let survived = match futures_util::FutureExt::catch_unwind(run).await {
        Ok(Ok(survived)) => survived,
        Ok(Err(_)) => panic!("it hangs: {what}"),
        Err(_) => panic!("with {what}"),
    };
    assert_eq!(survived.outcome, *wanted, "{what}");
    let most = 1 + deaths.len();
    let often: BTreeMap<String, usize> = survived.effects.all();
    assert!(
        often.values().all(|times| *times <= most),
        "{what}: {often:?}"
    );
    survived
}

async fn at_boundaries<F: Future<Output = House>>(
    reach: Reach,
    house: impl Fn() -> F,
    deaths: impl Fn(u64) -> Vec<Vec<Death>>,
) {
    const AT_ONCE: usize = 32;
    let undisturbed = survives(house().await, &[], reach).await;
    let effects = undisturbed.effects;
    assert!(
        effects.all().values().all(|times| *times == 1),
        "{effects:?}"
    );
    let cases = deaths(undisturbed.operations);
    let (wanted, house) = (&undisturbed.outcome, &house);
    let count = cases.len();
    let survived: Vec<Survived> = futures_util::stream::iter(cases)
        .map(|deaths| async move { at(house().await, &deaths, reach, wanted).await })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let deadly = survived.iter().filter(|it| it.died > 0).count();
    let kept = survived.iter().filter(|it| it.kept > 0).count();
    assert!(
        deadly * 2 > count && deadly >= 40,
        "{deadly} of {count} have died"
    );
    assert!(kept >= 40, "only {kept} had committed something");
}

/// A death at every operation, before it and after it.
fn one(operations: u64) -> Vec<Vec<Death>> {
    let both = |n| [vec![Death::Before(n)], vec![Death::After(n)]];
    (0..operations).flat_map(both).collect()
}

/// A death, and another one of the process that goes on.
fn two(operations: u64) -> Vec<Vec<Death>> {
    const APART: usize = 17;
    let firsts = (0..operations).step_by(APART);
    let pairs = firsts.flat_map(|first| {
        let seconds = (first % 7..operations).step_by(APART);
        seconds.map(move |second| vec![Death::After(first), Death::Before(second)])
    });
    pairs.collect()
}

async fn house() -> House {
    House::new()
}

async fn evented() -> House {
    House::with_strategy(Strategy::Evented)
}

async fn database() -> House {
    House::on(Arc::new(SqliteStore::in_memory().await.unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_boundary_is_seen_by_nobody() {
    at_boundaries(Reach::Process, house, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_where_chunks_go_to_the_bus_without_being_waited_for() {
    at_boundaries(Reach::Host, house, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_the_death_of_the_process_that_goes_on() {
    at_boundaries(Reach::Host, house, two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_any_on_a_database() {
    at_boundaries(Reach::Host, database, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_any_where_every_step_is_for_whoever_has_room() {
    at_boundaries(Reach::Host, evented, one).await;
}
