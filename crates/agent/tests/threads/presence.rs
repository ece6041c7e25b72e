//! Agents that want to be found.

use std::time::Duration;

use bowline_agent::threads::{
    MAX_PEER, PeerDetails, PeerRequest, PresenceRecord, ThreadId, ThreadPeer,
};
use bowline_agent::{Data, ErrorKind};
use bowline_events::{PubSubExt, SubscribeOptions, Timestamp, Topic};

use crate::world::{AGENT, Process, World, thread};

/// The peers that answer in a short time, once `enough` do.
async fn found(process: &Process, enough: impl Fn(&[ThreadPeer]) -> bool) -> Vec<ThreadPeer> {
    loop {
        let peers = process.threads.discover_peers(Duration::from_millis(20));
        let peers = peers.await.unwrap();
        if enough(&peers) {
            return peers;
        }
    }
}

fn details() -> PeerDetails {
    let metadata = Data::of(&serde_json::json!({ "port": 7 })).unwrap();
    PeerDetails::new().label("desk").metadata(metadata)
}

#[tokio::test]
async fn a_peer_is_found_as_it_is_said_to_be_until_it_is_dropped() {
    let world = World::new();
    let (a, b) = (world.process().await, world.process().await);
    let other = ThreadId::new("a:b/ü");
    let first = a
        .threads
        .advertise(AGENT, thread(), details())
        .await
        .unwrap();
    let second = b.threads.advertise(AGENT, &other, PeerDetails::new());
    let second = second.await.unwrap();
    let peers = [second.peer(), first.peer()];
    assert_eq!(peers[0].id, "analyst::a%3Ab%2F%C3%BC");
    assert_eq!(peers[1].id, "analyst:user-1:thread-1");
    assert_eq!(peers[1].source_id, *a.threads.source_id());
    for process in [&a, &b] {
        assert_eq!(found(process, |it| it.len() == 2).await, peers);
    }
    first.update(details().title("Harbour")).unwrap();
    let titled = |it: &[ThreadPeer]| it.iter().any(|it| it.title.is_some());
    assert_eq!(found(&b, titled).await[1], first.peer());
    drop(first);
    assert_eq!(found(&b, |_| true).await, peers[..1]);
    a.threads.close().await;
    let closed = a.threads.discover_peers(Duration::ZERO).await;
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_cannot_be_advertised_is_refused() {
    let world = World::new();
    let a = world.process().await;
    let advertise = |details| a.threads.advertise(AGENT, thread(), details);
    let number = PeerDetails::new().metadata(Data::of(&3).unwrap());
    let large = PeerDetails::new().title("x".repeat(MAX_PEER));
    for (details, kind) in [
        (number.clone(), ErrorKind::InvalidInput),
        (large.clone(), ErrorKind::TooLarge),
    ] {
        assert_eq!(advertise(details).await.unwrap_err().kind(), kind);
    }
    let peer = advertise(details()).await.unwrap();
    for details in [number, large] {
        let before = peer.peer();
        peer.update(details).unwrap_err();
        assert_eq!(peer.peer(), before);
    }
    let again = advertise(details()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    drop(peer);
    let _peer = advertise(details()).await.unwrap();
    let nobody = a.threads.advertise("nobody", thread(), details()).await;
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_request_for_which_nobody_waits_any_more_is_not_answered() {
    let world = World::new();
    let a = world.process().await;
    let _peer = a
        .threads
        .advertise(AGENT, thread(), details())
        .await
        .unwrap();
    let reply = Topic::thread_peer_discovery(Some("1"));
    let mut replies = world
        .host
        .subscribe(reply.clone(), SubscribeOptions::new())
        .await
        .unwrap();
    let now = Timestamp::now().as_millis();
    // Clocks may differ by five seconds.
    for (request, expires_at) in [
        ("late", Some(now - 60_000)),
        ("still", Some(now - 1000)),
        ("old sender", None),
    ] {
        let request = PresenceRecord::PeerRequest(PeerRequest {
            request_id: request.into(),
            reply_topic: reply.as_str().to_owned().into(),
            source_id: "them".into(),
            expires_at,
        });
        let topic = Topic::thread_peer_discovery(None);
        let sent = world.host.publish(topic, request.to_event()).await;
        sent.unwrap();
    }
    for wanted in ["still", "old sender"] {
        let reply = replies.next().await.unwrap().unwrap();
        assert_eq!(reply.run_id, wanted);
    }
}
