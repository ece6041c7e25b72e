//! Processes that work on runs of agents on one store, and are killed, or stopped for a while.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;
mod kill;
#[path = "../durable/line.rs"]
#[allow(dead_code, reason = "it can do more than is needed here")]
mod line;
#[path = "../durable/outcome.rs"]
mod outcome;
#[path = "../durable/scene.rs"]
mod scene;
#[path = "../durable/seen.rs"]
#[allow(dead_code, reason = "it can do more than is needed here")]
mod seen;
mod stalled;
#[path = "../durable/wires.rs"]
mod wires;

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
        trial("at_chosen_points_on_a_file", kill::at_points_on_a_file),
        trial("at_chosen_points_on_servers", kill::at_points_on_servers),
        trial("at_any_moment_on_a_file", kill::at_any_moment_on_a_file),
        trial("at_any_moment_on_servers", kill::at_any_moment_on_servers),
        trial("one_of_two_on_a_file", kill::one_of_two_on_a_file),
        trial("one_of_two_on_servers", kill::one_of_two_on_servers),
        trial("a_stopped_process_is_silent_afterwards", stalled::is_silent),
    ];
    libmimic::run(&Arguments::from_args(), trials).exit_code()
}
