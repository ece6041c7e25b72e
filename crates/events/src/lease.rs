//! Leases: who may drive a thing right now.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, OpFuture, Result, Text};

/// The outcome of [`LeaseProvider::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// Whether the caller holds the lease now.
    pub acquired: bool,
    /// Who holds it, where known.
    pub owner: Option<Text>,
}

/// Exclusive, expiring ownership of keys. Every check-and-act step is atomic; a lease whose time is up counts as free.
pub trait LeaseProvider: fmt::Debug + Send + Sync + 'static {
    /// Takes `key` for `owner` when it is free, or refreshes it when `owner` holds it already.
    fn acquire<'a>(&'a self, key: &'a str, owner: &'a str, ttl: Duration)
    -> OpFuture<'a, Acquired>;
    /// The live owner of `key`.
    fn owner<'a>(&'a self, key: &'a str) -> OpFuture<'a, Option<Text>>;
    /// Gives `key` up; without effect when `owner` does not hold it.
    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> OpFuture<'a, ()>;
    /// Prolongs the lease; false when `owner` does not hold it any more.
    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, ttl: Duration) -> OpFuture<'a, bool>;
    /// Hands a live lease over without a gap; false when `from` does not hold it.
    fn transfer<'a>(
        &'a self,
        key: &'a str,
        from: &'a str,
        to: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, bool>;
}

/// Leases among the tasks of one process. Expired leases are forgotten as new ones are taken.
#[derive(Debug, Default)]
pub struct InProcessLeases {
    held: Mutex<HashMap<String, Held>>,
}

#[derive(Debug)]
struct Held {
    owner: Text,
    expires_at: Instant,
}

/// Expired entries are swept when the table has grown to this size since the last sweep.
const SWEEP_AT: usize = 1024;

impl InProcessLeases {
    /// No leases.
    pub fn new() -> Self {
        Self::default()
    }

    fn with_live<R>(
        &self,
        key: &str,
        act: impl FnOnce(&mut HashMap<String, Held>, Instant) -> R,
    ) -> R {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if held.get(key).is_some_and(|lease| lease.expires_at <= now) {
            held.remove(key);
        }
        if held.len() >= SWEEP_AT && held.len() == held.capacity() {
            held.retain(|_, lease| lease.expires_at > now);
        }
        act(&mut held, now)
    }
}

fn deadline(now: Instant, ttl: Duration) -> Result<Instant> {
    if ttl.is_zero() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "lease",
            "the time to live is zero; pass a positive duration",
        ));
    }
    now.checked_add(ttl).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            "lease",
            "the time to live is beyond the clock; pass a shorter duration",
        )
    })
}

impl LeaseProvider for InProcessLeases {
    fn acquire<'a>(
        &'a self,
        key: &'a str,
        owner: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, Acquired> {
        OpFuture::ready(self.with_live(key, |held, now| {
            let expires_at = deadline(now, ttl)?;
            match held.get_mut(key) {
                Some(lease) if lease.owner != *owner => Ok(Acquired {
                    acquired: false,
                    owner: Some(lease.owner.clone()),
                }),
                Some(lease) => {
                    lease.expires_at = expires_at;
                    Ok(Acquired {
                        acquired: true,
                        owner: Some(lease.owner.clone()),
                    })
                }
                None => {
                    let owner = Text::from(owner.to_owned());
                    held.insert(
                        key.to_owned(),
                        Held {
                            owner: owner.clone(),
                            expires_at,
                        },
                    );
                    Ok(Acquired {
                        acquired: true,
                        owner: Some(owner),
                    })
                }
            }
        }))
    }

    fn owner<'a>(&'a self, key: &'a str) -> OpFuture<'a, Option<Text>> {
        OpFuture::ready(Ok(self.with_live(key, |held, _| {
            held.get(key).map(|lease| lease.owner.clone())
        })))
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> OpFuture<'a, ()> {
        self.with_live(key, |held, _| {
            if held.get(key).is_some_and(|lease| lease.owner == *owner) {
                held.remove(key);
            }
        });
        OpFuture::ready(Ok(()))
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, ttl: Duration) -> OpFuture<'a, bool> {
        self.transfer(key, owner, owner, ttl)
    }

    fn transfer<'a>(
        &'a self,
        key: &'a str,
        from: &'a str,
        to: &'a str,
        ttl: Duration,
    ) -> OpFuture<'a, bool> {
        OpFuture::ready(self.with_live(key, |held, now| {
            let expires_at = deadline(now, ttl)?;
            match held.get_mut(key) {
                Some(lease) if lease.owner == *from => {
                    *lease = Held {
                        owner: to.to_owned().into(),
                        expires_at,
                    };
                    Ok(true)
                }
                _ => Ok(false),
            }
        }))
    }
}
