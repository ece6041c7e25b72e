//! The reducer: a run as a state machine without I/O. Facts go in; commands and notices come out.

mod branches;
mod command;
mod control;
mod enter;
mod fact;
mod fail;
mod frame;
mod iterate;
mod itinerary;
mod notice;
mod outstanding;
mod record;
mod resume;
mod retry;
mod select;
mod settle;
mod spot;
mod status;
mod suspend;
#[cfg(test)]
mod tests;
mod travel;
mod tree;
mod view;

use bowline_events::{Text, Timestamp};

pub(crate) use command::{Command, Notice};
pub(crate) use fact::{At, Completion, Fact, Failure, Outcome, Suspension, Travel};
pub(crate) use frame::Outputs;
use frame::{Active, Frame, Iteration, Phase, Slot};
pub use record::{StepResult, StepStatus};
pub use select::{Resume, SuspendedStep};
pub(crate) use spot::Spot;
pub use status::RunStatus;
pub(crate) use tree::LastEnd;
pub use tree::{PartKind, RunPart};
pub(crate) use view::View;

use crate::data::Fields;
use crate::{Data, Workflow};

/// How often a process may die while one step runs before the step counts as failed, unless the workflow says otherwise.
pub(crate) const MAX_CRASHES: u32 = 5;

/// A fact that cannot be about this run: the definition has changed, or the journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch(pub(crate) String);

type Applied<T = ()> = Result<T, Mismatch>;

/// A run.
#[derive(Debug)]
pub(crate) struct Machine {
    /// 0 is the workflow itself.
    frames: Vec<Frame>,
    status: RunStatus,
    /// The result, or the error, of a run that has ended.
    result: Option<Data>,
    error: Option<Data>,
    tripwire: Option<Data>,
    request_context: Fields,
    per_step: bool,
    begun: bool,
    commands: Vec<Command>,
    notices: Vec<Notice>,
    /// Notices of the whole run so far, those included that are not taken yet.
    noted: u64,
}

impl Machine {
    /// A run that has not begun.
    pub(crate) fn new(run_id: Text, workflow: Workflow) -> Self {
        let frame = Frame::new(workflow, run_id, None, Data::null(), Fields::default());
        Self {
            frames: vec![frame],
            status: RunStatus::Pending,
            result: None,
            error: None,
            tripwire: None,
            request_context: Fields::default(),
            per_step: false,
            begun: false,
            commands: Vec::new(),
            notices: Vec::new(),
            noted: 0,
        }
    }

    /// Lets `fact` happen.
    ///
    /// # Errors
    /// When it cannot be about this run; the machine is of no use then.
    pub(crate) fn apply(&mut self, fact: &Fact) -> Applied {
        let at = fact.at();
        if let Some(spot) = fact.answers() {
            self.check_asked(spot)?;
        }
        match fact {
            Fact::Started {
                input,
                state,
                context,
                per_step,
                ..
            } => self.begin(input, state.as_ref(), context.as_ref(), *per_step, at),
            Fact::Ended {
                spot,
                attempt,
                completion,
                ..
            } => self.end(*spot, *attempt, completion, at),
            Fact::Decided { spot, taken, .. } => self.decide(*spot, taken, at),
            Fact::Looped { spot, again, .. } => self.repeat(*spot, *again, at),
            Fact::Measured { spot, width, .. } => self.measure(*spot, *width, at),
            Fact::Slept { spot, until, .. } => self.sleep(*spot, until.0, at),
            Fact::Woke { spot, .. } => self.wake(*spot, at),
            Fact::Recovered { .. } => self.recover(at),
            Fact::Resumed {
                spots,
                data,
                context,
                per_step,
                ..
            } => {
                self.per_step = *per_step;
                self.resume(spots, data, context.as_ref(), at)
            }
            Fact::Continued { per_step, .. } => self.go_on(*per_step, at),
            Fact::Retried { .. } => self.retry(at),
            Fact::Traveled { travel, .. } => self.travel(travel, at),
            Fact::Canceled { .. } => self.cancel(at),
            Fact::Broke { error, .. } => self.break_off(error, at),
        }
    }

