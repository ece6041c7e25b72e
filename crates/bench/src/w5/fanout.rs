//! One publisher, and subscribers without group that each get everything.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::Server;
use super::{Address, BYTES, clear, fresh_topic, start, start_publisher, tell};
use crate::Result;
use crate::clock::{round, seconds};
use crate::deliveries::{Delivered, Publication, settled};
use crate::line::{Members, Outcome, Subject};
use crate::measurement::Measurement;
use crate::process::call_each;
use crate::roles::Roles;
use crate::settings::Settings;

const WARM_UP: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy)]
struct Case {
    subscribers: usize,
    width: usize,
    cap: u64,
    /// All subscribers are in one process.
    shared: bool,
}

impl Case {
    fn processes(self) -> (usize, usize) {
        if self.shared {
            (1, self.subscribers)
        } else {
            (self.subscribers, 1)
        }
    }

    fn subject(self) -> Subject {
        let params = Members::new()
            .with("subscribers", self.subscribers)
            .with("in_flight", self.width)
            .with("payload_bytes", BYTES)
            .with("max_stream_length", self.cap);
        let params = if self.shared {
            params.with("shared", true)
        } else {
            params
        };
        Subject::new("W5.fanout", params)
    }

    fn measure(self, roles: &Roles, settings: &Settings) -> Result<Outcome> {
        let server = Server::find()?;
        let address = Address::new(&server.url).with_cap(self.cap);
        let topic = fresh_topic();
        let (processes, each) = self.processes();
        let mut publisher = start_publisher(roles, &address)?;
        let mut subscribers = start("subscriber", processes, &roles.subscriber, &address)?;
        let subscribe = json!({"topic": topic, "count": each, "ack": true});
        call_each::<Value>(&mut subscribers, "subscribe", &subscribe)?;
        let blast = |length: Duration| json!({"topic": topic, "bytes": BYTES, "width": self.width, "seconds": length.as_secs_f64()});
        tell(&mut publisher, "blast", blast(WARM_UP))?;
        settled(&mut subscribers, Duration::from_millis(500), |_| false)?;
        call_each::<Value>(&mut subscribers, "reset", &json!({}))?;
        let publication: Publication = publisher.call("blast", blast(settings.length))?;
        let expected = publication.published * each as u64;
        let stats = settled(&mut subscribers, Duration::from_secs(3), |stats| {
            stats.iter().all(|stat| stat.received >= expected)
        })?;
        drop((publisher, subscribers));
        clear(settings.flavor, &address, &topic)?;
        let delivered = Delivered::new(&publication, &stats, self.subscribers);
        let publishing = seconds(publication.last_ns - publication.first_ns);
        let extras = Members::new()
            .with("publish_seconds", round(publishing, 4))
            .with(
                "publishes_per_s",
                (publication.published as f64 / publishing).round() as u64,
            )
            .with("deliveries_per_s", delivered.per_second())
            .with("lost", delivered.lost)
            .with("missed", stats.iter().map(|stat| stat.missed).sum::<u64>())
            .with("out_of_order_or_dup", delivered.misplaced)
            .with("rejected", publication.rejected)
            .with("rss_pub_mb", publication.rss_mb);
        Ok(Outcome {
            rss_mb: stats.first().and_then(|stat| stat.rss_mb),
            ..Outcome::new(publication.published, delivered.seconds)
        }
        .latencies(&delivered.histogram)
        .extras(extras))
    }
}

pub(super) fn measurements(roles: &Roles) -> Vec<Measurement> {
    let apart = [(1, 1, 0), (8, 1, 0), (8, 256, 0), (8, 256, 10_000)].map(|case| (case, false));
    let together = [(8, 1, 0), (8, 256, 0), (8, 256, 10_000)].map(|case| (case, true));
    let cases = apart.into_iter().chain(together);
    cases
        .map(|((subscribers, width, cap), shared)| {
            let case = Case {
                subscribers,
                width,
                cap,
                shared,
            };
            let roles = roles.clone();
            Measurement::one(case.subject(), move |settings| {
                case.measure(&roles, settings)
            })
        })
        .collect()
}
