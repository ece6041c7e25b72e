//! `bowline tail`.

use std::collections::VecDeque;
use std::io;

use bowline_events::{Capabilities, Delivery, PubSub, StartFrom, SubscribeOptions, Topic};
use tokio::time::{Instant, sleep_until};

use crate::args::TailArgs;
use crate::bus;
use crate::colour::Painter;
use crate::outcome::{Failure, Outcome};
use crate::output::{Output, Written};
use crate::record;
use crate::signals::Signals;

/// Why a tail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The limit was reached, or the bus was closed.
    Complete,
    /// A signal, or nobody reads.
    Stopped,
    TimedOut,
}

pub(crate) async fn run(args: TailArgs) -> Result<Outcome, Failure> {
    let opened = bus::open(&args.bus).await?;
    check(&args, &opened.pubsub().capabilities())?;
    let mut signals = Signals::listen()?;
    let deadline = args
        .timeout
        .and_then(|limit| Instant::now().checked_add(limit.0));
    let output = Output::stdout()?;
    let end = tokio::select! {
        end = listen(&args, opened.pubsub(), &output) => end,
        () = signals.end() => Ok(End::Stopped),
        () = output.closed() => Ok(End::Stopped),
        () = passed(deadline) => Ok(End::TimedOut),
    };
    let closed = opened.close().await;
    match end? {
        End::TimedOut if args.limit.is_some() => Ok(Outcome::TimedOut),
        // Somebody who interrupts wants it to end, not to hear that it ended slowly.
        End::Stopped => Ok(Outcome::Done),
        End::Complete | End::TimedOut => closed.map(|()| Outcome::Done),
    }
}

/// Refuses what the bus cannot do, before anything is started.
fn check(args: &TailArgs, capabilities: &Capabilities) -> Result<(), Failure> {
    let name = capabilities.name;
    if args.from.0 != StartFrom::Latest && !capabilities.replay {
        return Err(Failure::usage(format!(
            "--from: a {name} bus keeps no events for later readers; use --from latest, and start tail before publishing"
        )));
    }
    if args.group.is_some() && !capabilities.groups {
        return Err(Failure::usage(format!(
            "--group: a {name} bus has no groups; leave it out"
        )));
    }
    Ok(())
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn listen(args: &TailArgs, bus: &dyn PubSub, output: &Output) -> Result<End, Failure> {
    let mut options = SubscribeOptions::new().start(args.from.0);
    if let Some(group) = &args.group {
        options = options.group(group);
    }
    let topic = Topic::from(args.topic.as_str());
    let mut subscription = bus.subscribe_with(&topic, options).await?;
    if !args.quiet {
        bus::note(format_args!("listening to {:?}", args.topic));
    }
    let mut printer = Printer::new(args, output);
    while let Some(item) = subscription.next_batch().await {
        match item {
            Ok(batch) => {
                if let Some(end) = printer.print(batch).await? {
                    return Ok(end);
                }
            }
            Err(notice) if notice.is_notice() => bus::note(notice),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(End::Complete)
}

struct Printer<'a> {
    output: &'a Output,
    /// `None` prints JSON.
    painter: Option<Painter>,
    left: u64,
    buffer: Vec<u8>,
}

impl<'a> Printer<'a> {
    fn new(args: &TailArgs, output: &'a Output) -> Self {
        Self {
            output,
            painter: (!args.json).then(|| Painter::for_stream(&io::stdout())),
            left: args.limit.unwrap_or(u64::MAX),
            buffer: Vec::new(),
        }
    }

    /// Writes the events, then acknowledges them. What is over the limit is handed back.
    async fn print(&mut self, mut batch: VecDeque<Delivery>) -> Result<Option<End>, Failure> {
        let keep = usize::try_from(self.left).map_or(batch.len(), |left| left.min(batch.len()));
        let over = batch.split_off(keep);
        for delivery in &batch {
            match self.painter {
                None => record::write_json(delivery, &mut self.buffer)?,
                Some(painter) => record::write_readable(delivery, painter, &mut self.buffer)?,
            }
        }
        if self.output.write(&mut self.buffer).await? == Written::Closed {
            return Ok(Some(End::Stopped));
        }
        self.left -= batch.len() as u64;
        for delivery in batch {
            delivery.ack().await?;
        }
        for delivery in over {
            delivery.release().await?;
        }
        Ok((self.left == 0).then_some(End::Complete))
    }
}