    fn begin(
        &mut self,
        input: &Data,
        state: Option<&Data>,
        context: Option<&Data>,
        per_step: bool,
        at: Timestamp,
    ) -> Applied {
        if self.status != RunStatus::Pending {
            return Err(mismatch("the run began twice"));
        }
        let root = &mut self.frames[0];
        root.input = input.clone();
        root.previous = input.clone();
        if let Some(state) = state {
            root.state = Fields::of(state);
        }
        if let Some(context) = context {
            self.request_context = Fields::of(context);
        }
        self.per_step = per_step;
        self.begun = true;
        self.status = RunStatus::Running;
        self.note_start(0);
        self.enter(0, at)
    }

    /// The commands since the last call.
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// The notices since the last call, in order.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// How many notices there were.
    pub(crate) fn noted(&self) -> u64 {
        self.noted
    }

    pub(crate) fn status(&self) -> RunStatus {
        self.status
    }

    /// What a run that ended well returned.
    pub(crate) fn result(&self) -> Option<&Data> {
        self.result.as_ref()
    }

    /// Why a run failed.
    pub(crate) fn error(&self) -> Option<&Data> {
        self.error.as_ref()
    }

    pub(crate) fn tripwire(&self) -> Option<&Data> {
        self.tripwire.as_ref()
    }

    pub(crate) fn run_id(&self) -> &Text {
        &self.frames[0].run_id
    }

    pub(crate) fn workflow(&self) -> &Workflow {
        &self.frames[0].workflow
    }

    /// That something at `spot` can be waited for: the run runs, and so does the workflow there and all around it.
    fn check_asked(&self, spot: Spot) -> Applied {
        if self.status != RunStatus::Running {
            return Err(mismatch(format!("the run is {}", self.status)));
        }
        let mut child = spot.frame;
        while let Some(parent) = self.frames.get(child).and_then(|frame| frame.parent) {
            if self.slot(parent)?.phase != Phase::Nested(child) {
                return Err(mismatch(format!("nested workflow {child} does not run")));
            }
            child = parent.frame;
        }
        Ok(())
    }

    fn frame(&self, spot: Spot) -> Applied<&Frame> {
        let frame = self.frames.get(spot.frame);
        let frame = frame.filter(|frame| frame.cursor == spot.entry);
        frame.ok_or_else(|| mismatch(format!("nothing happens at {:?}", spot.path())))
    }

    fn frame_mut(&mut self, spot: Spot) -> Applied<&mut Frame> {
        self.frame(spot)?;
        Ok(&mut self.frames[spot.frame])
    }

    fn slot(&self, spot: Spot) -> Applied<&Slot> {
        let slot = self.frame(spot)?.slot(spot.branch);
        slot.ok_or_else(|| mismatch(format!("no step is at {:?}", spot.path())))
    }

    fn slot_mut(&mut self, spot: Spot) -> Applied<&mut Slot> {
        let slot = self.frame_mut(spot)?.slot_mut(spot.branch);
        slot.ok_or_else(|| mismatch(format!("no step is at {:?}", spot.path())))
    }

    /// The frame at a spot that is an entry as a whole.
    fn whole_mut(&mut self, spot: Spot) -> Applied<&mut Frame> {
        if spot.branch.is_some() {
            return Err(mismatch(format!("{:?} is no entry", spot.path())));
        }
        self.frame_mut(spot)
    }

    /// The result at a spot.
    fn result_at(&mut self, spot: Spot) -> Option<&mut StepResult> {
        let frame = self.frames.get_mut(spot.frame)?;
        let index = frame.workflow.index(spot.entry, spot.branch);
        frame.result_mut(index)
    }

    fn id_at(&self, spot: Spot) -> Text {
        let id = self.frames[spot.frame].workflow.node_id(spot);
        id.unwrap_or_default()
    }
}

fn mismatch(message: impl Into<String>) -> Mismatch {
    Mismatch(message.into())
}
