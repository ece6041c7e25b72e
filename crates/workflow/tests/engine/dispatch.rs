//! Runs that are given back after every step, to whichever engine has room.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_events::Reach;
use bowline_workflow::{
    Dispatch, Engine, EngineBuilder, Resume, Run, RunStatus, Start, StepContext, StepError,
    TimeTravel, Workflow, step,
};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::watch;

use crate::boundaries::{Outcome, RUN, normal, outcome, see_to_it};
use crate::house::{House, count};
use crate::line::{Death, Line};
use crate::scenes::{Effects, Hands, SCENES, Scene};
use crate::wires::{FarBus, Hints};

/// Nothing here takes this long.
const FOREVER: Duration = Duration::from_secs(60);
/// Nobody looks into the store by himself.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
/// Nobody is taken for dead, however slow the machine is.
const LONG: Duration = Duration::from_secs(30);

/// What a bus says of itself.
#[derive(Debug, Clone, Copy)]
struct Bus {
    reach: Reach,
    replay: bool,
}

/// An engine at the end of a line, with such a bus.
fn engine(house: &House, line: &Arc<Line>, bus: Bus) -> EngineBuilder {
    let bus = FarBus {
        inner: Arc::clone(&house.bus),
        line: Arc::clone(line),
        hints: Hints::Times(1),
        reach: bus.reach,
        replay: bus.replay,
    };
    house.far_on(line, bus).lease(LONG)
}

async fn closed(engines: Vec<Engine>) {
    for engine in engines {
        engine.close().await;
        assert_eq!(engine.active_runs(), 0);
    }
}

/// What came of a run, how often its steps were executed, and how often a bus was asked what was published.
type Played = (Outcome, BTreeMap<String, u32>, u64);

