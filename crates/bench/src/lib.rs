//! The workloads that Bowline is measured by.
//!
//! Names, parameters and output are those of `bench/README.md`, so a line of this program can be put beside a line of the Node
//! program that measures the reference. Every measurement is made in a process of its own.

mod args;
mod clock;
mod counting;
mod deliveries;
mod directory;
mod histogram;
mod line;
mod measurement;
mod payload;
mod process;
mod publishers;
mod role;
mod roles;
mod settings;
mod subject;
mod w1;
mod w2;
mod w3;
mod w4;
mod w5;
mod w6;
mod w7;
mod w9;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

pub use args::BenchArgs;
use line::{Format, Lines, Outcome, Subject};
use measurement::Measurement;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Does what `args` say and reports failures on standard error.
///
/// `program` starts the same function in another process when further arguments are appended: the path of the executable and
/// the subcommand, if there is one. Must not be called inside a Tokio runtime; it makes its own.
///
/// The status is 1 when a measurement failed and 2 when the arguments name nothing to measure.
pub fn run(args: &BenchArgs, program: &[OsString]) -> ExitCode {
    if let (Some(address), Ok(settings)) = (&args.role, args.settings()) {
        return role::serve(address, &settings);
    }
    if let Some(target) = &args.delay_proxy {
        return w5::serve_proxy(target, args.added_ms);
    }
    match try_run(args, program) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Whether there was anything to do.
fn try_run(args: &BenchArgs, program: &[OsString]) -> Result<bool> {
    if let Some(kind) = &args.start {
        print(&w9::child(kind)?)?;
        return Ok(true);
    }
    let all = measurements(args, program)?;
    if let Some(number) = args.only {
        let measurement = all.get(number).ok_or("there is no such measurement")?;
        measure(args, measurement)?;
        return Ok(true);
    }
    for name in &args.workloads {
        if !all
            .iter()
            .flat_map(|one| &one.subjects)
            .any(|subject| is_part(subject, name))
        {
            complain(&format!("there is no workload {name:?}; --help lists them"));
            return Ok(false);
        }
    }
    let mut wanted: Vec<usize> = (0..all.len())
        .filter(|number| {
            all[*number]
                .subjects
                .iter()
                .any(|subject| is_wanted(args, subject))
        })
        .collect();
    if args.list {
        for number in wanted {
            list(args, &all[number])?;
        }
        return Ok(true);
    }
    skip_without_server(&all, &mut wanted);
    let mut failed = 0;
    for number in wanted {
        if !measure_apart(args, number, program)? {
            failed += 1;
        }
    }
    match failed {
        0 => Ok(true),
        _ => Err(format!("{failed} measurements failed; their errors are above").into()),
    }
}

/// Leaves out what needs a Redis server when there is none, and says so.
fn skip_without_server(all: &[Measurement], wanted: &mut Vec<usize>) {
    let needs_server = |number: &usize| {
        let mut subjects = all[*number].subjects.iter();
        subjects.any(|subject| is_part(subject, "w5"))
    };
    if wanted.iter().any(needs_server)
        && let Some(reason) = w5::Server::missing()
    {
        complain(&format!("W5 is skipped: {reason}"));
        wanted.retain(|number| !needs_server(number));
    }
}

fn measurements(args: &BenchArgs, program: &[OsString]) -> Result<Vec<Measurement>> {
    let settings = args.settings()?;
    let roles = roles::Roles::choose(&args.roles, program)?;
    let mut all = w1::measurements();
    all.extend(w2::measurements());
    all.extend(w3::measurements());
    all.extend(w4::measurements(
        &roles,
        settings.failovers,
        settings.failover_rate,
    ));
    all.extend(w5::measurements(&roles, program));
    all.extend(w6::measurements());
    all.extend(w7::measurements());
    all.extend(w9::measurements(program));
    Ok(all)
}

/// Whether `name` is the workload of `subject` or what it is a part of.
fn is_part(subject: &Subject, name: &str) -> bool {
    let (full, name) = (subject.workload.to_lowercase(), name.to_lowercase());
    full == name
        || full
            .strip_prefix(&name)
            .is_some_and(|rest| rest.starts_with('.'))
}

fn is_wanted(args: &BenchArgs, subject: &Subject) -> bool {
    let named =
        args.workloads.is_empty() || args.workloads.iter().any(|name| is_part(subject, name));
    named && format!("{}{}", subject.workload, subject.params.json()).contains(&args.filter)
}

/// Makes a measurement in this process and prints those of its lines that are wanted.
fn measure(args: &BenchArgs, measurement: &Measurement) -> Result<()> {
    let settings = args.settings()?;
    let format = if args.json {
        Format::Json
    } else {
        Format::Text
    };
    let mut lines = Lines::new(format);
    measurement.run(&settings, &mut |subject: &Subject, outcome: Outcome| {
        let line = lines.render(subject, &outcome);
        if is_wanted(args, subject) {
            print(&line)?;
        }
        Ok(())
    })
}

/// Makes a measurement in a new process, which prints it; false when it failed.
fn measure_apart(args: &BenchArgs, number: usize, program: &[OsString]) -> Result<bool> {
    let (executable, prefix) = program.split_first().ok_or("the program has no name")?;
    let status = Command::new(executable)
        .args(prefix)
        .args(args.to_args())
        .args(["--only", &number.to_string()])
        .status()?;
    Ok(status.success())
}

fn list(args: &BenchArgs, measurement: &Measurement) -> Result<()> {
    for subject in &measurement.subjects {
        if is_wanted(args, subject) {
            print(&format!("{} {}", subject.workload, subject.params.json()))?;
        }
    }
    Ok(())
}

fn print(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn complain(message: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "bench: {message}");
}
