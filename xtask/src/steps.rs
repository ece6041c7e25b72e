//! What each command does.

use std::time::Duration;

use crate::install::{self, Components};
use crate::run::{cargo, command, output, root, run};
use crate::watch::run_watched;

/// How long tests may print nothing: far longer than any of them takes.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// The same for those that take long.
const LONG_SILENCE: Duration = Duration::from_secs(2 * 60 * 60);

/// Crates that the core and the Unix backend may pull in together, without build and test dependencies.
const DEPENDENCY_BUDGET: usize = 30;

/// Installs what is missing, then runs every test.
pub(crate) fn test() -> Result<(), String> {
    let components = install::components()?;
    run_watched(workspace_tests(&components), SILENCE)?;
    if components.no_node.is_none() {
        node_tests(&components)?;
    }
    report_skips(&components);
    Ok(())
}

fn workspace_tests(components: &Components) -> std::process::Command {
    let mut tests = command(
        &std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()),
        &["test", "--workspace", "--all-features", "--no-fail-fast"],
    );
    components.tell(&mut tests);
    tests
}

fn node_tests(components: &Components) -> Result<(), String> {
    let mut interop = command("npm", &["test"]);
    interop.current_dir(root().join("interop"));
    components.tell(&mut interop);
    run_watched(interop, SILENCE)?;
    let measuring = command(
        "node",
        &[
            "--test",
            "bench/node/test/measure.test.mjs",
            "bench/node/test/role.test.mjs",
        ],
    );
    run_watched(measuring, SILENCE)
}

fn report_skips(components: &Components) {
    let skipped = components.skipped();
    for tests in &skipped {
        println!("skipped: {tests}");
    }
    if skipped.is_empty() {
        println!("skipped: nothing");
    }
}

/// Formatting, clippy, documentation, dependency budget.
pub(crate) fn lint() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ])?;
    let mut docs = command(
        &std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()),
        &["doc", "--workspace", "--no-deps", "--all-features"],
    );
    docs.env("RUSTDOCFLAGS", "--deny warnings");
    run(docs)?;
    dependency_budget()
}

fn dependency_budget() -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = output(
        &cargo,
        &[
            "tree",
            "--package",
            "bowline-unix",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    )
    .ok_or("cargo tree failed")?;
    let crates: std::collections::BTreeSet<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.starts_with("bowline"))
        .collect();
    println!(
        "the core and the Unix backend depend on {} crates, the budget is {DEPENDENCY_BUDGET}",
        crates.len()
    );
    if crates.len() > DEPENDENCY_BUDGET {
        return Err(format!(
            "{} crates are over the budget of {DEPENDENCY_BUDGET}: {crates:?}",
            crates.len()
        ));
    }
    Ok(())
}

/// Many more random cases and failovers.
pub(crate) fn long() -> Result<(), String> {
    let components = install::components()?;
    let mut tests = workspace_tests(&components);
    tests
        .env("PROPTEST_CASES", "200000")
        .env("BOWLINE_ROUNDS", "200")
        .env("BOWLINE_LONG", "1");
    run_watched(tests, LONG_SILENCE)?;
    report_skips(&components);
    Ok(())
}

/// The simulation of the workflow engine, with one seed or with many.
pub(crate) fn simulate(seed: Option<&str>) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = [
        "test",
        "--release",
        "--package",
        "bowline-workflow",
        "--test",
        "engine",
        "--",
        "simulation",
        "--nocapture",
    ];
    let mut simulation = command(&cargo, &arguments);
    simulation.env("BOWLINE_LONG", "1");
    if let Some(seed) = seed {
        simulation.env("BOWLINE_SEED", seed);
    }
    run(simulation)
}

/// Every fuzz target for `seconds`, with the coverage counters that libFuzzer needs.
pub(crate) fn fuzz(seconds: &str) -> Result<(), String> {
    let host = output("rustc", &["--print", "host-tuple"]).ok_or("rustc does not tell its host")?;
    for target in ["scan", "codec", "agent"] {
        let limit = format!("-max_total_time={seconds}");
        // With a target given, the flags do not reach build scripts.
        let arguments = [
            "+nightly",
            "run",
            "--release",
            "--target",
            &host,
            "--bin",
            target,
            "--",
            &limit,
        ];
        let mut fuzzing = command("cargo", &arguments);
        fuzzing
            .current_dir(root().join("fuzz"))
            .env("RUSTFLAGS", FUZZ_FLAGS);
        // The variables of the cargo that runs this command name its own toolchain.
        for variable in ["CARGO", "RUSTUP_TOOLCHAIN"] {
            fuzzing.env_remove(variable);
        }
        run(fuzzing)?;
    }
    Ok(())
}

const FUZZ_FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
