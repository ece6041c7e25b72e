//! Agents that want to be found, and finding them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bowline_events::{PubSubExt, SubscribeOptions, Subscription, Text, Topic};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::ask::Asking;
use super::record::{PeerRequest, PeerResponse, PresenceRecord};
use super::{is_stale, locked};
use crate::threads::keeper::next;
use crate::threads::runtime::{Shared, Threads};
use crate::threads::thread::ThreadId;
use crate::{Data, Error, ErrorKind, Result, random_id};

/// Bytes of what is said of a peer, as JSON.
pub const MAX_PEER: usize = 64 * 1024;
/// Peers that one look finds; those that answer later are left out.
pub const MAX_PEERS: usize = 1000;

/// An agent in a thread that wants to be found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are named as the ids they are")]
pub struct ThreadPeer {
    /// The ids of agent, resource and thread, encoded.
    pub id: Text,
    pub agent_id: Text,
    #[serde(default)]
    pub resource_id: Text,
    pub thread_id: Text,
    /// A short name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the conversation is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What programs say of it: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Data>,
    /// The process.
    #[serde(default)]
    pub source_id: Text,
}

/// What is said of a peer.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct PeerDetails {
    label: Option<String>,
    title: Option<String>,
    metadata: Option<Data>,
}

impl PeerDetails {
    /// Nothing but its ids.
    pub fn new() -> Self {
        Self::default()
    }

    /// A short name for people.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What the conversation is about.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What programs say of it: an object.
    pub fn metadata(mut self, metadata: Data) -> Self {
        self.metadata = Some(metadata);
        self
    }
}

/// A peer that this process advertises, until this is dropped.
#[must_use = "dropping it ends the advertisement"]
pub struct Advertisement {
    shared: Weak<Shared>,
    peer: Arc<Mutex<ThreadPeer>>,
    id: Text,
}

impl Threads {
    /// Advertises an agent in a thread: while the guard lives, whoever looks for [peers](Self::discover_peers) finds it, whatever
    /// program of the bus that is. Whoever is to be woken, too, [claims](Self::claim_ownership) the thread.
    ///
    /// # Errors
    /// `AlreadyExists` when this process does so already, `InvalidInput` for metadata that is no object, `TooLarge` beyond
    /// [`MAX_PEER`], `NotFound` for an agent that this process does not have, `Bus`.
    pub async fn advertise(
        &self,
        agent: &str,
        thread: &ThreadId,
        details: PeerDetails,
    ) -> Result<Advertisement> {
        let shared = self.shared();
        shared.check_open("advertise")?;
        shared.agent("advertise", agent)?;
        let mut peer = ThreadPeer::new(agent, thread, &shared.source);
        peer.describe(details)?;
        let id = peer.id.clone();
        let peer = Arc::new(Mutex::new(peer));
        {
            let mut peers = locked(&shared.presence.peers);
            if peers.contains_key(&id) {
                let message = "this process advertises it already; update that advertisement";
                let error = Error::new(ErrorKind::AlreadyExists, "advertise", message);
                return Err(error.with_subject(id));
            }
            peers.insert(id.clone(), Arc::clone(&peer));
        }
        let advertisement = Advertisement {
            shared: Arc::downgrade(shared),
            peer: Arc::clone(&peer),
            id: id.clone(),
        };
        let requests = listen(shared).await;
        let requests = requests.map_err(|error| Error::bus("advertise", error))?;
        shared.spawn(name(&id), answer(Arc::clone(shared), peer, requests));
        Ok(advertisement)
    }

    /// The agents that are advertised, here and by all processes and programs that answer within `wait`, in the order of their ids;
    /// [`MAX_PEERS`] at most. It takes as long as that; the reference waits 100 ms.
    ///
    /// # Errors
    /// `Bus`.
    pub async fn discover_peers(&self, wait: Duration) -> Result<Vec<ThreadPeer>> {
        let shared = self.shared();
        shared.check_open("discover")?;
        let id = random_id();
        let asking = Asking {
            reply: Topic::thread_peer_discovery(Some(&id)),
            wait,
            id,
        };
        let request = |expires_at| {
            let request = PresenceRecord::PeerRequest(PeerRequest {
                request_id: asking.id.clone(),
                reply_topic: asking.reply.as_str().to_owned().into(),
                source_id: shared.source.clone(),
                expires_at: Some(expires_at),
            });
            request.to_event()
        };
        let ours: Vec<_> = locked(&shared.presence.peers).values().cloned().collect();
        let ours = ours.iter().map(|it| locked(it).clone());
        let mut found: HashMap<(Text, Text), ThreadPeer> = ours
            .map(|it| ((it.id.clone(), it.source_id.clone()), it))
            .collect();
        let topic = Topic::thread_peer_discovery(None);
        let looked = shared.ask(&asking, topic, request, |record| {
            if let PresenceRecord::PeerResponse(it) = record
                && it.request_id == asking.id
                && found.len() < MAX_PEERS
            {
                let mut peer = it.peer;
                peer.source_id = it.source_id;
                found.insert((peer.id.clone(), peer.source_id.clone()), peer);
            }
            None::<()>
        });
        looked
            .await
            .map_err(|error| Error::bus("discover", error))?;
        let mut found: Vec<ThreadPeer> = found.into_values().collect();
        found.sort_by(|a, b| {
            (a.id.as_str(), a.source_id.as_str()).cmp(&(b.id.as_str(), b.source_id.as_str()))
        });
        Ok(found)
    }

