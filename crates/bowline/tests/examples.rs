//! The examples run, and print what they say that they print.

#![cfg(all(feature = "agent", feature = "sqlite", feature = "unix"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts the examples, which it builds with the tests unless it is told to build one of those only.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program = deps.parent().unwrap().join("examples").join(file);
    assert!(
        program.exists(),
        "{name} is not built: run the tests of the whole crate, or add `--examples`"
    );
    program
}

/// What the documentation of an example says that it prints.
fn promised(source: &Path) -> String {
    let text = std::fs::read_to_string(source).unwrap();
    let name = source.file_stem().unwrap().to_str().unwrap();
    let command = format!("//! $ cargo run -p bowline --example {name}\n");
    let (_, shown) = text.split_once(&command).expect("the command is shown");
    let lines = shown.lines().map(|line| line.strip_prefix("//! ").unwrap());
    lines
        .take_while(|line| *line != "```")
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn every_example_prints_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let source = entry.unwrap().path();
        let name = source.file_stem().unwrap().to_str().unwrap();
        let output = Command::new(program(name)).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}{complaints}");
        assert_eq!(said, promised(&source), "{name}: {complaints}");
        count += 1;
    }
    assert!(count >= 6, "{count} examples");
}