/// What comes of a scene on so many engines, and what is done for that.
async fn played(scene: &Scene, engines: usize, dispatch: Dispatch, bus: Bus) -> Played {
    let house = House::new();
    let effects = Effects::default();
    let (mut all, mut lines) = (Vec::new(), Vec::new());
    for seed in 1..=engines {
        let line = Arc::new(Line::new(seed as u64));
        lines.push(Arc::clone(&line));
        let hands = Hands::new(&effects, &line).dispatched(dispatch);
        let engine = engine(&house, &line, bus).workflow((scene.make)(&hands));
        all.push(engine.start().await.unwrap());
    }
    let run = see_to_it(&all[0], scene).await;
    let outcome = outcome(&house, &run, scene).await;
    let told = house.told(RUN).await.len();
    closed(all).await;
    assert_eq!(house.told(RUN).await.len(), told, "{}", scene.name);
    assert_eq!(count(&house.journal(RUN).await, "recovered"), 0);
    let asked = lines.iter().map(|line| line.asked()).sum();
    (outcome, effects.all(), asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_engines_share_its_steps_a_run_is_the_same() {
    for scene in SCENES {
        for (reach, replay) in [
            (Reach::Process, true),
            (Reach::Process, false),
            (Reach::Host, true),
            (Reach::Host, false),
        ] {
            let bus = Bus { reach, replay };
            let wanted = played(&scene, 1, Dispatch::Run, bus).await;
            for engines in 1..=3 {
                let played = played(&scene, engines, Dispatch::Step, bus);
                let found = tokio::time::timeout(FOREVER, played).await;
                let what = format!("{} on {engines} engines, {bus:?}", scene.name);
                assert_eq!(found.expect(&what), wanted, "{what}");
            }
        }
    }
}

/// Who executed the steps of a run, in their order.
#[derive(Debug, Clone, Default)]
struct Log {
    by: Arc<Mutex<Vec<usize>>>,
    at_once: Arc<AtomicUsize>,
}

impl Log {
    fn by(&self) -> Vec<usize> {
        self.by.lock().unwrap().clone()
    }
}

const STEPS: usize = 12;

/// Steps one after the other that write something, as the engine `who` has them.
fn chain(who: usize, log: &Log) -> Workflow {
    dispatched(who, log, Dispatch::Step)
}

fn dispatched(who: usize, log: &Log, dispatch: Dispatch) -> Workflow {
    let add = || {
        let log = log.clone();
        move |ctx: StepContext, n: usize| {
            let log = log.clone();
            async move {
                ctx.write(&n).await?;
                ctx.write("more").await?;
                let others = log.at_once.fetch_add(1, Ordering::SeqCst);
                assert_eq!((others, ctx.crashes(), ctx.attempt()), (0, 0, 0));
                log.by.lock().unwrap().push(who);
                tokio::task::yield_now().await;
                log.at_once.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, StepError>(n + 1)
            }
        }
    };
    let chain = Workflow::builder("chain").dispatch(dispatch);
    let mut chain = chain.input::<usize>().step(step("s0", add()));
    for k in 1..STEPS {
        chain = chain.step(step(format!("s{k}"), add()));
    }
    chain.build().unwrap()
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(FOREVER, what).await.expect("it hangs")
}

async fn chained(engine: &Engine) -> Run {
    let start = Start::with(&0_usize).unwrap().run_id(RUN);
    let run = engine.start("chain", start).await.unwrap();
    let result = in_time(run.result()).await.unwrap();
    assert_eq!(result.output::<usize>().unwrap(), STEPS);
    run
}

#[tokio::test]
async fn the_steps_of_a_run_are_executed_by_all_engines_one_at_a_time() {
    let house = House::new();
    let log = Log::default();
    let mut engines = Vec::new();
    for who in 0..3 {
        let engine = house.engine().lease(LONG).workflow(chain(who, &log));
        engines.push(engine.start().await.unwrap());
    }
    chained(&engines[0]).await;
    let by = log.by();
    assert_eq!(by.len(), STEPS);
    let all: HashSet<usize> = by.iter().copied().collect();
    assert_eq!(all.len(), 3, "{by:?}");
    assert_eq!(count(&house.journal(RUN).await, "recovered"), 0);
    closed(engines).await;
}

#[tokio::test]
async fn an_engine_that_cannot_take_a_step_tells_the_others() {
    let house = House::new();
    let log = Log::default();
    let (opens, gate) = watch::channel(false);
    let waits = step("wait", move |n: usize| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await?;
            Ok::<_, StepError>(n)
        }
    });
    let gated = Workflow::builder("gated").input::<usize>().step(waits);
    let gated = gated.build().unwrap();
    let engine = || house.engine().lease(LONG).poll(NEVER);
    let full = engine().max_runs(1).workflow(gated.clone());
    let full = full.workflow(chain(0, &log)).start().await.unwrap();
    let foreign = engine().workflow(gated).start().await.unwrap();
    let works = engine().workflow(chain(1, &log)).start().await.unwrap();
    let start = Start::with(&0_usize).unwrap();
    let busy = full.start("gated", start).await.unwrap();
    chained(&works).await;
    assert_eq!(log.by(), [1; STEPS]);
    opens.send_replace(true);
    let ended = in_time(busy.result()).await.unwrap();
    assert_eq!(ended.status(), RunStatus::Success);
    closed(vec![full, foreign, works]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_engine_has_more_runs_than_it_may_have() {
    const MOST: usize = 2;
    const RUNS: usize = 12;
    let house = House::new();
    let mut engines = Vec::new();
    for _ in 0..2 {
        let at_once = Arc::new(AtomicUsize::new(0));
        let work = move |n: usize| {
            let at_once = Arc::clone(&at_once);
            async move {
                assert!(at_once.fetch_add(1, Ordering::SeqCst) < MOST);
                tokio::task::yield_now().await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, StepError>(n + 1)
            }
        };
        let grows = Workflow::builder("grows").dispatch(Dispatch::Step);
        let grows = grows.input::<usize>();
        let grows = grows.do_until(step("grow", work), |n: &usize| *n >= STEPS);
        let engine = house.engine().lease(LONG).max_runs(MOST);
        let engine = engine.workflow(grows.build().unwrap());
        engines.push(engine.start().await.unwrap());
    }
    let mut runs = Vec::new();
    for n in 0..RUNS {
        let start = Start::with(&0_usize).unwrap();
        runs.push(engines[n % 2].start("grows", start).await.unwrap());
    }
    for run in runs {
        let result = in_time(run.result()).await.unwrap();
        assert_eq!(result.output::<usize>().unwrap(), STEPS);
    }
    closed(engines).await;
}

#[tokio::test]
async fn while_the_bus_is_away_a_run_stays_where_it_is() {
    let house = House::new();
    let log = Log::default();
    let bus = Bus {
        reach: Reach::Host,
        replay: true,
    };
    let (line, other) = (Arc::new(Line::new(1)), Arc::new(Line::new(2)));
    let one = engine(&house, &line, bus).workflow(chain(0, &log));
    let one = one.start().await.unwrap();
    let other = engine(&house, &other, bus).workflow(chain(1, &log));
    let other = other.start().await.unwrap();
    line.cut_bus(true);
    chained(&one).await;
    assert_eq!(log.by(), [0; STEPS]);
    line.cut_bus(false);
    let told = in_time(house.told_to_the_end(RUN)).await;
    let starts = told.iter().filter(|it| it.contains("workflow-step-start"));
    assert_eq!(starts.count(), STEPS);
    closed(vec![one, other]).await;
}

/// What a chain on so many engines, whose bus is slow, tells.
async fn told_slowly(engines: u64, dispatch: Dispatch) -> Vec<String> {
    const MILLIS: u32 = 10;
    let house = House::new();
    let log = Log::default();
    let bus = Bus {
        reach: Reach::Host,
        replay: false,
    };
    let mut all = Vec::new();
    for seed in 1..=engines {
        let line = Arc::new(Line::new(seed));
        let engine = engine(&house, &line, bus).workflow(dispatched(0, &log, dispatch));
        all.push(engine.start().await.unwrap());
        line.slow_down(MILLIS, 0);
    }
    chained(&all[0]).await;
    in_time(house.told_to_the_end(RUN)).await;
    closed(all).await;
    let told = house.told(RUN).await;
    told.iter().map(|event| normal(event, true)).collect()
}

#[tokio::test]
async fn what_steps_write_keeps_its_place() {
    let wanted = told_slowly(1, Dispatch::Run).await;
    for engines in 1..=3 {
        let told = told_slowly(engines, Dispatch::Step).await;
        assert_eq!(told, wanted, "{engines} engines");
    }
}

#[tokio::test]
async fn an_engine_reads_every_fact_once() {
    const TIMES: u64 = 100;
    const ENGINES: u64 = 3;
    let house = House::new();
    let bus = Bus {
        reach: Reach::Process,
        replay: true,
    };
    let (mut all, mut lines) = (Vec::new(), Vec::new());
    for seed in 1..=ENGINES {
        let line = Arc::new(Line::new(seed));
        lines.push(Arc::clone(&line));
        let grow = step("grow", |n: u64| async move { Ok::<_, StepError>(n + 1) });
        let grows = Workflow::builder("grows").dispatch(Dispatch::Step);
        let grows = grows.input::<u64>();
        let grows = grows.do_until(grow, |n: &u64| *n >= TIMES).build().unwrap();
        let engine = engine(&house, &line, bus).workflow(grows);
        all.push(engine.start().await.unwrap());
    }
    let start = Start::with(&0_u64).unwrap().run_id(RUN);
    let run = all[0].start("grows", start).await.unwrap();
    let result = in_time(run.result()).await.unwrap();
    assert_eq!(result.output::<u64>().unwrap(), TIMES);
    let facts = house.journal(RUN).await.len() as u64;
    let read: u64 = lines.iter().map(|line| line.read()).sum();
    // The end is read once more by whoever waits for it.
    assert!(read <= facts * (ENGINES + 1), "{read} of {facts}");
    closed(all).await;
}

/// Fails until it is repaired, then asks.
fn fragile(repaired: &Arc<AtomicBool>, crashes: &Arc<AtomicUsize>) -> Workflow {
    let repaired = Arc::clone(repaired);
    let crashes = Arc::clone(crashes);
    let seen = move |ctx: &StepContext| {
        crashes.fetch_add(ctx.crashes() as usize, Ordering::SeqCst);
    };
    let (first, second, third) = (seen.clone(), seen.clone(), seen);
    Workflow::builder("fragile")
        .dispatch(Dispatch::Step)
        .input::<u64>()
        .step(step("add", move |ctx: StepContext, n: u64| {
            first(&ctx);
            async move { Ok::<_, StepError>(n + 1) }
        }))
        .step(step("break", move |ctx: StepContext, n: u64| {
            second(&ctx);
            let works = repaired.load(Ordering::SeqCst);
            async move {
                ctx.set_state(&json!({ "seen": n }))?;
                match works {
                    true => Ok(n * 10),
                    false => Err(StepError::fail("Broken", "not yet").no_retry()),
                }
            }
        }))
        .step(step("ask", move |ctx: StepContext, n: u64| {
            third(&ctx);
            async move {
                match ctx.resumed::<u64>()? {
                    Some(more) => Ok(n + more),
                    None => Err(ctx.suspend(&n)),
                }
            }
        }))
        .step(step("end", |n: u64| async move { Ok::<_, StepError>(n) }))
        .build()
        .unwrap()
}

#[tokio::test]
async fn any_engine_steers_a_run_that_others_go_on_with() {
    let house = House::new();
    let (repaired, crashes) = (Arc::default(), Arc::default());
    let mut engines = Vec::new();
    for _ in 0..3 {
        let engine = house.engine().lease(LONG);
        let engine = engine.workflow(fragile(&repaired, &crashes));
        engines.push(engine.start().await.unwrap());
    }
    let halts = |engine: Engine| async move {
        let run = engine.run(RUN).await.unwrap();
        in_time(run.result()).await.unwrap()
    };
    let start = Start::with(&1_u64).unwrap().run_id(RUN).per_step(true);
    engines[0].start("fragile", start).await.unwrap();
    let paused = halts(engines[1].clone()).await;
    assert_eq!(paused.status(), RunStatus::Paused);
    engines[2].go_on(RUN, false).await.unwrap();
    let failed = halts(engines[0].clone()).await;
    assert_eq!(failed.status(), RunStatus::Failed);
    repaired.store(true, Ordering::SeqCst);
    engines[1].retry(RUN).await.unwrap();
    let asks = halts(engines[2].clone()).await;
    assert_eq!(asks.status(), RunStatus::Suspended);
    let answer = Resume::with(&5_u64).unwrap();
    engines[0].resume(RUN, answer).await.unwrap();
    let ended = halts(engines[1].clone()).await;
    assert_eq!(ended.output::<u64>().unwrap(), 25);
    assert_eq!(ended.state().to_string(), r#"{"seen":2}"#);
    engines[2].travel(RUN, TimeTravel::to("add")).await.unwrap();
    let again = halts(engines[0].clone()).await;
    assert_eq!(again.status(), RunStatus::Suspended);
    engines[1].cancel(RUN).await.unwrap();
    let canceled = halts(engines[2].clone()).await;
    assert_eq!(canceled.status(), RunStatus::Canceled);
    assert_eq!(crashes.load(Ordering::SeqCst), 0);
    assert_eq!(count(&house.journal(RUN).await, "recovered"), 0);
    closed(engines).await;
}

#[tokio::test]
async fn cancelling_reaches_the_engine_that_has_the_step() {
    let house = House::new();
    let (begun, mut begins) = watch::channel(false);
    let (gave_up, mut gives_up) = watch::channel(false);
    let (begun, gave_up) = (Arc::new(begun), Arc::new(gave_up));
    let waits = || {
        let (begun, gave_up) = (Arc::clone(&begun), Arc::clone(&gave_up));
        let add = |n: u64| async move { Ok::<_, StepError>(n + 1) };
        let wait = move |ctx: StepContext, n: u64| {
            let (begun, gave_up) = (Arc::clone(&begun), Arc::clone(&gave_up));
            async move {
                begun.send_replace(true);
                let dropped = scopeguard(move || _ = gave_up.send_replace(true));
                ctx.cancelled().await;
                drop(dropped);
                Ok::<_, StepError>(n)
            }
        };
        let waits = Workflow::builder("waits").dispatch(Dispatch::Step);
        let waits = waits
            .input::<u64>()
            .step(step("a", add))
            .step(step("b", add));
        waits.step(step("wait", wait)).build().unwrap()
    };
    let mut engines = Vec::new();
    for _ in 0..3 {
        let engine = house.engine().lease(LONG).poll(NEVER).workflow(waits());
        engines.push(engine.start().await.unwrap());
    }
    let start = Start::with(&1_u64).unwrap();
    let run = engines[0].start("waits", start).await.unwrap();
    in_time(begins.wait_for(|begun| *begun)).await.unwrap();
    run.cancel().await.unwrap();
    in_time(gives_up.wait_for(|gave_up| *gave_up))
        .await
        .unwrap();
    let canceled = in_time(run.result()).await.unwrap();
    assert_eq!(canceled.status(), RunStatus::Canceled);
    let told = in_time(house.told_to_the_end(run.id())).await;
    let ends = told.iter().filter(|it| it.contains("\"workflow-finish\""));
    assert_eq!(ends.count(), 1, "{told:#?}");
    closed(engines).await;
}

/// Does something when it is dropped.
fn scopeguard(act: impl FnMut()) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(act)
}

/// Of two engines that share the steps of a run one dies.
async fn one_of_two_dies(scene: &Scene, death: Death, wanted: &Played) {
    const LEASE: Duration = Duration::from_secs(1);
    let what = format!("{} with {death:?}", scene.name);
    let house = House::new();
    let effects = Effects::default();
    let bus = Bus {
        reach: Reach::Host,
        replay: true,
    };
    let process = |line: Arc<Line>| {
        let hands = Hands::new(&effects, &line).dispatched(Dispatch::Step);
        let engine = engine(&house, &line, bus).lease(LEASE);
        engine.workflow((scene.make)(&hands)).start()
    };
    let lives = process(Arc::new(Line::new(2))).await.unwrap();
    let line = Arc::new(Line::with_death(Some(death)));
    let dies = async {
        let whole = async {
            let engine = process(Arc::clone(&line)).await.unwrap();
            see_to_it(&engine, scene).await;
            engine.close().await;
        };
        tokio::select! {
            () = whole => {}
            () = line.died() => {}
        }
        line.die();
    };
    let ((), run) = in_time(async { tokio::join!(dies, see_to_it(&lives, scene)) }).await;
    line.quiet().await;
    let found = in_time(outcome(&house, &run, scene)).await;
    assert_eq!(found, wanted.0, "{what}");
    let recovered = count(&house.journal(RUN).await, "recovered");
    let at_once = if scene.in_order { 1 } else { 3 };
    let total: u32 = wanted.1.values().sum();
    let most = total as usize + recovered * at_once;
    assert!(
        effects.total() as usize <= most,
        "{what}: {:?}",
        effects.all()
    );
    lives.close().await;
    let told = house.told(RUN).await.len();
    assert_eq!(told, wanted.0.told.len(), "told after the end: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_one_of_two_engines_costs_nothing_but_the_step_that_ran() {
    const AT_ONCE: usize = 32;
    const OPERATIONS: u64 = 40;
    for scene in SCENES {
        let bus = Bus {
            reach: Reach::Host,
            replay: true,
        };
        let wanted = &played(&scene, 1, Dispatch::Run, bus).await;
        let scene = &scene;
        let deaths = (0..OPERATIONS).flat_map(|n| [Death::Before(n), Death::After(n)]);
        futures_util::stream::iter(deaths)
            .map(|death| async move { one_of_two_dies(scene, death, wanted).await })
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }
}
