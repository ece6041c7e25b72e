//! Large values, stored once and found by their content.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{Error, ErrorKind};

/// The SHA-256 of a blob, written as 64 hexadecimal digits.
///
/// SHA-256, because any tool and PostgreSQL itself can check it, and processors compute it faster than a disk takes the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash([u8; 32]);

impl BlobHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut hash = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut valid = pairs.len() == hash.len() && rest.is_empty();
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            match (digit(*high), digit(*low)) {
                // Two digits below 16 make a number below 256.
                (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
                _ => valid = false,
            }
        }
        valid.then_some(Self(hash)).ok_or_else(|| {
            let message = "the hash of a blob has 64 hexadecimal digits";
            Error::new(ErrorKind::InvalidInput, "read hash", message)
        })
    }
}

/// A large value with its hash, to be put with [`Commit::put_blob`](crate::Commit::put_blob).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    hash: BlobHash,
    bytes: Bytes,
}

impl Blob {
    /// The blob of `bytes`; computes the hash.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            hash: BlobHash::of(&bytes),
            bytes,
        }
    }

    /// What the blob is found by.
    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn hash_ref(&self) -> &BlobHash {
        &self.hash
    }

    /// The content.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Refuses what a damaged disk has made of a blob.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn verified(hash: BlobHash, bytes: Bytes) -> Result<Bytes, Error> {
    if BlobHash::of(&bytes) == hash {
        return Ok(bytes);
    }
    let message = "the stored bytes do not have this hash; restore the database from a backup";
    Err(Error::new(ErrorKind::Corrupt, "read blob", message).with_subject(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_text() {
        let hash = BlobHash::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse::<BlobHash>().unwrap(), hash);
    }

    #[test]
    fn other_texts_are_no_hashes() {
        for text in [
            "",
            "ba",
            &"0".repeat(63),
            &"0".repeat(65),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert_eq!(
                text.parse::<BlobHash>().unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{text:?}"
            );
        }
    }
}
