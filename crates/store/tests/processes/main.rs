//! Processes that are killed, that share a file, and that may not write it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod kill;
mod read_only;

use std::process::ExitCode;

use libmimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(role) = child::role() {
        return child::play(&role);
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("a_killed_process_keeps_what_it_reported", kill::one_process),
        trial(
            "two_processes_share_a_file_until_they_are_killed",
            kill::two_processes,
        ),
        trial(
            "a_file_that_cannot_be_written_is_refused",
            read_only::refused,
        ),
    ];
    libmimic::run(&Arguments::from_args(), trials).exit_code()
}
