//! The one place that decides which role this process has.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::Error;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::{Ending, Recent};
use crate::election::{self, Outcome, is_final};
use crate::participant::{Participant, Role, copy};
use crate::race::{First, first};
use crate::stats::add;
use crate::{connection, serve};

/// Pauses between attempts, in milliseconds: none at first, and never long, because every peer is on this host.
const PAUSES: [u64; 9] = [0, 1, 2, 5, 10, 25, 50, 100, 250];

/// A connection that stood this long was a good one: the next attempt comes at once.
const GOOD: Duration = Duration::from_millis(100);

/// Keeps taking part until the bus is closed, or until the first start fails for good.
pub(crate) async fn run(participant: Arc<Participant>) {
    let mut guard = Ended(&participant);
    let mut recent = Recent::default();
    let mut was_client = false;
    let mut established = false;
    let mut failures = 0;
    while !participant.is_closing() {
        let outcome = match election::attempt(&participant.path) {
            Ok(Outcome::Broker(bound)) => {
                recent.connected();
                let served = serve::run(&participant, bound, was_client, &mut recent).await;
                was_client = false;
                served.map(|()| true)
            }
            Ok(Outcome::Client(stream)) => {
                let since = tokio::time::Instant::now();
                recent.connected();
                let ran = connection::run(&participant, stream, &mut recent).await;
                was_client = true;
                ran.map(|()| since.elapsed() >= GOOD)
                    .map_err(|error| participant.path.io("talk to the broker", error))
            }
            Ok(Outcome::Busy) => {
                pause(&participant, 3).await;
                continue;
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(good) => {
                established = true;
                failures = if good { 0 } else { failures + 1 };
                if !participant.is_closing() {
                    add(&participant.counters.failovers, 1);
                }
            }
            Err(error) => {
                let hopeless = is_final(&error) && !established;
                note(&participant, &error);
                if hopeless {
                    return;
                }
                failures += 1;
            }
        }
        pause(&participant, PAUSES[failures.min(PAUSES.len() - 1)]).await;
    }
    guard.closed();
}

/// Keeps the reason for whoever waits.
fn note(participant: &Participant, error: &Error) {
    tracing::debug!(%error, "no role on the bus yet");
    let mut link = participant.link();
    link.failure = Some((link.start, copy(error)));
}

/// Waits about `millis`, or until the bus is closed. Peers that lost the same broker do not come back in step.
async fn pause(participant: &Participant, millis: u64) {
    if millis == 0 {
        return;
    }
    // The low bits of a random UUID are random.
    let random = (Uuid::new_v4().as_u128() % 1000) as u64;
    let time = Duration::from_micros(millis * 1000 * 3 / 4 + millis * random / 2);
    if let First::Right(()) = first(sleep(time), participant.shutdown.notified()).await {
        // Closing is seen again by whoever looks next.
        participant.shutdown.notify_one();
    }
}

/// Leaves a clean state behind, even when the runtime is shut down under us.
struct Ended<'a>(&'a Arc<Participant>);

impl Ended<'_> {
    fn closed(&mut self) {
        self.0.link().role = Role::Closed;
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut link = self.0.link();
        self.0.hub.shut();
        if !matches!(link.role, Role::Closed) {
            link.role = Role::Idle;
            link.memberships.disconnected();
            link.window.disconnected(Ending::Closed);
        }
        let reason = match &link.failure {
            Some((_, error)) => copy(error),
            None => self.0.closed("publish"),
        };
        link.pending.fail(&reason);
        drop(link);
        self.0.changed.notify_waiters();
    }
}
