//! A process dies at every operation that it does, before and after the operation took effect; another one ends the run, and no
//! reader notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_agent::message::Part;
use bowline_agent::{AgentHandle, Memory, RunOutput};
use bowline_events::Reach;
use bowline_store::SqliteStore;
use futures_util::StreamExt;
use serde_json::Value;

use crate::house::House;
use crate::line::{Death, Line};
use crate::scene::{self, Effects, Hands, RUN, THREAD, see_to_it};
use crate::seen::{Seen, attached, reconnecting};

/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(60);
/// Times that a reader connects anew at least.
const RECONNECTIONS: usize = 20;

/// What has come out of a run.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    status: String,
    /// What the thread remembers, without ids and times.
    messages: Vec<String>,
    output: RunOutput,
    seen: Seen,
}

async fn process(house: &House, hands: &Hands, reach: Reach) -> AgentHandle {
    house.far(&scene::agent(hands), &hands.line, reach).await
}

fn part(part: &Part) -> String {
    match part {
        Part::Text { text, .. } => text.clone(),
        Part::Tool { invocation, .. } => {
            let result = invocation.result.as_ref().map(ToString::to_string);
            format!(
                "{} {} {:?} {result:?}",
                invocation.tool_call_id, invocation.args, invocation.state
            )
        }
        other => format!("{other:?}"),
    }
}

async fn remembered(house: &House) -> Vec<String> {
    let memory = Memory::new(Arc::clone(&house.store));
    let messages = memory.recent(THREAD, 100).await.unwrap();
    let text = |message: &bowline_agent::Message| {
        let parts: Vec<String> = message.content.parts.iter().map(part).collect();
        format!("{:?}: {}", message.role, parts.join(" | "))
    };
    messages.iter().map(text).collect()
}

/// What of the things that a run does to the world is committed.
async fn committed(house: &House) -> Vec<String> {
    let mut done = Vec::new();
    for fact in house.journal(RUN).await {
        let completion = &fact["ended"]["completion"];
        let asks = &completion["outcome"]["suspended"]["payload"];
        if asks["type"] == "suspension" {
            done.push("ask".to_owned());
        }
        let Value::Object(state) = &completion["state"] else {
            continue;
        };
        for key in state.keys() {
            let named = match key.split_once('.') {
                Some((_, "pay-1")) => "pay".to_owned(),
                Some((_, "ask-1")) => "hear".to_owned(),
                Some((_, "oslo")) => "Oslo".to_owned(),
                Some((_, "rome")) => "Rome".to_owned(),
                Some((_, "lima")) => "Lima".to_owned(),
                None if key.starts_with('s') => format!("model {}", &key[1..]),
                _ => continue,
            };
            done.push(named);
        }
    }
    done
}

/// A process that dies. Whether it did, or had nothing to do any more before.
async fn live(house: &House, effects: &Effects, death: Death, reach: Reach) -> bool {
    let line = Arc::new(Line::new(Some(death)));
    let hands = Hands {
        effects: effects.clone(),
        line: Arc::clone(&line),
    };
    let whole = async {
        let agent = process(house, &hands, reach).await;
        see_to_it(&agent).await;
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
    let (before, kept) = (effects.all(), committed(&house).await);
    let (bus, late) = (Arc::clone(&house.bus), deaths.is_empty());
    let late = (!late).then(|| tokio::spawn(async move { attached(&bus, RUN).await }));
    let hands = Hands {
        effects: effects.clone(),
        line: Arc::new(Line::new(None)),
    };
    let agent = process(&house, &hands, reach).await;
    see_to_it(&agent).await;
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
        messages: remembered(&house).await,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_boundary_is_seen_by_nobody() {
    at_boundaries(Reach::Process, || async { House::new() }, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_where_chunks_go_to_the_bus_without_being_waited_for() {
    at_boundaries(Reach::Host, || async { House::new() }, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_the_death_of_the_process_that_goes_on() {
    at_boundaries(Reach::Host, || async { House::new() }, two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_any_on_a_database() {
    let house = || async { House::on(Arc::new(SqliteStore::in_memory().await.unwrap())) };
    at_boundaries(Reach::Host, house, one).await;
}
