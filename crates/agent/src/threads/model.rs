//! The decisions of processes that share a thread, interleaved at random, against what a thread promises: a signal that was taken is
//! heard by exactly one run, or was taken back by whoever sent it, and one run at a time is at work.

use std::collections::{HashMap, HashSet};

use bowline_events::Text;
use proptest::prelude::*;

use super::Signal;
use super::options::{IfActive, IfIdle, Wanted};
use super::state::{Given, Reachable, ThreadState, Waiting};
use crate::RunOptions;

const PROCESSES: usize = 3;
const SIGNALS: u8 = 12;
const AGENTS: [&str; 2] = ["analyst", "poet"];

/// What a process, a run or a peer does next.
#[derive(Debug, Clone)]
enum Act {
    /// Reads the state; until then the process decides on what it read before.
    Load,
    Send {
        signal: u8,
        agent: usize,
        own_turn: bool,
        wanted: Wanted,
    },
    Claim,
    Start,
    /// The run at work reads what it was given.
    Read,
    /// It ends, and closes its mailbox if it comes to that.
    End {
        closes: bool,
    },
    Settle,
    TakeOver,
    Beat,
    Cancel(u8),
    /// Takes back what belongs to an owner.
    CancelOwned,
    Forget,
    /// The run of a peer takes the lease, if it is free.
    PeerBegins,
    /// It hears what it was given, and shows it.
    PeerHears,
    PeerEnds,
    Forward,
    /// What it showed is noted.
    Note(u8),
    TakeBack,
    /// The process forgets everything.
    Crash,
}

#[derive(Debug, Default)]
struct Run {
    begun: bool,
    ended: bool,
    closed: bool,
    letters: Vec<Text>,
    read: usize,
}

#[derive(Debug, Default)]
struct World {
    state: ThreadState,
    version: u64,
    read: [(ThreadState, u64); PROCESSES],
    runs: HashMap<Text, Run>,
    /// The lease of the thread is held by a run of a peer.
    peer: bool,
    /// What the runs of peers were given, and what they have shown.
    given: HashSet<Text>,
    shown: HashSet<Text>,
    taken: HashSet<Text>,
    /// What is in the memory of the thread.
    kept: HashSet<Text>,
    gone: HashSet<Text>,
    names: u32,
}

const PEER: &str = "peer";
/// Whose every other message is.
const OWNER: &str = "somebody";

fn id(signal: u8) -> Text {
    format!("signal-{signal}").into()
}

impl World {
    fn name(&mut self, kind: &str) -> Text {
        self.names += 1;
        format!("{kind}-{}", self.names).into()
    }

    /// Writes what a process has decided, if the state is the one that it was decided on.
    fn write(&mut self, process: usize, state: &ThreadState) -> bool {
        if self.read[process].1 != self.version {
            return false;
        }
        // As the store has it.
        let json = serde_json::to_string(state).unwrap();
        self.state = serde_json::from_str(&json).unwrap();
        assert_eq!(self.state, *state);
        self.version += 1;
        true
    }

