//! Developer commands: `cargo xtask <command>`.
#![allow(clippy::print_stdout)]

mod install;
mod run;
mod steps;
mod watch;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test      install what the tests need, then run every test
  lint      formatting, clippy, documentation and the dependency budget, warnings denied
  ci        lint, then test
  long      the tests that take long: many more random cases, many more failovers
  simulate  engines that die, freeze, are closed, and whose clocks are set, with hundreds of seeds; `simulate <seed>` for one of them
  fuzz      fuzz every target for a minute (needs a nightly toolchain); `fuzz <seconds>` for longer
  install   install what the tests need, and stop

A test program that prints nothing for ten minutes is shown and ended; those behind it go on.

The tests need Node.js, the packages of interop/package-lock.json and redis-server. With CI=true a missing one is a failure;
otherwise its tests are skipped and named at the end. Valkey is unpacked into target/valkey where Debian has it, and named at
the end where not. BOWLINE_REDIS_SERVER and BOWLINE_VALKEY_SERVER name other servers.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => steps::test(),
        Some("lint") => steps::lint(),
        Some("ci") => steps::lint().and_then(|()| steps::test()),
        Some("long") => steps::long(),
        Some("simulate") => steps::simulate(arguments.get(1).map(String::as_str)),
        Some("fuzz") => steps::fuzz(arguments.get(1).map_or("60", String::as_str)),
        Some("install") => install::components().map(|_| ()),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("unknown command {other:?}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
