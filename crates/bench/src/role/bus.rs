//! The bus of a role, by its address.

use std::ffi::OsStr;
use std::sync::Arc;

use bowline_events::PubSub;
use bowline_unix::UnixSocketPubSub;

use crate::Result;
use crate::w5::Address;

/// The bus, and what it is.
pub(super) struct Bus {
    pub(super) any: Arc<dyn PubSub>,
    unix: Option<UnixSocketPubSub>,
    /// The server of a bus on Redis.
    pub(super) redis: Option<Address>,
}

impl Bus {
    /// A bus on the socket path or in the server that `address` names.
    pub(super) fn open(address: &OsStr) -> Result<Self> {
        match address.to_str().filter(|text| Address::names(text)) {
            Some(text) => {
                let address = Address::parse(text)?;
                Ok(Self {
                    any: address.bus()?,
                    unix: None,
                    redis: Some(address),
                })
            }
            None => {
                let unix = UnixSocketPubSub::new(address)?;
                Ok(Self {
                    any: Arc::new(unix.clone()),
                    unix: Some(unix),
                    redis: None,
                })
            }
        }
    }

    pub(super) fn is_broker(&self) -> bool {
        self.unix.as_ref().is_some_and(UnixSocketPubSub::is_broker)
    }

    pub(super) fn clients(&self) -> usize {
        self.unix
            .as_ref()
            .map_or(0, UnixSocketPubSub::remote_client_count)
    }
}
