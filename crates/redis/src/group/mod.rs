//! Competing consumers.
//!
//! A process has one [`Share`] in a group, made by its first member: one consumer on the server, one connection for blocking
//! reads. What is read waits in [`Work`](work::Work), which hands it to the members. Entries are acknowledged in batches by
//! [`Acks`](acks::Acks). [`upkeep`] takes over what dead processes left and shows the server that what is held here is alive.

mod acks;
mod claim;
mod create;
mod gap;
mod gather;
mod leave;
mod member;
mod pace;
mod read;
mod refuse;
mod scripts;
mod settle;
mod share;
mod upkeep;
mod work;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bowline_events::{
    Error, ErrorKind, Event, Result, SubscribeOptions, Subscription, Text, Topic,
};
use tokio::time::{Instant, timeout_at};

use crate::bus::{Bus, runtime};
use create::Created;
use member::Member;
use share::{Ending, Phase, Share};
use work::NewItem;

/// The groups that this process has members of.
#[derive(Debug)]
pub(crate) struct Groups {
    registry: Arc<Registry>,
}

#[derive(Debug)]
struct Registry {
    bus: Arc<Bus>,
    seats: Mutex<HashMap<(Topic, Text), Arc<Seat>>>,
    /// Shares without members, whose last deliveries are being settled.
    leaving: Mutex<Vec<Weak<Share>>>,
}

/// The place of a share.
#[derive(Debug, Default)]
struct Seat {
    /// Held while a share is made or ends.
    gate: tokio::sync::Mutex<()>,
    share: Mutex<Option<Arc<Share>>>,
}

impl Seat {
    fn share(&self) -> MutexGuard<'_, Option<Arc<Share>>> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The use of a seat, which is forgotten when nobody uses it any more.
#[derive(Debug)]
struct Visit<'a> {
    registry: &'a Registry,
    key: (Topic, Text),
    seat: Arc<Seat>,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut seats = self.registry.seats();
        // One is in the map, one is ours: nobody else has it, and nobody can get it while the map is locked.
        if Arc::strong_count(&self.seat) == 2 && self.seat.share().is_none() {
            seats.remove(&self.key);
        }
    }
}

impl Groups {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self {
            registry: Arc::new(Registry {
                bus,
                seats: Mutex::default(),
                leaving: Mutex::default(),
            }),
        }
    }

    /// Joins `group` on `topic`, which is made if it is not there.
    pub(crate) async fn subscribe(
        &self,
        topic: &Topic,
        group: &Text,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        self.registry.bus.check("subscribe", topic)?;
        let policy = options.batch.clone();
        let member = self.registry.join(topic, group, options).await?;
        let subscription = Subscription::new(Box::new(member));
        gather::gathered(subscription, topic, group, policy).await
    }

    /// Gives `event` to one member of each group of `topic` in this process.
    ///
    /// # Errors
    /// `Full` when members are so far behind that no room was made in time.
    pub(crate) async fn deliver_locally(&self, topic: &Topic, event: &Event) -> Result<()> {
        let shares = self.registry.shares(|other| other == topic);
        let deadline = Instant::now() + self.registry.bus.settings.publish_timeout;
        let event = Arc::new(event.clone());
        for share in shares {
            deliver_to(&share, &event, deadline).await?;
        }
        Ok(())
    }

    /// Waits until all settlements made before have reached the server, and has batches handed over.
    pub(crate) async fn settled(&self) {
        for share in self.registry.all() {
            share.flush();
            share.refusals.settled().await;
            share.acks.settled().await;
        }
    }

    /// `topic` was cleared by this process: its groups begin anew.
    pub(crate) fn cleared(&self, topic: &Topic) {
        for share in self.registry.shares(|other| other == topic) {
            share.doubt();
        }
    }

    /// Ends all subscriptions, and leaves all groups.
    pub(crate) async fn close(&self) {
        let shares = self.registry.all();
        for share in &shares {
            share.end(Ending::Closed);
        }
        let closing: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let runtime = share.runtime.clone();
                runtime.spawn(async move { share.close().await })
            })
            .collect();
        for closed in closing {
            // An error is a panic, which is reported by the runtime.
            let _ = closed.await;
        }
    }
}

