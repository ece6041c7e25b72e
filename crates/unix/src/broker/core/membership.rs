//! Who wants what: subscribing, leaving, and what is given to those who come back after a failover.

use bowline_events::json;

use super::Broker;
use crate::broker::clients::ClientId;
use crate::broker::encode::FAN_OUT_TAIL;
use crate::broker::queue::Part;
use crate::broker::route::Outputs;
use crate::broker::topics::{Member, Membership};
use crate::frame::{Frame, Kind, RawText, write_membership};
use crate::stamp::Now;

impl Broker {
    pub(super) fn subscribe(
        &mut self,
        from: ClientId,
        frame: &Frame<'_>,
        now: Now,
        out: &mut Outputs,
    ) {
        let membership = Membership::of(frame);
        let Some(client) = self.clients.get(from) else {
            return;
        };
        let new = !client.holds(&membership);
        if new {
            if !client.join(&membership, self.limits.queue) {
                out.kicked.push(from);
                self.remove_kicked(out);
                return;
            }
            self.topics.join(&membership, Member::Remote(from));
        }
        self.acknowledge(Kind::Subscribed, from, frame, now, out);
        if new {
            self.recover(from, &membership, frame.topic, now, out);
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        from: ClientId,
        frame: &Frame<'_>,
        now: Now,
        out: &mut Outputs,
    ) {
        let membership = Membership::of(frame);
        let Some(client) = self.clients.get(from) else {
            return;
        };
        if client.leave(&membership) {
            self.topics.leave(&membership, Member::Remote(from));
        }
        self.acknowledge(Kind::Unsubscribed, from, frame, now, out);
    }

    /// Every membership frame is acknowledged, with topic and group exactly as they were asked for.
    fn acknowledge(
        &mut self,
        kind: Kind,
        to: ClientId,
        frame: &Frame<'_>,
        now: Now,
        out: &mut Outputs,
    ) {
        let start = self.run.len();
        self.run.push(b"{\"type\":\"");
        self.run.push(kind.name().as_bytes());
        self.run.push(b"\",\"topic\":\"");
        self.run.push(frame.topic.0);
        if let Some(group) = frame.group {
            self.run.push(b"\",\"group\":\"");
            self.run.push(group.0);
        }
        self.run.push(b"\"}\n");
        let ack = [Part::Run(start..self.run.len())];
        if !self.send(to, &ack, now, out) {
            self.remove_kicked(out);
        }
    }

    /// Answers which topics and groups somebody subscribed; see [`directory`](crate::directory).
    pub(super) fn list(&mut self, to: ClientId, now: Now, out: &mut Outputs) {
        let mut answer = Vec::new();
        for subscribers in self.topics.iter() {
            if subscribers.local || !subscribers.remote.is_empty() {
                write_membership(Kind::Listed, &subscribers.topic, None, &mut answer);
            }
            for group in &subscribers.groups {
                write_membership(
                    Kind::Listed,
                    &subscribers.topic,
                    Some(&group.name),
                    &mut answer,
                );
            }
        }
        write_membership(Kind::Topics, "", None, &mut answer);
        let start = self.run.len();
        self.run.push(&answer);
        if !self.send(to, &[Part::Run(start..self.run.len())], now, out) {
            self.remove_kicked(out);
        }
    }

    fn recover(
        &mut self,
        to: ClientId,
        membership: &Membership,
        topic: RawText<'_>,
        now: Now,
        out: &mut Outputs,
    ) {
        self.horizon.take_if(|horizon| horizon.is_over(now.instant));
        let Some(horizon) = &mut self.horizon else {
            return;
        };
        let head = [br#"{"type":"event","topic":""#, topic.0, br#"","event":"#].concat();
        let mut tail = FAN_OUT_TAIL.to_vec();
        if let Some(group) = &membership.group {
            tail = br#","group":"#.to_vec();
            json::escape_into(group, &mut tail);
            tail.extend_from_slice(FAN_OUT_TAIL);
        }
        for frame in horizon.missed(to, membership, &head, &tail, &mut self.run) {
            self.counters.recovered += 1;
            if !self.send(to, &frame, now, out) {
                self.remove_kicked(out);
                return;
            }
        }
    }
}