    fn act(&mut self, process: usize, act: &Act) {
        let mut state = self.read[process].0.clone();
        match act {
            Act::Load => self.read[process] = (self.state.clone(), self.version),
            Act::Crash => self.read[process] = (ThreadState::default(), u64::MAX),
            Act::Send {
                signal,
                agent,
                own_turn,
                wanted,
            } => self.send(process, state, *signal, *agent, *own_turn, wanted),
            Act::Claim => {
                if self.peer {
                    return;
                }
                let stream = self.name("stream");
                let Some(claim) = state.claim(&process.to_string().into(), stream) else {
                    return;
                };
                if self.write(process, &state) {
                    let run = self.runs.entry(claim.run).or_default();
                    assert!(run.letters.is_empty() && !run.begun, "a run begins once");
                    run.letters = claim.signals.iter().map(|it| it.id.clone()).collect();
                }
            }
            Act::Start => {
                if let Some(active) = &state.active {
                    let run = active.run.clone();
                    self.runs.get_mut(&run).unwrap().begun = true;
                }
            }
            Act::Read => {
                if let Some(run) = self.at_work() {
                    run.read = run.letters.len();
                }
            }
            Act::End { closes } => {
                if let Some(run) = self.at_work() {
                    run.ended = true;
                    run.closed = *closes;
                }
            }
            Act::Settle => self.settle(process, state),
            Act::TakeOver | Act::Beat => {
                let Some(active) = state.active.clone() else {
                    return;
                };
                if matches!(act, Act::Beat) {
                    state.beat(&active.run, &active.keeper.stream);
                } else {
                    let stream = self.name("stream");
                    state.take_over(&active.run, &process.to_string().into(), stream);
                }
                self.write(process, &state);
            }
            Act::Cancel(_) | Act::CancelOwned => {
                let meant = |it: &Waiting| match act {
                    Act::Cancel(signal) => it.signal.id == id(*signal),
                    _ => it.owner.is_some(),
                };
                let waiting = state.queue.iter().filter(|it| it.owner.is_some());
                assert_eq!(waiting.count(), state.waiting(Some(&OWNER.into())));
                let gone = state.cancel(meant);
                if self.write(process, &state) {
                    self.gone.extend(gone);
                }
            }
            Act::Forget => {
                let waiting: Vec<Text> =
                    state.queue.iter().map(|it| it.signal.id.clone()).collect();
                let run = state.active.as_ref().map(|it| it.run.clone());
                if run.is_some_and(|run| state.forget(&run)) && self.write(process, &state) {
                    self.gone.extend(waiting);
                }
            }
            Act::PeerBegins => self.peer |= self.state.active.is_none(),
            Act::PeerHears => {
                if self.peer {
                    self.shown.extend(std::mem::take(&mut self.given));
                }
            }
            Act::PeerEnds => {
                self.peer = false;
                // What was on its way to it is lost.
                self.given.clear();
            }
            Act::Forward => {
                if self.peer {
                    let sent = state.forward(&PEER.into());
                    if self.write(process, &state) {
                        self.given.extend(sent.into_iter().map(|it| it.id));
                    }
                }
            }
            Act::Note(signal) => {
                if self.shown.contains(&id(*signal)) {
                    state.heard(&id(*signal));
                    self.write(process, &state);
                }
            }
            Act::TakeBack => {
                // Whoever does it has noted everything that the peer has shown.
                let noted = |it: &Waiting| !self.shown.contains(&it.signal.id);
                if !self.peer && state.queue.iter().all(noted) {
                    state.take_back();
                    self.write(process, &state);
                }
            }
        }
    }

    fn at_work(&mut self) -> Option<&mut Run> {
        let mut runs = self.runs.values_mut();
        runs.find(|run| run.begun && !run.ended)
    }

    fn send(
        &mut self,
        process: usize,
        mut state: ThreadState,
        signal: u8,
        agent: usize,
        own_turn: bool,
        wanted: &Wanted,
    ) {
        let reachable = match &state.active {
            Some(active) if self.runs[&active.run].closed => Reachable::Closed,
            None if self.peer && wanted.asks_for_others() => Reachable::Foreign,
            _ => Reachable::Yes,
        };
        let message = Signal::user("hello").with_id(id(signal));
        let mut waiting = Waiting::new(message, AGENTS[agent].into(), RunOptions::new());
        waiting.run = self.name("run");
        waiting.own_turn = own_turn;
        waiting.owner = signal.is_multiple_of(2).then(|| OWNER.into());
        let given = state.give(waiting, wanted, reachable);
        match given {
            Given::Post(_) | Given::Queued | Given::Wake | Given::Persist { .. } => {}
            Given::Owner => {
                // The owner is another process, which gives it to the thread as it is now.
                let owner = (process + 1) % PROCESSES;
                self.act(owner, &Act::Load);
                let now = self.state.clone();
                return self.send(owner, now, signal, agent, own_turn, &Wanted::default());
            }
            _ => return,
        }
        if self.write(process, &state) {
            assert!(self.taken.insert(id(signal)), "it was taken before");
            match given {
                Given::Post(run) => {
                    let run = self.runs.get_mut(&run).unwrap();
                    assert!(!run.closed);
                    run.letters.push(id(signal));
                }
                Given::Persist { .. } => assert!(self.kept.insert(id(signal))),
                _ => {}
            }
        }
    }

