//! The inner loop of string handling: how far does plain text go?

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const WORD: usize = 8;
const BLOCK: usize = 32;

/// The length of the longest prefix without `"`, `\` and control characters below 0x20. The same
/// set ends a run when a string is read and when one is written.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    // Keys and identifiers end within the first words; only longer texts pay for the block loop.
    let mut at = 0;
    while at < BLOCK {
        let Some(word) = bytes[at..].first_chunk::<WORD>() else {
            return at + tail(&bytes[at..]);
        };
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + first_hit(hits);
        }
        at += WORD;
    }
    at + long_run(&bytes[at..])
}

fn long_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<BLOCK>() {
        // Without an early exit inside the block the compiler turns this into vector compares.
        let special = block
            .iter()
            .fold(0u8, |seen, &byte| seen | u8::from(is_special(byte)));
        if special != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes[at..].first_chunk::<WORD>() {
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + first_hit(hits);
        }
        at += WORD;
    }
    at + tail(&bytes[at..])
}

fn tail(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| is_special(byte))
        .unwrap_or(bytes.len())
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of every special byte. Borrows can set bits above a true hit, never below one, so
/// the lowest set bit is exact.
const fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let hits = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hits & HIGH
}

const fn first_hit(hits: u64) -> usize {
    (hits.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_position_is_judged_like_the_simple_rule() {
        for length in [0, 1, 7, 8, 9, 31, 32, 33, 40, 64, 71, 100] {
            let mut text = vec![b'x'; length];
            assert_eq!(plain_run(&text), length);
            for position in 0..length {
                for byte in 0..=255 {
                    text[position] = byte;
                    let expected = if is_special(byte) { position } else { length };
                    assert_eq!(
                        plain_run(&text),
                        expected,
                        "{byte:#x} at {position}/{length}"
                    );
                }
                text[position] = b'x';
            }
        }
    }

    #[test]
    fn the_first_of_several_hits_is_reported() {
        // A hit may disturb the bits of the bytes above it in its word.
        for first in [0x00, 0x1f, b'"', b'\\'] {
            for second in 0..=255 {
                let text = [b'a', first, second, second, b'"', 0x21, 0x5d, 0x20];
                assert_eq!(plain_run(&text), 1);
                let text = [second, first, b'!', b'#', b'[', b']', b' ', b' '];
                assert_eq!(plain_run(&text), usize::from(!is_special(second)));
            }
        }
    }
}
