//! The two event shapes that all measurements publish.

use std::sync::LazyLock;

use bowline_events::{Event, NewEvent, Payload, Result};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// `N` decimal digits, kept in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digits<const N: usize>([u8; N]);

impl<const N: usize> Digits<N> {
    /// The last `N` digits of `number`.
    pub(crate) fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; N];
        for digit in digits.iter_mut().rev() {
            if number == 0 {
                break;
            }
            *digit += (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    pub(crate) fn number(&self) -> u64 {
        // Two digits per step: the multiplications depend on each other. N is even.
        self.0.chunks_exact(2).fold(0, |number, pair| {
            number * 100 + u64::from(pair[0] - b'0') * 10 + u64::from(pair[1] - b'0')
        })
    }

    fn as_str(&self) -> &str {
        // Digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const N: usize> Serialize for Digits<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Digits<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct DigitsVisitor<const N: usize>;
        impl<const N: usize> Visitor<'_> for DigitsVisitor<N> {
            type Value = Digits<N>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{N} decimal digits")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Digits<N>, E> {
                let digits: [u8; N] = text
                    .as_bytes()
                    .try_into()
                    .map_err(|_| E::invalid_length(text.len(), &self))?;
                if digits.iter().all(u8::is_ascii_digit) {
                    Ok(Digits(digits))
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
        }
        deserializer.deserialize_str(DigitsVisitor)
    }
}

/// The data of P(n) as it is published.
#[derive(Debug, serde::Serialize)]
pub(crate) struct BenchData {
    seq: Digits<10>,
    t: Digits<16>,
    pad: &'static str,
}

/// What a subscriber reads of the data of P(n): a type of its own, without the padding.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(crate) struct Stamped {
    seq: Digits<10>,
    t: Digits<16>,
}

/// A stamp is an instant modulo this.
const STAMP_MODULUS: u64 = 10u64.pow(16);
/// The data without its padding: `{"seq":"0123456789","t":"0123456789012345","pad":""}`.
pub(crate) const LEAST_BYTES: usize = 52;

/// How the data travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As a typed value that subscribers of this process get by reference.
    Local,
    /// As JSON text, written by the publisher and parsed by every subscriber.
    Json,
}

/// Makes P(n).
#[derive(Debug, Clone)]
pub(crate) struct BenchEvents {
    pad: &'static str,
    encoding: Encoding,
}

impl BenchEvents {
    /// The compact JSON of the data is `bytes` long, at least [`LEAST_BYTES`].
    pub(crate) fn new(bytes: usize, encoding: Encoding) -> Self {
        let pad = "x".repeat(bytes.saturating_sub(LEAST_BYTES));
        // One per measurement, shared by all its events without counting references.
        let pad = pad.leak();
        Self { pad, encoding }
    }

    /// The event numbered `seq`, published at the instant `now_ns`; 0 leaves it unstamped.
    pub(crate) fn event(&self, seq: u64, now_ns: u64) -> Result<NewEvent> {
        let data = BenchData {
            seq: Digits::new(seq),
            t: Digits::new(now_ns),
            pad: self.pad,
        };
        let data = match self.encoding {
            Encoding::Local => Payload::local(data),
            Encoding::Json => Payload::serialize(&data)?,
        };
        Ok(NewEvent::new("bench", "r").with_data(data))
    }
}

impl Stamped {
    /// Reads the data of P(n); `None` when it is something else.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event.data.downcast_ref::<BenchData>() {
            Some(data) => Some(Self {
                seq: data.seq,
                t: data.t,
            }),
            None => event.data.parse().ok(),
        }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq.number()
    }

    /// Nanoseconds from the stamp to `now_ns`; `None` when the event is not stamped.
    pub(crate) fn latency_ns(&self, now_ns: u64) -> Option<u64> {
        match self.t.number() {
            0 => None,
            stamp => Some((now_ns % STAMP_MODULUS + STAMP_MODULUS - stamp) % STAMP_MODULUS),
        }
    }
}