    fn settle(&mut self, process: usize, mut state: ThreadState) {
        let Some(active) = state.active.clone() else {
            return;
        };
        let run = self.runs.get_mut(&active.run).unwrap();
        if !run.ended {
            return;
        }
        run.closed = true;
        let unread: Vec<Text> = run.letters[run.read..].to_vec();
        let signals = unread
            .iter()
            .map(|it| Signal::user("hello").with_id(it.clone()));
        let waiting: Vec<Text> = state.queue.iter().map(|it| it.signal.id.clone()).collect();
        assert!(state.settle(&active.run, signals.collect()));
        if self.write(process, &state) {
            let run = self.runs.get_mut(&active.run).unwrap();
            run.letters.truncate(run.read);
            if active.forget {
                self.gone.extend(unread);
                self.gone.extend(waiting);
            }
        }
    }

    /// Every signal that was taken is in one place.
    fn check(&self) {
        for signal in &self.taken {
            let queued = self.state.queue.iter().filter(|it| it.signal.id == *signal);
            let in_runs = self.runs.values().map(|run| {
                let letters = run.letters.iter().filter(|it| *it == signal);
                letters.count()
            });
            // With a peer it is as long as nobody has noted it also in the queue.
            let noted = self.shown.contains(signal)
                && !self.state.queue.iter().any(|it| it.signal.id == *signal);
            let gone = self.gone.contains(signal);
            let places = queued.count()
                + in_runs.sum::<usize>()
                + usize::from(self.kept.contains(signal))
                + usize::from(noted && !gone)
                + usize::from(gone);
            assert_eq!(places, 1, "{signal}: {self:#?}");
        }
        let working = self.runs.values().filter(|run| run.begun && !run.ended);
        assert!(working.count() <= 1, "one run at a time: {self:#?}");
    }

