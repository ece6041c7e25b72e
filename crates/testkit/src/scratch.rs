//! Ports that nobody else takes while a server is down.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

/// Below the range from which systems take the ports of outgoing connections. A port in that range can be taken by any
/// client while the server is down, even by a client that connects to this very port and so to itself.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A loopback port that was free a moment ago.
pub(crate) fn port() -> Result<u16> {
    for attempt in 0..1_000_u32 {
        let spread = u64::from(PORTS.end - PORTS.start);
        let offset = RandomState::new().hash_one(attempt) % spread;
        // The remainder is below the width of a range of ports, so it fits.
        let port = PORTS.start + u16::try_from(offset).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::new(format!(
        "no free loopback port among {PORTS:?} in 1000 attempts"
    )))
}
