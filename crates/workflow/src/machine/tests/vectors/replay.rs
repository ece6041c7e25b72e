//! Answering the commands of a run with what was recorded.

use bowline_events::Timestamp;
use serde_json::Value;

use super::differences::{Difference, Kind};
use super::log::{Line, Log, masked};
use super::{definitions, facts, records};
use crate::Data;
use crate::definition::Entry;
use crate::machine::{At, Command, Completion, Fact, Failure, Machine, Notice, Outcome, Spot};

type Step = Result<(), String>;

pub(super) struct Replay<'a> {
    log: &'a Log,
    known: Vec<&'static Difference>,
    used: Vec<bool>,
    machine: Machine,
    told: Vec<Notice>,
    /// What was answered last.
    answered: Option<Spot>,
    now: Timestamp,
}

impl<'a> Replay<'a> {
    pub(super) fn new(log: &'a Log, known: impl Iterator<Item = &'static Difference>) -> Self {
        let known: Vec<&Difference> = known.collect();
        Self {
            log,
            used: vec![false; known.len()],
            known,
            machine: Machine::new(log.root().to_owned().into(), definitions::of(log.name)),
            told: Vec::new(),
            answered: None,
            now: Timestamp::from_millis(1_795_144_000_000),
        }
    }

    pub(super) fn run(&mut self) -> Step {
        for (i, line) in self.log.lines.iter().enumerate() {
            let moved = if line.moves() {
                self.moved(i, line)
            } else {
                self.watched(line)
            };
            moved.map_err(|problem| format!("line {i} ({}): {problem}", line.kind))?;
        }
        Ok(())
    }

    /// What is still asked for in the end, and differences that were none.
    pub(super) fn left(&mut self) -> Vec<String> {
        let mut left: Vec<Vec<usize>> = self.executed().iter().map(|spot| spot.path()).collect();
        self.accept(|kind| match kind {
            Kind::Left(paths) if left == *paths => {
                left.clear();
                true
            }
            _ => false,
        });
        let mut problems = Vec::new();
        if !left.is_empty() {
            problems.push(format!("in the end {left:?} is still asked for"));
        }
        for (known, used) in self.known.iter().zip(&self.used) {
            if !used && !matches!(known.kind, Kind::Told { .. }) {
                problems.push(format!("no such difference: {:?}", known.kind));
            }
        }
        problems
    }

    /// What the watchers of a run were told.
    pub(super) fn told(&self, run: &str) -> Vec<Value> {
        let told = self.told.iter().filter(|notice| notice.run_id == run);
        told.map(|notice| masked(&serde_json::from_str(&notice.json).unwrap()))
            .collect()
    }

    fn moved(&mut self, i: usize, line: &Line) -> Step {
        match line.kind.as_str() {
            "workflow.start" if line.run() == self.log.root() => self.start(line),
            "workflow.resume" if line.run() == self.log.root() => self.resume(line),
            "workflow.start" | "workflow.resume" => self.frame(line).map(|_| ()),
            "workflow.step.run" => self.begun(i, line),
            "workflow.step.end" => self.ended(line),
            "workflow.cancel" => self.canceled(),
            "workflow.end" | "workflow.fail" | "workflow.suspend" => self.stopped(line),
            other => Err(format!("{other} is not known")),
        }
    }

    /// A sleep ends when its watchers are told so.
    fn watched(&mut self, line: &Line) -> Step {
        let Some(run) = line.watched() else {
            return Ok(());
        };
        let woken = line.data["type"] == "workflow-step-result"
            && line.data["payload"]["id"] == "sleep"
            && !self.machine.status().is_final();
        if !woken || run != self.log.root() {
            return Ok(());
        }
        self.pass(&line.data["payload"]["endedAt"]);
        let wake = self.machine.outstanding().into_iter().find_map(|command| {
            let Command::Wake { spot, .. } = command else {
                return None;
            };
            Some(spot)
        });
        let spot = wake.ok_or("nothing sleeps")?;
        self.apply(&Fact::Woke {
            at: self.at(),
            spot,
        })
    }

    fn start(&mut self, line: &Line) -> Step {
        let fact = facts::start(line, self.at());
        self.apply(&fact)
    }

    fn resume(&mut self, line: &Line) -> Step {
        let fact = facts::resume(line, self.at(), &self.machine)?;
        self.apply(&fact)
    }

    /// Something was to be run: branches and loops are decided by what was run, and leaves must be asked for here too.
    fn begun(&mut self, i: usize, line: &Line) -> Step {
        let (frame, path) = (self.frame(line)?, line.path());
        let spot = Spot::new(frame, path[0], path.get(1).copied());
        let entry = self.entry(spot);
        if self.is_over() {
            return Ok(());
        }
        match entry.as_deref() {
            Some("branch") if path.len() == 1 => return self.decide(i, line, spot),
            Some("leaf" | "loop") => {}
            _ => return Ok(()),
        }
        let retries = line.data["retryCount"].as_u64().unwrap_or(0);
        if retries > 0 && entry.as_deref() == Some("loop") {
            self.end(
                spot,
                Outcome::Success(line.result()["output"].clone().into()),
                None,
            )?;
            let (at, again) = (self.at(), true);
            self.apply(&Fact::Looped { at, spot, again })?;
        } else if retries > 0 {
            self.end(
                spot,
                Outcome::Failed(Failure::new("Error", "once more")),
                None,
            )?;
        }
        if self.executed().contains(&spot) {
            return Ok(());
        }
        Err(format!("{path:?} is not asked for"))
    }