    /// The name of this process on the topics of threads: the [source](ThreadPeer::source_id) of its peers.
    pub fn source_id(&self) -> &Text {
        &self.shared().source
    }
}

impl ThreadPeer {
    fn new(agent: &str, thread: &ThreadId, source: &Text) -> Self {
        let resource = thread.resource_id().cloned().unwrap_or_default();
        let ids = [agent, &resource, thread.id()].map(Topic::encode_component);
        Self {
            id: ids.join(":").into(),
            agent_id: agent.to_owned().into(),
            resource_id: resource,
            thread_id: thread.id().clone(),
            label: None,
            title: None,
            metadata: None,
            source_id: source.clone(),
        }
    }

    fn describe(&mut self, details: PeerDetails) -> Result<()> {
        let invalid = |kind, message: String| {
            Error::new(kind, "advertise", message).with_subject(self.id.clone())
        };
        if details.metadata.as_ref().is_some_and(|it| !it.is_object()) {
            let message = "the metadata of a peer is an object".into();
            return Err(invalid(ErrorKind::InvalidInput, message));
        }
        let mut described = self.clone();
        described.label = details.label;
        described.title = details.title;
        described.metadata = details.metadata;
        // Texts and JSON that was read before: nothing of it can fail to be written.
        let bytes = Data::of(&described).unwrap_or_default().as_str().len();
        if bytes > MAX_PEER {
            let message = format!(
                "what is said of the peer is {bytes} bytes, the limit is {MAX_PEER}; say where more can be found"
            );
            return Err(invalid(ErrorKind::TooLarge, message));
        }
        *self = described;
        Ok(())
    }
}

fn name(id: &Text) -> Text {
    format!("advertise {id}").into()
}

async fn listen(shared: &Shared) -> bowline_events::Result<Subscription> {
    let topic = Topic::thread_peer_discovery(None);
    let requests = shared.thread_bus.subscribe(topic, SubscribeOptions::new());
    requests.await
}

async fn answer(shared: Arc<Shared>, peer: Arc<Mutex<ThreadPeer>>, mut requests: Subscription) {
    loop {
        while let Some(request) = next(&mut requests).await {
            let Ok(Some(PresenceRecord::PeerRequest(it))) = PresenceRecord::read(request.event())
            else {
                continue;
            };
            if it.source_id == shared.source || is_stale(it.expires_at) {
                continue;
            }
            let response = PresenceRecord::PeerResponse(PeerResponse {
                request_id: it.request_id,
                peer: locked(&peer).clone(),
                source_id: shared.source.clone(),
            });
            shared.answer(&it.reply_topic, &response).await;
        }
        requests = loop {
            sleep(shared.ttl / 3).await;
            match listen(&shared).await {
                Ok(requests) => break requests,
                Err(error) => tracing::warn!(%error, "a peer listens again later"),
            }
        };
    }
}

impl Advertisement {
    /// Says something else of the peer from now on.
    ///
    /// # Errors
    /// `InvalidInput` and `TooLarge` as for [`advertise`](Threads::advertise); then nothing changes.
    pub fn update(&self, details: PeerDetails) -> Result<()> {
        locked(&self.peer).describe(details)
    }

    /// What is said of the peer now.
    pub fn peer(&self) -> ThreadPeer {
        locked(&self.peer).clone()
    }
}

impl Drop for Advertisement {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.end(&name(&self.id));
            locked(&shared.presence.peers).remove(&self.id);
        }
    }
}

impl fmt::Debug for Advertisement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Advertisement").field(&self.peer()).finish()
    }
}