/// The data of C(200): a text delta of an agent.
#[derive(Debug, serde::Serialize)]
struct ChunkData {
    r#type: &'static str,
    #[serde(rename = "runId")]
    run_id: &'static str,
    from: &'static str,
    payload: Delta,
}

#[derive(Debug, serde::Serialize)]
struct Delta {
    id: &'static str,
    text: PaddedSeq,
}

/// The text of a delta: a number, and padding that all deltas share.
#[derive(Debug)]
struct PaddedSeq(Digits<10>, &'static str);

impl Serialize for PaddedSeq {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.0.as_str(), self.1))
    }
}

const CHUNK_BYTES: usize = 200;
/// What is left of C(200) for the text after its ten digits.
const CHUNK_PAD: usize = 72;
static PAD: LazyLock<String> = LazyLock::new(|| "x".repeat(CHUNK_BYTES));

/// C(200) number `seq`.
pub(crate) fn chunk_event(seq: u64) -> NewEvent {
    let text = PaddedSeq(Digits::new(seq), &PAD[..CHUNK_PAD]);
    let payload = Delta { id: "txt-0", text };
    NewEvent::new("chunk", "r").with_data(Payload::local(ChunkData {
        r#type: "text-delta",
        run_id: "00000000-0000-4000-8000-000000000000",
        from: "AGENT",
        payload,
    }))
}

/// What an observer reads of the data of C(200).
#[derive(serde::Deserialize)]
struct ReadChunk {
    payload: ReadDelta,
}

#[derive(serde::Deserialize)]
struct ReadDelta {
    text: String,
}

/// The number of a chunk; `None` when the event is something else.
pub(crate) fn chunk_number(event: &Event) -> Option<u64> {
    let chunk: ReadChunk = event.data.parse().ok()?;
    chunk.payload.text.get(..10)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &NewEvent) -> String {
        let json = event.data.to_json().expect("serialisable");
        String::from_utf8(json.to_vec()).expect("JSON is UTF-8")
    }

    #[test]
    fn bench_events_have_exactly_the_bytes_they_claim() {
        for bytes in [52, 200, 16384] {
            for encoding in [Encoding::Local, Encoding::Json] {
                let event = BenchEvents::new(bytes, encoding)
                    .event(42, 123)
                    .expect("made");
                let text = text(&event);
                assert_eq!(text.len(), bytes);
                assert!(text.starts_with(r#"{"seq":"0000000042","t":"0000000000000123","pad":""#));
                let read = Stamped::of(&event.stamp()).expect("our own data");
                assert_eq!((read.seq(), read.latency_ns(500)), (42, Some(377)));
            }
        }
    }

    #[test]
    fn chunks_have_200_bytes() {
        let text = text(&chunk_event(7));
        assert_eq!(text.len(), CHUNK_BYTES);
        assert!(text.contains(r#""text":"0000000007x"#));
        let read = NewEvent::new("chunk", "r").with_json(text);
        assert_eq!(chunk_number(&read.expect("valid").stamp()), Some(7));
    }

    #[test]
    fn a_stamp_measures_across_its_wrap() {
        let events = BenchEvents::new(200, Encoding::Json);
        let event = events.event(0, STAMP_MODULUS - 10).expect("made").stamp();
        let read = Stamped::of(&event).expect("our own data");
        assert_eq!(read.latency_ns(STAMP_MODULUS + 90), Some(100));
    }

    #[test]
    fn other_data_is_no_bench_event() {
        for data in [
            "null",
            r#"{"seq":1,"t":"0"}"#,
            r#"{"seq":"000000000x","t":"0000000000000000"}"#,
        ] {
            let event = NewEvent::new("bench", "r")
                .with_json(data)
                .expect("valid")
                .stamp();
            assert!(Stamped::of(&event).is_none(), "{data}");
        }
        let unstamped = BenchEvents::new(52, Encoding::Local)
            .event(3, 0)
            .expect("made");
        let read = Stamped::of(&unstamped.stamp()).expect("our own data");
        assert_eq!(read.latency_ns(1), None);
    }
}
