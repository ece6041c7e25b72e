//! Who gets the events of a topic.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use bowline_events::{Text, Topic, json};

use super::ClientId;
use crate::frame::{Frame, RawText};

/// A subscription of one process to one topic, alone or as member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Membership {
    pub(crate) topic: Topic,
    pub(crate) group: Option<Text>,
}

impl Membership {
    /// What a membership frame, or an event frame, is about.
    pub(crate) fn of(frame: &Frame<'_>) -> Self {
        let text = |raw: RawText<'_>| raw.decode().into_owned();
        Self {
            topic: Topic::from(text(frame.topic)),
            group: frame.group.map(|group| Text::from(text(group))),
        }
    }
}

/// A process that takes part in the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    /// The broker's own process.
    Local,
    /// A connected one.
    Remote(ClientId),
}

/// The members of one group, in the order in which they take turns: the broker first, then by connection.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Text,
    /// The end of an event frame for this group.
    pub(crate) tail: Vec<u8>,
    local: Option<u64>,
    remote: Vec<(ClientId, u64)>,
    cursor: usize,
}

impl Group {
    fn new(name: Text) -> Self {
        let mut tail = br#","group":"#.to_vec();
        json::escape_into(&name, &mut tail);
        tail.extend_from_slice(b"}\n");
        Self {
            name,
            tail,
            local: None,
            remote: Vec::new(),
            cursor: 0,
        }
    }

    /// The number of members.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.local.is_some()) + self.remote.len()
    }

    /// Whose turn it is; the turn passes on.
    pub(crate) fn next(&mut self) -> Option<Member> {
        let members = self.len();
        if members == 0 {
            return None;
        }
        let chosen = self.cursor % members;
        self.cursor = (chosen + 1) % members;
        match (self.local, chosen) {
            (Some(_), 0) => Some(Member::Local),
            (Some(_), at) => Some(Member::Remote(self.remote[at - 1].0)),
            (None, at) => Some(Member::Remote(self.remote[at].0)),
        }
    }

    /// Groups with a member in the broker's process come first, in order of subscription, then the others as their first
    /// member connected and subscribed.
    fn rank(&self) -> (bool, u64, u64) {
        match (self.local, self.remote.first()) {
            (Some(joined), _) => (false, joined, 0),
            (None, Some((client, joined))) => (true, client.serial, *joined),
            (None, None) => (true, u64::MAX, u64::MAX),
        }
    }
}

/// The subscribers of one topic.
#[derive(Debug)]
pub(crate) struct Subscribers {
    pub(crate) topic: Topic,
    pub(crate) local: bool,
    pub(crate) remote: Vec<ClientId>,
    pub(crate) groups: Vec<Group>,
}

impl Subscribers {
    /// Whether there are subscribers in other processes.
    pub(crate) fn is_remote(&self) -> bool {
        !self.remote.is_empty() || self.groups.iter().any(|group| !group.remote.is_empty())
    }

    fn is_empty(&self) -> bool {
        !self.local && self.remote.is_empty() && self.groups.is_empty()
    }
}

/// All topics with subscribers.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    topics: HashMap<Arc<str>, Subscribers>,
    joined: u64,
}

impl Topics {
    pub(crate) fn get_mut(&mut self, topic: &str) -> Option<&mut Subscribers> {
        self.topics.get_mut(topic)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscribers> {
        self.topics.values()
    }

    /// Adds `member`; without effect when it is there already.
    pub(crate) fn join(&mut self, membership: &Membership, member: Member) {
        self.joined += 1;
        let joined = self.joined;
        let topic = &membership.topic;
        let subscribers = match self.topics.entry(Arc::clone(topic.name())) {
            MapEntry::Occupied(entry) => entry.into_mut(),
            MapEntry::Vacant(entry) => entry.insert(Subscribers {
                topic: topic.clone(),
                local: false,
                remote: Vec::new(),
                groups: Vec::new(),
            }),
        };
        let Some(name) = &membership.group else {
            match member {
                Member::Local => subscribers.local = true,
                Member::Remote(client) => {
                    if let Err(at) = subscribers.remote.binary_search(&client) {
                        subscribers.remote.insert(at, client);
                    }
                }
            }
            return;
        };
        let groups = &mut subscribers.groups;
        let at = groups.iter().position(|group| group.name == *name);
        let at = at.unwrap_or_else(|| {
            groups.push(Group::new(name.clone()));
            groups.len() - 1
        });
        let group = &mut groups[at];
        match member {
            Member::Local => group.local = group.local.or(Some(joined)),
            Member::Remote(client) => {
                if let Err(at) = group.remote.binary_search_by_key(&client, |(id, _)| *id) {
                    group.remote.insert(at, (client, joined));
                }
            }
        }
        groups.sort_by_key(Group::rank);
    }

    /// Removes `member`; without effect when it is not there.
    pub(crate) fn leave(&mut self, membership: &Membership, member: Member) {
        let Some(subscribers) = self.topics.get_mut(&*membership.topic) else {
            return;
        };
        match (&membership.group, member) {
            (None, Member::Local) => subscribers.local = false,
            (None, Member::Remote(client)) => subscribers.remote.retain(|id| *id != client),
            (Some(name), member) => {
                if let Some(group) = subscribers
                    .groups
                    .iter_mut()
                    .find(|group| group.name == *name)
                {
                    match member {
                        Member::Local => group.local = None,
                        Member::Remote(client) => group.remote.retain(|(id, _)| *id != client),
                    }
                }
                subscribers.groups.retain(|group| group.len() > 0);
                subscribers.groups.sort_by_key(Group::rank);
            }
        }
        if subscribers.is_empty() {
            self.topics.remove(&*membership.topic);
        }
    }
}
