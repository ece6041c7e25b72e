//! # The event bus of one host, over a Unix socket
//!
//! Processes that open the same socket path share one bus; nothing has to be installed or started. The first process becomes
//! the *broker*, all others connect to it; when it goes, another one takes over. The wire format is that of the
//! `UnixSocketPubSub` of Mastra 1.71, so Node and Rust processes mix freely, in either role.
//!
//! ```
//! use bowline_events::{NewEvent, PubSub, PubSubExt, SubscribeOptions};
//! use bowline_unix::UnixSocketPubSub;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> bowline_events::Result<()> {
//! # let folder = tempfile::tempdir().expect("a folder for the example");
//! # let path = folder.path().join("events.sock");
//! // Usually these are two processes.
//! let (one, other) = (UnixSocketPubSub::new(&path)?, UnixSocketPubSub::new(&path)?);
//! let mut orders = one.subscribe("orders", SubscribeOptions::new()).await?;
//! other.publish("orders", NewEvent::new("order.created", "run-1").with_json(r#"{"n":1}"#)?).await?;
//! let delivery = orders.next().await.expect("the bus is open")?;
//! assert_eq!(delivery.event_type, "order.created");
//! other.close().await?;
//! one.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! - **Order.** All events pass through one broker: every subscriber sees them in one order, and those of one publisher in the
//!   order of its calls, also across a failover.
//! - **At most once.** In steady state every subscriber gets an event exactly once. Around the death of a broker an event can
//!   be lost, never doubled.
//! - **What `publish` means.** A resolved publish is in the ordered send window of this process, or with the broker. Frames that
//!   a dying broker had not taken go to the next one, in order and once. If the kernel reports that the broker died with bytes
//!   of ours unread, the last frame is sent again as well. Lost is what the broker had read and not passed on, and what stood
//!   unread in its socket before that last frame.
//! - **Failover.** Peers look for the next broker at once and subscribe anew with all their memberships in one write. A broker
//!   that took over keeps what it publishes in its first 500 ms (at most 8 MiB) and gives it to memberships that come back in
//!   that time, Node peers included: a subscriber that was there before sees no gap, and a group gets only what none of its
//!   members got. The price is that a *new* subscriber may, in that half second, get events that are up to that old.
//! - **Groups.** Members are processes; they take turns. Inside a process its subscribers take turns. A refused event comes
//!   again in the same process, at most 7 times, the k-th redelivery 100 ms times k after the refusal. Grouped or not: a nack
//!   redelivers to the subscriber, or group of this process, that refused. An event whose member is cut off while it is being
//!   queued goes to the next member; what a process that dies had been given is lost.
//! - **Local only.** Such an event never reaches the socket; subscribers of this process get it by reference.
//! - **Nothing is kept.** No history, no replay; `StartFrom` and batch policies are ignored.
//!
//! # Limits
//!
//! Each is an option of [`UnixSocketBuilder`] of the same name.
//!
//! | What | Default | At the limit |
//! |---|---|---|
//! | `max_frame_bytes` | 64 MiB | a peer that sends more is cut off; a larger event of our own is [`TooLarge`](bowline_events::ErrorKind::TooLarge), with 512 bytes of headroom for what the broker adds |
//! | `max_client_queue_bytes` | 64 MiB | a client that reads too slowly is cut off, and comes back with what is new; the same bound holds for the names of its memberships |
//! | `high_watermark` | 8 MiB | publishers wait, at most 25 ms per publish or read; a client that takes nothing for 1 s slows nobody any more |
//! | `send_window_bytes` | 1 MiB | `publish` waits for the broker |
//! | `publish_deadline` | 5 s | `publish` fails, retryable, and nothing was sent |
//! | `membership_ack_timeout` | 5 s | `subscribe` trusts a connection that stands, and fails, retryable, without one |
//! | `recovery_horizon` | 500 ms, 8 MiB | see *Failover* |
//! | nesting of JSON | 128 levels | refused when published, dropped when received |
//! | path | 107 bytes | [`InvalidInput`](bowline_events::ErrorKind::InvalidInput) |
//!
//! A subscriber that reads slower than events arrive makes its process read slower, and so on to the publisher. One that has not
//! read for 1 s no longer does, and gets a [`Truncated`](bowline_events::ErrorKind::Truncated) notice if it falls more than
//! 64 MiB behind. [`UnixSocketPubSub::stats`] counts everything that was dropped.
//!
//! # Security
//!
//! New folders are 0700 and the socket is 0600 before anybody can reach it; existing folders keep their mode and have to belong
//! to this user or root. Both sides check that the other one is a process of the same user (or of root).
//! [`allow_group`](UnixSocketBuilder::allow_group) widens all of that to one group. A file that is not a socket, or a socket of
//! somebody else, is never removed, except small leftovers ([`reclaim_plain_file`](UnixSocketBuilder::reclaim_plain_file)).
//! Events that would make a Node process exit are refused when published and dropped when relayed.
//!
//! # Peers of other versions
//!
//! Every membership frame is acknowledged, so the oldest clients work. A broker so old that it does not know groups is refused
//! for grouped subscriptions ([`Unsupported`](bowline_events::ErrorKind::Unsupported)), because it would give every event to
//! every member. A Node broker re-encodes events: integers above 2^53 and the order of integer-like keys change on the way. A
//! Rust broker passes on the bytes of the publisher. [`topics`](bowline_events::PubSub::topics) asks the broker by a frame of
//! ours, which only a Rust broker answers; beside a Node broker it lists what this process knows. Leases are not offered: Node 1.71 has none on this bus.

mod broker;
mod client;
mod connection;
mod directory;
mod election;
mod event;
mod frame;
mod gate;
mod hazard;
mod hub;
mod line;
mod local;
mod options;
mod participant;
mod pending;
mod pubsub;
mod race;
mod serve;
mod stamp;
mod stats;
mod subscribe;
mod supervise;
mod url;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use options::UnixSocketBuilder;
pub use pubsub::UnixSocketPubSub;
pub use stats::Stats;