async fn deliver_to(share: &Arc<Share>, event: &Arc<Event>, deadline: Instant) -> Result<()> {
    let limit = share.bus.settings.max_in_flight;
    loop {
        let mut hands = pin!(share.hands.notified());
        hands.as_mut().enable();
        if share.is_ending() {
            return Ok(());
        }
        if share.lock().work.local() < limit {
            let item = NewItem {
                id: None,
                event: Arc::clone(event),
                counted: 1,
            };
            share.deliver(vec![item], false);
            return Ok(());
        }
        if timeout_at(deadline, hands).await.is_err() {
            let message = format!(
                "{limit} local events wait for the group {:?}; add members, or raise max_in_flight",
                share.group
            );
            return Err(Error::new(ErrorKind::Full, "publish", message).with_subject(&share.topic));
        }
    }
}

impl Registry {
    fn seats(&self) -> MutexGuard<'_, HashMap<(Topic, Text), Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<Weak<Share>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visit(&self, topic: &Topic, group: &Text) -> Visit<'_> {
        let key = (topic.clone(), group.clone());
        let seat = Arc::clone(self.seats().entry(key.clone()).or_default());
        Visit {
            registry: self,
            key,
            seat,
        }
    }

    fn shares(&self, wanted: impl Fn(&Topic) -> bool) -> Vec<Arc<Share>> {
        let seats = self.seats();
        let wanted = seats.iter().filter(|((topic, _), _)| wanted(topic));
        wanted
            .filter_map(|(_, seat)| seat.share().clone())
            .collect()
    }

    /// All shares, those included that have no member any more.
    fn all(&self) -> Vec<Arc<Share>> {
        let mut shares = self.shares(|_| true);
        shares.extend(self.leaving().iter().filter_map(Weak::upgrade));
        shares
    }

    async fn join(
        self: &Arc<Self>,
        topic: &Topic,
        group: &Text,
        options: SubscribeOptions,
    ) -> Result<Member> {
        let visit = self.visit(topic, group);
        let member = self.join_at(&visit.seat, topic, group, options).await?;
        // Whoever closed the bus meanwhile may not have seen this member, which leaves when it is dropped here.
        self.bus.check("subscribe", topic)?;
        Ok(member)
    }

    async fn join_at(
        self: &Arc<Self>,
        seat: &Arc<Seat>,
        topic: &Topic,
        group: &Text,
        options: SubscribeOptions,
    ) -> Result<Member> {
        let runtime = runtime("subscribe")?;
        let _gate = seat.gate.lock().await;
        let timed = options.lease.is_some();
        let present = seat.share().clone();
        if let Some(share) = present {
            if let Some(id) = share.join(options.lease) {
                return Ok(Member::new(share, id, timed, Arc::clone(self)));
            }
            self.end_share(seat, &share).await;
        }
        let bus = &self.bus;
        bus.check("subscribe", topic)?;
        let stream = bus.stream(topic);
        let created = create::create(bus, &stream, group, options.start)
            .await
            .map_err(|failure| bus.error(failure, "subscribe", "XGROUP CREATE", stream.key()))?;
        let found = created == Created::Found;
        let share = Share::start(bus, topic, group, found, runtime);
        let Some(id) = share.join(options.lease) else {
            return Err(share.closed());
        };
        if let Created::Late(notice) = created {
            share.tell(notice);
        }
        *seat.share() = Some(Arc::clone(&share));
        Ok(Member::new(share, id, timed, Arc::clone(self)))
    }

    /// The last member of `share` left: ends it, unless somebody joined meanwhile.
    async fn depart(&self, share: &Arc<Share>) {
        let visit = self.visit(&share.topic, &share.group);
        let _gate = visit.seat.gate.lock().await;
        let current = visit.seat.share().clone();
        let is_current = current.is_some_and(|current| Arc::ptr_eq(&current, share));
        if is_current && share.lock().work.members() == 0 {
            self.end_share(&visit.seat, share).await;
        }
    }

    async fn end_share(&self, seat: &Seat, share: &Arc<Share>) {
        {
            let mut leaving = self.leaving();
            leaving.retain(|other| {
                other
                    .upgrade()
                    .is_some_and(|other| other.phase() != Phase::Ended)
            });
            leaving.push(Arc::downgrade(share));
        }
        *seat.share() = None;
        share.wind_up().await;
    }
}
