//! The process that works on the run, and how the demo holds it.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::cast::Cast;
use super::place::Place;
use crate::args::{DemoPeerArgs, Part};
use crate::outcome::{Failure, Outcome};
use crate::output;

/// What it says when it works.
const READY: &str = "ready";

/// How long it has to end in order.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Works on runs until standard input ends, which it does when the demo is gone.
pub(crate) async fn run(args: DemoPeerArgs) -> Result<Outcome, Failure> {
    let folder = args.socket.parent();
    let place = Place::of(folder.ok_or_else(|| Failure::usage("the socket is in no folder"))?);
    let cast = Cast::of(args.model.as_deref(), args.base_url.as_deref())?;
    let app = place.app()?.agent(cast.agent(&place.log())?);
    let app = app.start().await?;
    output::print(&format!("{READY}\n"))?;
    // Whether it ends or fails: nobody is there any more.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
    let closed = app.close().await;
    // The last process to leave takes the folder with it, should the demo have been killed.
    place.clear();
    closed?;
    Ok(Outcome::Done)
}

/// A running worker. Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    orders: ChildStdin,
    pub(super) pid: u32,
}

impl Worker {
    /// Starts this very program as a worker, and waits until it works.
    pub(super) async fn start(place: &Place, cast: &Cast) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::failed(format!("the worker cannot be started: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .args([DemoPeerArgs::NAME, Part::Worker.as_str(), "--socket"])
            .arg(place.socket())
            .args(cast.options())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // A group of its own: Ctrl-C reaches the demo alone, which then ends the worker.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let missing = || Failure::failed("the worker has no standard streams");
        let orders = child.stdin.take().ok_or_else(missing)?;
        let words = child.stdout.take().ok_or_else(missing)?;
        let pid = child.id().ok_or_else(missing)?;
        let mut words = BufReader::new(words).lines();
        match tokio::time::timeout(cast.patience(), words.next_line()).await {
            Ok(Ok(Some(word))) if word == READY => Ok(Self { child, orders, pid }),
            _ => Err(Failure::failed("the worker does not begin to work")),
        }
    }

    /// SIGKILL; resolves when the process is gone and the operating system has closed all it had open.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        let killed = self.child.kill().await;
        killed.map_err(|error| Failure::failed(format!("the worker cannot be killed: {error}")))
    }

    /// Lets the process end in order; it is killed if it does not in time.
    pub(super) async fn leave(self) {
        let Self {
            mut child, orders, ..
        } = self;
        drop(orders);
        if tokio::time::timeout(LEAVE_WITHIN, child.wait())
            .await
            .is_err()
        {
            // It may have ended meanwhile.
            let _ = child.kill().await;
        }
    }
}
