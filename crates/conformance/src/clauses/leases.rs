//! Leases: exclusive, expiring ownership of keys.

use std::sync::Arc;
use std::time::Duration;

use bowline_events::LeaseProvider;
use futures_util::future::join_all;

use crate::session::Session;
use crate::verdict::{ensure, ensure_eq};
use crate::{ClauseResult, Fixture, Need, Unmet};

const KEY: &str = "user-1\0thread-1";
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// A free key is taken; its owner refreshes it; nobody else gets it and everybody learns who has it.
pub async fn a_lease_has_one_owner(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, there) = open(fixture).await?;
    ensure_eq!(
        session.within("owner", here.owner(KEY)).await??,
        None,
        "owner of a free key"
    );
    let taken = session
        .within("acquire", here.acquire(KEY, "a", LONG))
        .await??;
    ensure!(taken.acquired, "a free key was refused");
    let refused = session
        .within("acquire", there.acquire(KEY, "b", LONG))
        .await??;
    ensure!(!refused.acquired, "a second owner got the key");
    if let Some(owner) = refused.owner {
        ensure_eq!(owner.as_str(), "a", "owner named by the refusal");
    }
    let again = session
        .within("acquire", there.acquire(KEY, "a", LONG))
        .await??;
    ensure!(again.acquired, "the owner was refused");
    let owner = session.within("owner", there.owner(KEY)).await??;
    ensure_eq!(owner.as_deref(), Some("a"), "owner");
    ensure!(
        session
            .within("acquire", there.acquire("other", "b", LONG))
            .await??
            .acquired,
        "another key was refused"
    );
    session.finish().await
}

/// Only the owner releases; then the key is free.
pub async fn only_the_owner_releases(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, there) = open(fixture).await?;
    session
        .within("acquire", here.acquire(KEY, "a", LONG))
        .await??;
    session.within("release", there.release(KEY, "b")).await??;
    ensure_eq!(
        session.within("owner", here.owner(KEY)).await??.as_deref(),
        Some("a"),
        "owner"
    );
    session.within("release", here.release(KEY, "a")).await??;
    session.within("release", here.release(KEY, "a")).await??;
    ensure_eq!(
        session.within("owner", there.owner(KEY)).await??,
        None,
        "owner after the release"
    );
    ensure!(
        session
            .within("acquire", there.acquire(KEY, "b", LONG))
            .await??
            .acquired,
        "a released key was refused"
    );
    session.finish().await
}

/// A lease whose time is up counts as free: no owner, no renewal, and somebody else can take it.
pub async fn an_expired_lease_is_free(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, there) = open(fixture).await?;
    session
        .within("acquire", here.acquire(KEY, "a", SHORT))
        .await??;
    let mut patience = session.patience("the end of the lease");
    while there.owner(KEY).await?.is_some() {
        patience.spend().await?;
    }
    ensure!(
        !session
            .within("renew", here.renew(KEY, "a", LONG))
            .await??,
        "an expired lease was renewed"
    );
    let moved = session
        .within("transfer", here.transfer(KEY, "a", "c", LONG))
        .await??;
    ensure!(!moved, "an expired lease was transferred");
    ensure!(
        session
            .within("acquire", there.acquire(KEY, "b", LONG))
            .await??
            .acquired,
        "an expired key was refused"
    );
    session.within("release", here.release(KEY, "a")).await??;
    ensure_eq!(
        session.within("owner", here.owner(KEY)).await??.as_deref(),
        Some("b"),
        "owner"
    );
    session.finish().await
}

