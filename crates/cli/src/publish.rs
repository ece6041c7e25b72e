//! `bowline publish`.

use std::io::Write;

use bowline_events::{NewEvent, Payload, PubSub, PublishOptions, Published, Text, Topic};

use crate::args::PublishArgs;
use crate::bus;
use crate::input::{self, Lines};
use crate::outcome::{Failure, Outcome};
use crate::output::Output;
use crate::record::put_text;
use crate::signals::Signals;

/// Bytes of data of one event where the bus itself sets no limit.
const DATA_LIMIT: usize = 64 * 1024 * 1024;

/// Receipts that are gathered at most before they are written.
const RECEIPT_BYTES: usize = 32 * 1024;

pub(crate) async fn run(args: PublishArgs) -> Result<Outcome, Failure> {
    let opened = bus::open(&args.bus).await?;
    let limit = opened
        .pubsub()
        .capabilities()
        .max_event_bytes
        .unwrap_or(DATA_LIMIT);
    let data = match &args.data {
        Some(argument) => input::data(argument, limit)?,
        None => Payload::absent(),
    };
    let mut signals = Signals::listen()?;
    let mut publisher = Publisher {
        bus: opened.pubsub(),
        topic: Topic::from(args.topic),
        event: NewEvent::new(Text::from(args.event_type), Text::from(args.run_id)),
        output: Output::stdout()?,
        receipts: Vec::new(),
        published: 0,
    };
    let work = async {
        let result = if args.ndjson {
            publisher.lines(limit).await
        } else {
            publisher.publish(data).await
        };
        // What was published before a failure is reported and sent all the same.
        publisher.report().await.and(result)
    };
    let result = tokio::select! {
        result = work => result,
        () = signals.end() => Err(Failure::failed("interrupted; what has a receipt was published")),
    };
    let flushed = bus::within(opened.pubsub().flush(), "flush the bus").await;
    if opened.is_alone() && !opened.is_kept {
        bus::note(
            "no other process is on the bus, so nobody heard this; start bowline tail before publishing",
        );
    }
    let closed = opened.close().await;
    result.and(flushed).and(closed).map(|()| Outcome::Done)
}

struct Publisher<'a> {
    bus: &'a dyn PubSub,
    topic: Topic,
    /// The event without its data.
    event: NewEvent,
    output: Output,
    receipts: Vec<u8>,
    published: u64,
}

impl Publisher<'_> {
    async fn publish(&mut self, data: Payload) -> Result<(), Failure> {
        let event = self.event.clone().with_data(data);
        let published = self
            .bus
            .publish_with(&self.topic, event, PublishOptions::default())
            .await?;
        self.published += 1;
        put_receipt(&mut self.receipts, &self.topic, &published);
        Ok(())
    }

    async fn lines(&mut self, limit: usize) -> Result<(), Failure> {
        let mut lines = Lines::new(tokio::io::stdin(), limit);
        loop {
            while let Some(line) = lines.ready() {
                let number = lines.number();
                let done = match line.and_then(|text| Ok(Payload::json(text)?)) {
                    Ok(data) => self.publish(data).await,
                    Err(failure) => Err(failure),
                };
                done.map_err(|failure| {
                    let what = format!("line {number} of standard input");
                    let published = self.published;
                    failure.about(format!("after {published} published events, {what}"))
                })?;
                if self.receipts.len() >= RECEIPT_BYTES {
                    self.report().await?;
                }
            }
            self.report().await?;
            if !lines.fill().await? {
                return Ok(());
            }
        }
    }

    /// Writes the receipts that are there. A reader who went away does not stop the publishing.
    async fn report(&mut self) -> Result<(), Failure> {
        self.output.write(&mut self.receipts).await.map(|_| ())
    }
}

/// Appends `{"topic","id","index"}` as one line, without what is not known.
fn put_receipt(out: &mut Vec<u8>, topic: &Topic, published: &Published) {
    out.extend_from_slice(b"{\"topic\":");
    put_text(out, topic);
    if let Some(id) = &published.id {
        out.extend_from_slice(b",\"id\":");
        put_text(out, &id.to_string());
    }
    if let Some(index) = published.seq {
        // Writing to a vector cannot fail.
        let _ = write!(out, ",\"index\":{index}");
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::EventId;

    #[test]
    fn a_receipt_tells_what_is_known() {
        let topic = Topic::from("a\"b");
        let id = EventId::parse("id-1");
        let table = [
            (Published::new(None, None), "{\"topic\":\"a\\\"b\"}\n"),
            (
                Published::new(Some(id), Some(3)),
                "{\"topic\":\"a\\\"b\",\"id\":\"id-1\",\"index\":3}\n",
            ),
        ];
        for (published, expected) in table {
            let mut out = Vec::new();
            put_receipt(&mut out, &topic, &published);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