    fn decide(&mut self, i: usize, line: &Line, spot: Spot) -> Step {
        let Some(Entry::Branch(branches)) = self.machine.workflow().entry(spot.entry) else {
            return Err("no branches are there".into());
        };
        let (count, run) = (branches.len(), line.run());
        let later = &self.log.lines[i..];
        let taken = |k: usize| {
            let mut of_it = later
                .iter()
                .filter(|line| line.moves() && line.run() == run);
            of_it.any(|line| line.path() == [spot.entry, k] && line.kind == "workflow.step.run")
        };
        let taken = (0..count).map(taken).collect();
        let at = self.at();
        self.apply(&Fact::Decided { at, spot, taken })
    }

    fn ended(&mut self, line: &Line) -> Step {
        let (frame, path) = (self.frame(line)?, line.path());
        let spot = Spot::new(frame, path[0], path.get(1).copied());
        let entry = self.entry(spot);
        let result = line.result();
        let Some("leaf" | "loop") = entry.as_deref() else {
            return Ok(());
        };
        if result["status"] == "skipped" {
            return Ok(());
        }
        if !self.executed().contains(&spot) {
            let again = self.answered == Some(spot);
            return self.accept_or(
                |kind| matches!(kind, Kind::Doubled) && again || matches!(kind, Kind::Over),
                format!("{path:?} ended, and does not run here"),
            );
        }
        let outcome = facts::outcome(result)?;
        let state = result["__stateDelta"].clone();
        let state = state.is_object().then(|| state.into());
        self.pass(&result["endedAt"]);
        self.end(spot, outcome, state)?;
        if entry.as_deref() == Some("loop") {
            let (at, again) = (self.at(), false);
            return self.apply(&Fact::Looped { at, spot, again });
        }
        Ok(())
    }

    fn canceled(&mut self) -> Step {
        if self.machine.status().is_final() {
            return self.accept_or(
                |kind| matches!(kind, Kind::Doubled),
                "the run was cancelled twice".into(),
            );
        }
        let at = self.at();
        self.apply(&Fact::Canceled { at })
    }

    /// The recorded run came to an end or to a halt: by a bail if a step still runs, and with the same records.
    fn stopped(&mut self, line: &Line) -> Step {
        let frame = self.frame(line)?;
        let path = line.path();
        let running = self.executed();
        let bailed = running
            .iter()
            .find(|spot| spot.frame == frame && spot.path() == path);
        if let Some(&spot) = bailed.filter(|_| line.kind == "workflow.end") {
            let output = line.result()["output"].clone().into();
            self.end(spot, Outcome::Bailed(output), None)?;
        }
        for (step, problem) in records::different(&self.machine, frame, &line.data["stepResults"]) {
            self.accept_or(
                |kind| matches!(kind, Kind::Record(known) if **known == step),
                problem,
            )?;
        }
        Ok(())
    }

    /// Whether the run has ended here while the recorded one goes on, which a difference must say.
    fn is_over(&mut self) -> bool {
        self.machine.status().is_final() && self.accept(|kind| matches!(kind, Kind::Over))
    }

    fn end(&mut self, spot: Spot, outcome: Outcome, state: Option<Data>) -> Step {
        let asked = self.machine.outstanding().into_iter().find_map(|command| {
            let Command::Execute { spot: at, attempt } = command else {
                return None;
            };
            (at == spot).then_some(attempt)
        });
        let attempt = asked.ok_or_else(|| format!("{:?} does not run", spot.path()))?;
        self.answered = Some(spot);
        self.apply(&Fact::Ended {
            at: self.at(),
            spot,
            attempt,
            completion: Completion { outcome, state },
        })
    }

    fn apply(&mut self, fact: &Fact) -> Step {
        self.machine.apply(fact).map_err(|mismatch| mismatch.0)?;
        self.told.extend(self.machine.take_notices());
        Ok(())
    }

    fn executed(&self) -> Vec<Spot> {
        self.machine.running()
    }

    /// The number of the run of a line here.
    fn frame(&self, line: &Line) -> Result<usize, String> {
        let run = line.run();
        let frame = self
            .machine
            .frames
            .iter()
            .position(|frame| frame.run_id == run);
        frame.ok_or_else(|| format!("no run {run} has begun"))
    }

    /// What is at a spot: "leaf", "loop", "branch", or something that is no work of its own.
    fn entry(&self, spot: Spot) -> Option<String> {
        let entry = self.machine.frames[spot.frame].workflow.entry(spot.entry)?;
        let kind = match (entry, spot.branch) {
            (Entry::Branch(_), None) => "branch",
            (Entry::Foreach(_) | Entry::Parallel(_), None) | (Entry::Sleep(_), _) => return None,
            (Entry::Loop(_), _) => "loop",
            _ => entry.step(spot.branch).map(|_| "leaf")?,
        };
        Some(kind.to_owned())
    }

    fn at(&self) -> At {
        At(self.now)
    }

    fn pass(&mut self, time: &Value) {
        if let Some(time) = time.as_i64() {
            self.now = Timestamp::from_millis(time);
        }
    }

    /// Whether a known difference is meant.
    fn accept(&mut self, mut meant: impl FnMut(&Kind) -> bool) -> bool {
        let found = self.known.iter().position(|known| meant(&known.kind));
        if let Some(i) = found {
            self.used[i] = true;
        }
        found.is_some()
    }

    fn accept_or(&mut self, meant: impl FnMut(&Kind) -> bool, problem: String) -> Step {
        if self.accept(meant) {
            Ok(())
        } else {
            Err(problem)
        }
    }
}
