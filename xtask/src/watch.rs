//! Running tests under the eye of a clock: one that hangs is shown and ended, and those behind it go on.

use std::io::{PipeReader, Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::run::{describe, output};

/// Lines of the stacks of a program that hangs.
const STACK_LINES: usize = 400;

/// How often it is looked whether the program has ended: what it leaves behind may hold its output open.
const LOOK: Duration = Duration::from_millis(200);

/// Runs `command` and fails when it does. When it prints nothing for `silence`, the programs that it runs at that time are ended;
/// it fails then, whatever it makes of that.
pub(crate) fn run_watched(mut command: Command, silence: Duration) -> Result<(), String> {
    let name = describe(&command);
    println!("$ {name}");
    let fail = |error: std::io::Error| format!("cannot run {name}: {error}");
    let (reader, writer) = std::io::pipe().map_err(fail)?;
    command
        .stdout(writer.try_clone().map_err(fail)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(fail)?;
    // It holds the other end of the pipe.
    drop(command);
    let (status, hung) = follow(&mut child, &read(reader), silence).map_err(fail)?;
    match hung {
        0 if status.success() => Ok(()),
        0 => Err(format!("{name} failed: {status}")),
        _ => Err(format!(
            "{name} printed nothing for {silence:?}, {hung} times; what hung was ended, see above"
        )),
    }
}

/// What is printed, in pieces, until the end.
fn read(mut reader: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, pieces) = mpsc::channel();
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    pieces
}

/// Passes on what is printed until the program ends. How it ended, and how often it was silent for too long.
fn follow(
    child: &mut Child,
    pieces: &Receiver<Vec<u8>>,
    silence: Duration,
) -> std::io::Result<(ExitStatus, u32)> {
    let (mut printed, mut hung, mut ended) = (Instant::now(), 0, None);
    loop {
        match pieces.recv_timeout(LOOK) {
            Ok(piece) => {
                std::io::stdout().write_all(&piece)?;
                printed = Instant::now();
            }
            Err(RecvTimeoutError::Timeout) => match ended {
                Some(status) => return Ok((status, hung)),
                None => ended = child.try_wait()?,
            },
            Err(RecvTimeoutError::Disconnected) => return Ok((child.wait()?, hung)),
        }
        if ended.is_none() && printed.elapsed() >= silence {
            hung += 1;
            println!("\nnothing was printed for {silence:?}:");
            for pid in children(child.id()) {
                end(pid);
            }
            printed = Instant::now();
        }
    }
}

/// Shows what a program is at, and ends it.
fn end(pid: u32) {
    let pid = pid.to_string();
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    println!("ending {} ({pid})", program.display());
    let stacks = output(
        "timeout",
        &[
            "60",
            "gdb",
            "-p",
            &pid,
            "-batch",
            "-ex",
            "thread apply all backtrace 40",
        ],
    );
    for line in stacks
        .iter()
        .flat_map(|stacks| stacks.lines())
        .take(STACK_LINES)
    {
        println!("{line}");
    }
    output("kill", &["-KILL", &pid]);
}

/// The programs that `parent` has started and that run.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent ...`, where the name may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        crate::run::command("sh", &["-c", script])
    }

    #[test]
    fn what_is_silent_is_ended_and_what_follows_goes_on() {
        let scratch = std::env::temp_dir().join(format!("bowline-xtask-{}", std::process::id()));
        let script = format!("sleep 1000; echo after > '{}'", scratch.display());
        let outcome = run_watched(shell(&script), Duration::from_millis(300));
        let after = std::fs::read_to_string(&scratch);
        let _ = std::fs::remove_file(&scratch);
        assert!(outcome.is_err_and(|problem| problem.contains("printed nothing")));
        assert!(after.is_ok_and(|text| text == "after\n"));
    }

    #[test]
    fn success_and_failure_are_those_of_the_program() {
        let hour = Duration::from_secs(3600);
        assert_eq!(run_watched(shell("echo; exit 0"), hour), Ok(()));
        let failed = run_watched(shell("exit 3"), hour);
        assert!(failed.is_err_and(|problem| problem.contains("exit status: 3")));
        // What it leaves behind does not keep it from ending.
        assert_eq!(run_watched(shell("sleep 5 & exit 0"), hour), Ok(()));
    }
}
