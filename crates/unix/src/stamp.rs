//! What the broker assigns to every event: id, time, delivery attempt.

use std::time::Instant;

use bowline_events::codec::date::write_iso;
use bowline_events::{EventId, Timestamp};
use uuid::Uuid;

/// The present by both clocks; read once for a run of frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: Timestamp,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self {
            instant: Instant::now(),
            wall: Timestamp::now(),
        }
    }
}

/// Bytes that stamping adds to an event at most, with the members of an event frame that a publish frame lacks.
/// A group name of the receiver comes on top.
pub(crate) const HEADROOM: usize = 512;

/// Bytes of an ungrouped event frame beside the topic and the members that the publisher wrote.
pub(crate) const STAMPED: usize = r#"{"type":"event","topic":"","event":{,"id":"00000000-0000-4000-8000-000000000000","createdAt":{"__m_codec__":"Date","v":"2026-01-01T00:00:00.000Z"},"deliveryAttempt":1}}"#.len();

/// The three members as JSON text, rewritten in place for every event.
#[derive(Debug)]
pub(crate) struct Stamp {
    id: Uuid,
    wall: Timestamp,
    text: Vec<u8>,
    created_at: usize,
}

const ID_START: usize = br#""id":""#.len();
const ID_END: usize = ID_START + uuid::fmt::Hyphenated::LENGTH;

impl Stamp {
    pub(crate) fn new() -> Self {
        let mut stamp = Self {
            id: Uuid::nil(),
            wall: Timestamp::from_millis(0),
            text: Vec::with_capacity(192),
            created_at: 0,
        };
        stamp.write_time(Timestamp::from_millis(0));
        stamp
    }

    /// The stamp with this id and time.
    pub(crate) fn set(&mut self, id: Uuid, wall: Timestamp) {
        if wall != self.wall {
            self.write_time(wall);
        }
        self.id = id;
        id.hyphenated()
            .encode_lower(&mut self.text[ID_START..ID_END]);
    }

    /// The id of the frame that `publisher` numbered `number`: always the same one, so that a frame that is sent to two brokers
    /// is one event. As good as a random one as long as the publisher is.
    pub(crate) fn derive(publisher: Uuid, number: u64) -> Uuid {
        let (high, low) = publisher.as_u64_pair();
        let first = mix(low ^ number);
        let second = mix(high ^ first.rotate_left(32) ^ number);
        let bits = u128::from(first) << 64 | u128::from(second);
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    fn write_time(&mut self, wall: Timestamp) {
        let text = &mut self.text;
        text.clear();
        text.extend_from_slice(br#""id":""#);
        text.resize(ID_END, b'0');
        text.extend_from_slice(b"\",");
        self.created_at = text.len();
        text.extend_from_slice(br#""createdAt":{"__m_codec__":"Date","v":""#);
        write_iso(wall.as_millis(), text);
        text.extend_from_slice(b"\"},");
        text.extend_from_slice(br#""deliveryAttempt":1"#);
        self.wall = wall;
    }

    /// All three members, in the order of the reference.
    pub(crate) fn members(&self) -> &[u8] {
        &self.text
    }

    /// The three members one by one, with their names.
    pub(crate) fn each(&self) -> [(&'static str, &[u8]); 3] {
        let attempt = self.text.len() - br#""deliveryAttempt":1"#.len();
        [
            ("id", &self.text[..self.created_at - 1]),
            ("createdAt", &self.text[self.created_at..attempt - 1]),
            ("deliveryAttempt", &self.text[attempt..]),
        ]
    }

    pub(crate) fn id(&self) -> EventId {
        EventId::Uuid(self.id)
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.wall
    }
}

/// Spreads every bit of the input over the output, one to one (the finaliser of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_frames_have_ids_of_their_own_that_never_change() {
        let publisher = Uuid::from_u128(0x7cd3_2bbe_8126_4816_ad1f_5ccc_6ca0_dc10);
        let other = Uuid::from_u128(0x7cd3_2bbe_8126_4816_ad1f_5ccc_6ca0_dc11);
        let mut seen = std::collections::HashSet::new();
        for number in 0..20_000 {
            for publisher in [publisher, other] {
                let id = Stamp::derive(publisher, number);
                assert!(seen.insert(id));
                assert_eq!(
                    (id, id.get_version_num()),
                    (Stamp::derive(publisher, number), 4)
                );
            }
        }
    }

    #[test]
    fn members_are_those_of_the_reference() {
        let mut stamp = Stamp::new();
        let id = Uuid::from_u128(0x7cd3_2bbe_8126_4816_ad1f_5ccc_6ca0_dc10);
        stamp.set(id, Timestamp::from_millis(1_795_144_192_423));
        let expected = [
            r#""id":"7cd32bbe-8126-4816-ad1f-5ccc6ca0dc10""#,
            r#""createdAt":{"__m_codec__":"Date","v":"2026-11-20T03:09:52.423Z"}"#,
            r#""deliveryAttempt":1"#,
        ];
        assert_eq!(stamp.members(), expected.join(",").as_bytes());
        for ((_, member), expected) in stamp.each().into_iter().zip(expected) {
            assert_eq!(member, expected.as_bytes());
        }
    }
}