/// Renewing prolongs: a lease renewed for a long time outlives the short time it was taken for.
pub async fn renewing_prolongs(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, there) = open(fixture).await?;
    ensure!(
        !session
            .within("renew", here.renew(KEY, "a", LONG))
            .await??,
        "a free key was renewed"
    );
    let short = Duration::from_secs(1);
    session
        .within("acquire", here.acquire(KEY, "a", short))
        .await??;
    ensure!(
        !session
            .within("renew", there.renew(KEY, "b", LONG))
            .await??,
        "a stranger renewed the lease"
    );
    ensure!(
        session
            .within("renew", here.renew(KEY, "a", LONG))
            .await??,
        "the owner could not renew"
    );
    tokio::time::sleep(short + SHORT).await;
    ensure_eq!(
        session.within("owner", there.owner(KEY)).await??.as_deref(),
        Some("a"),
        "owner of the renewed lease"
    );
    session.finish().await
}

/// A transfer hands a live lease over, for the owner only.
pub async fn a_transfer_changes_the_owner(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, there) = open(fixture).await?;
    ensure!(
        !session
            .within("transfer", here.transfer(KEY, "a", "b", LONG))
            .await??,
        "a free key was transferred"
    );
    session
        .within("acquire", here.acquire(KEY, "a", LONG))
        .await??;
    ensure!(
        !session
            .within("transfer", there.transfer(KEY, "b", "c", LONG))
            .await??,
        "a stranger transferred the lease"
    );
    ensure!(
        session
            .within("transfer", here.transfer(KEY, "a", "b", LONG))
            .await??,
        "the owner could not transfer"
    );
    ensure!(
        !session
            .within("renew", here.renew(KEY, "a", LONG))
            .await??,
        "the old owner renewed the lease"
    );
    session.within("release", here.release(KEY, "a")).await??;
    ensure_eq!(
        session.within("owner", there.owner(KEY)).await??.as_deref(),
        Some("b"),
        "owner after the transfer"
    );
    session.finish().await
}

/// Of 50 owners that want a key at once, one gets it.
pub async fn one_of_many_wins(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, there) = open(fixture).await?;
    let owners: Vec<String> = (0..50).map(|n| format!("owner-{n}")).collect();
    let wants = owners.iter().enumerate().map(|(n, owner)| {
        let leases = if n % 2 == 0 { &here } else { &there };
        leases.acquire(KEY, owner, LONG)
    });
    let mut winners = Vec::new();
    for (outcome, owner) in session
        .within("acquire", join_all(wants))
        .await?
        .into_iter()
        .zip(&owners)
    {
        if outcome?.acquired {
            winners.push(owner.as_str());
        }
    }
    ensure_eq!(winners.len(), 1, "winners");
    let owner = session.within("owner", there.owner(KEY)).await??;
    ensure_eq!(owner.as_deref(), winners.first().copied(), "owner");
    session.finish().await
}

/// A lease without time is refused and leaves the key as it was.
pub async fn a_lease_needs_time(fixture: &dyn Fixture) -> ClauseResult {
    let (session, here, _) = open(fixture).await?;
    for ttl in [Duration::ZERO, Duration::MAX] {
        let outcome = session
            .within("acquire", here.acquire(KEY, "a", ttl))
            .await?;
        if ttl.is_zero() {
            ensure!(outcome.is_err(), "a lease of no time was granted");
            ensure_eq!(
                session.within("owner", here.owner(KEY)).await??,
                None,
                "owner"
            );
        }
    }
    session.within("release", here.release(KEY, "a")).await??;
    ensure!(
        session
            .within("acquire", here.acquire(KEY, "b", LONG))
            .await??
            .acquired,
        "the key was refused"
    );
    session.finish().await
}

async fn open(
    fixture: &dyn Fixture,
) -> Result<(Session, Arc<dyn LeaseProvider>, Arc<dyn LeaseProvider>), Unmet> {
    let session = Session::open(fixture, &[Need::Leases]).await?;
    let missing = || Unmet::violated("leases are declared, but there is no lease provider");
    let here = session.publisher.lease_provider().ok_or_else(missing)?;
    let there = session.subscriber.lease_provider().ok_or_else(missing)?;
    Ok((session, here, there))
}
