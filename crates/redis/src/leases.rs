//! Leases: keys that belong to one owner for a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::{Acquired, Error, ErrorKind, LeaseProvider, OpFuture, Result, Text};

use crate::bus::Bus;
use crate::stream::millis;
use crate::wire::{Command, Repeat, Reply};

/// Prolongs the lease when the caller holds it.
const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";

/// Removes the lease when the caller holds it.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Gives the lease to somebody else when the caller holds it.
const TRANSFER: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0";

/// Leases on string keys of the server: the value is the owner, the expiry of the key is that of the lease.
///
/// A lease is not fenced: a holder stops its work when [`renew`](LeaseProvider::renew) is false. Under an asynchronous failover
/// of the server two owners are possible until the first one renews.
pub(crate) struct RedisLeases {
    bus: Arc<Bus>,
}

impl RedisLeases {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        Self { bus }
    }

    async fn run(&self, operation: &'static str, command: Command) -> Result<Reply> {
        let reply = self.bus.link.run(&command, Repeat::Yes).await;
        reply.map_err(|failure| {
            let key = command.subject().unwrap_or_default();
            self.bus.error(failure, operation, command.name(), &key)
        })
    }

    /// Runs a script on the lease `name`; whether it answered 1.
    async fn script<'a>(
        &self,
        operation: &'static str,
        script: &'static str,
        name: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<bool> {
        let key = self.bus.settings.lease_key(name);
        let command = Command::new("EVAL")
            .arg(script)
            .number(1)
            .key(&key)
            .args(arguments);
        let reply = self.run(operation, command).await?;
        Ok(reply == Reply::Int(1))
    }

    async fn take(&self, name: &str, owner: &str, ttl: Duration) -> Result<Acquired> {
        let ttl = lifetime(ttl)?;
        let key = self.bus.settings.lease_key(name);
        let set = Command::new("SET")
            .key(&key)
            .arg(owner)
            .arg("PX")
            .arg(&ttl)
            .arg("NX");
        let free = self.run("acquire lease", set).await? != Reply::Nil;
        let acquired = free
            || self
                .script("acquire lease", RENEW, name, [owner, ttl.as_str()])
                .await?;
        let owner = match acquired {
            true => Some(Text::from(owner.to_owned())),
            false => self.holder(name).await?,
        };
        Ok(Acquired { acquired, owner })
    }

    async fn holder(&self, name: &str) -> Result<Option<Text>> {
        let key = self.bus.settings.lease_key(name);
        match self
            .run("read lease", Command::new("GET").key(&key))
            .await?
        {
            Reply::Bulk(owner) => Ok(Some(String::from_utf8_lossy(&owner).into_owned().into())),
            _ => Ok(None),
        }
    }
}

/// The time to live as an argument.
fn lifetime(ttl: Duration) -> Result<String> {
    if ttl.is_zero() || ttl > LONGEST {
        let message = "the time to live must be positive and at most a year";
        return Err(Error::new(ErrorKind::InvalidInput, "lease", message));
    }
    Ok(millis(ttl).to_string())
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl LeaseProvider for RedisLeases {
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, Acquired> {
        if self.bus.is_closed() {
            return OpFuture::ready(Ok(Acquired {
                acquired: false,
                owner: None,
            }));
        }
        OpFuture::new(self.take(key, owner, ttl))
    }

    fn owner<'a>(&'a self, key: &'a str) -> OpFuture<'a, Option<Text>> {
        if self.bus.is_closed() {
            return OpFuture::ready(Ok(None));
        }
        OpFuture::new(self.holder(key))
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> OpFuture<'a, ()> {
        if self.bus.is_closed() {
            return OpFuture::ready(Ok(()));
        }
        OpFuture::new(async move {
            self.script("release lease", RELEASE, key, [owner]).await?;
            Ok(())
        })
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, ttl: Duration) -> OpFuture<'a, bool> {
        if self.bus.is_closed() {
            return OpFuture::ready(Ok(false));
        }
        OpFuture::new(async move {
            let ttl = lifetime(ttl)?;
            self.script("renew lease", RENEW, key, [owner, ttl.as_str()])
                .await
        })
    }

    fn transfer<'a>(
        &'a self,
        key: &'a str,
        from: &'a str,
        to: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, bool> {
        if self.bus.is_closed() {
            return OpFuture::ready(Ok(false));
        }
        OpFuture::new(async move {
            let ttl = lifetime(ttl)?;
            self.script("transfer lease", TRANSFER, key, [from, to, ttl.as_str()])
                .await
        })
    }
}

impl fmt::Debug for RedisLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLeases")
            .field("key_prefix", &self.bus.settings.key_prefix)
            .finish()
    }
}