    /// Goes on without failures until nothing waits.
    fn finish(&mut self) {
        self.act(0, &Act::PeerEnds);
        for _ in 0..1000 {
            for signal in 0..SIGNALS {
                self.act(0, &Act::Load);
                self.act(0, &Act::Note(signal));
            }
            for act in [Act::TakeBack, Act::Claim, Act::Start] {
                self.act(0, &Act::Load);
                self.act(0, &act);
            }
            self.act(0, &Act::Read);
            self.act(0, &Act::End { closes: true });
            self.act(0, &Act::Load);
            self.act(0, &Act::Settle);
            self.check();
            if self.state.is_idle() {
                return;
            }
        }
        panic!("it does not come to an end: {self:#?}");
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let if_active = prop_oneof![
        4 => Just(IfActive::Deliver),
        1 => Just(IfActive::Persist),
        1 => Just(IfActive::Discard),
    ];
    let if_idle = prop_oneof![
        4 => Just(IfIdle::Wake),
        1 => Just(IfIdle::Persist),
        1 => Just(IfIdle::Discard),
    ];
    let wanted = (if_active, if_idle, prop::bool::weighted(0.2));
    wanted.prop_map(|(if_active, if_idle, by_owner)| Wanted {
        if_active,
        if_idle,
        by_owner,
        ..Wanted::default()
    })
}

fn act() -> impl Strategy<Value = Act> {
    let signal = 0..SIGNALS;
    let send = (
        signal.clone(),
        0..AGENTS.len(),
        prop::bool::weighted(0.2),
        wanted(),
    );
    prop_oneof![
        6 => Just(Act::Load),
        6 => send.prop_map(|(signal, agent, own_turn, wanted)| Act::Send {
            signal,
            agent,
            own_turn,
            wanted,
        }),
        4 => Just(Act::Claim),
        4 => Just(Act::Start),
        3 => Just(Act::Read),
        3 => any::<bool>().prop_map(|closes| Act::End { closes }),
        4 => Just(Act::Settle),
        1 => Just(Act::TakeOver),
        1 => Just(Act::Beat),
        1 => signal.clone().prop_map(Act::Cancel),
        1 => Just(Act::CancelOwned),
        1 => Just(Act::Forget),
        2 => Just(Act::PeerBegins),
        2 => Just(Act::PeerHears),
        2 => Just(Act::PeerEnds),
        3 => Just(Act::Forward),
        2 => signal.prop_map(Act::Note),
        2 => Just(Act::TakeBack),
        1 => Just(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_signal_that_was_taken_is_heard_by_exactly_one_run(
        // Mostly on what is there now: otherwise nearly nothing is ever written.
        acts in prop::collection::vec((0..PROCESSES, prop::bool::weighted(0.7), act()), 1..150)
    ) {
        let mut world = World::default();
        for (process, fresh, act) in &acts {
            if *fresh {
                world.act(*process, &Act::Load);
            }
            world.act(*process, act);
            world.check();
        }
        world.finish();
    }
}

/// What becomes of a signal, for every wish and everything that can be going on.
#[test]
fn a_signal_goes_where_it_is_wanted() {
    let persist = |show| Given::Persist { show };
    let run = || Text::from("at work");
    for if_active in [IfActive::Deliver, IfActive::Persist, IfActive::Discard] {
        for if_idle in [IfIdle::Wake, IfIdle::Persist, IfIdle::Discard] {
            let idle = |wakes| match if_idle {
                IfIdle::Wake => wakes,
                IfIdle::Persist => persist(true),
                IfIdle::Discard => Given::Discard,
            };
            let active = |delivers| match if_active {
                IfActive::Deliver => delivers,
                IfActive::Persist => persist(false),
                IfActive::Discard => Given::Discard,
            };
            for (at_work, reachable, by_owner, given) in [
                (None, Reachable::Yes, false, idle(Given::Wake)),
                (None, Reachable::Yes, true, idle(Given::Owner)),
                (None, Reachable::Foreign, false, active(Given::Wake)),
                (None, Reachable::Foreign, true, active(Given::Owner)),
                (Some(0), Reachable::Yes, true, active(Given::Post(run()))),
                (
                    Some(0),
                    Reachable::Suspended,
                    false,
                    active(Given::Blocked(run())),
                ),
                (
                    Some(0),
                    Reachable::Closed,
                    true,
                    active(idle(Given::Queued)),
                ),
                (Some(1), Reachable::Yes, true, idle(Given::Queued)),
                (
                    Some(1),
                    Reachable::Suspended,
                    false,
                    idle(Given::Blocked(run())),
                ),
            ] {
                let mut state = ThreadState::default();
                if let Some(agent) = at_work {
                    let agent = Text::from(AGENTS[agent]);
                    assert!(state.occupy(run(), agent, &"us".into(), "stream".into()));
                }
                let waiting = Waiting::new("hello".into(), AGENTS[0].into(), RunOptions::default());
                let wanted = Wanted {
                    if_active,
                    if_idle,
                    by_owner,
                    ..Wanted::default()
                };
                let became = state.give(waiting.clone(), &wanted, reachable);
                assert_eq!(became, given, "{wanted:?} {at_work:?} {reachable:?}");
                let taken = !matches!(given, Given::Owner | Given::Discard | Given::Blocked(_));
                assert_eq!(state.knows(&waiting.signal.id), taken);
            }
        }
    }
}
