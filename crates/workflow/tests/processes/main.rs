//! Processes that run workflows on one store, and are killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod kill;

use std::process::ExitCode;

use libmimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(folder) = child::folder() {
        return child::work(&folder);
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("one_process_after_the_other", kill::one_after_the_other),
        trial("two_processes_at_a_time", kill::two_at_a_time),
        trial("two_processes_on_servers", kill::two_on_servers),
    ];
    libmimic::run(&Arguments::from_args(), trials).exit_code()
}
