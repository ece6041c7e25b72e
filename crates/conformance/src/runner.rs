//! A test program with one named test per clause.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libmimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::report::run_guarded;
use crate::session::on_a_thread;
use crate::{CLAUSES, Clause, ClauseResult, Fixture, Unmet};

/// The whole of a `tests/conformance.rs` with `harness = false`: runs every clause on each of `fixtures`.
///
/// Takes the arguments of ordinary test programs (a filter, `--exact`, `--list`, `--test-threads`). Each test has a Tokio
/// runtime of its own. A clause that does not apply is reported as ignored, with the capability that is missing.
/// The guide `docs/conformance.md` shows a whole test program.
pub fn main(fixtures: impl IntoIterator<Item = Box<dyn Fixture>>) -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = fixtures.into_iter().flat_map(trials).collect();
    libmimic::run(&arguments, trials).exit_code()
}

/// One test per clause, named `<fixture>::<subject>::<clause>`.
fn trials(fixture: Box<dyn Fixture>) -> Vec<Trial> {
    let fixture: Arc<dyn Fixture> = fixture.into();
    CLAUSES
        .iter()
        .map(|clause| {
            let name = format!("{}::{}", fixture.name(), clause.name());
            let fixture = Arc::clone(&fixture);
            Trial::ignorable_test(name, move || run(clause, &*fixture))
        })
        .collect()
}

fn run(clause: &Clause, fixture: &dyn Fixture) -> Result<Completion, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the Tokio runtime does not start: {error}"))?;
    let outcome = runtime.block_on(run_guarded(clause, fixture));
    let ended = end(runtime, fixture.deadline());
    match outcome.and(ended) {
        Ok(()) => Ok(Completion::Completed),
        Err(unmet @ Unmet::NotApplicable(_)) => Ok(Completion::ignored_with(unmet)),
        Err(unmet @ Unmet::Violated(_)) => Err(unmet.into()),
    }
}

/// Shuts the runtime down, under what the clause has left behind.
fn end(runtime: Runtime, deadline: Duration) -> ClauseResult {
    on_a_thread(deadline, || drop(runtime)).ok_or_else(|| {
        let message =
            format!("a task of the backend keeps the runtime from ending for {deadline:?}");
        Unmet::violated(message)
    })
}
