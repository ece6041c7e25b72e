//! Blobs and their owners.

use super::{Outcome, RUNS, Stores, TIMERS, at, ensure_eq, made, refused};
use crate::{Blob, Commit, ErrorKind, Expect, Index};

/// A blob is read by its hash, from any handle.
pub async fn a_blob_is_found_by_its_hash(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    for bytes in [vec![], vec![0, 255], vec![7; 300_000]] {
        let blob = Blob::new(bytes);
        ensure_eq!(
            stores.other.blob(blob.hash()).await?,
            None,
            "before it was put"
        );
        stores
            .store
            .commit(Commit::new().put_blob(RUNS, "a", blob.clone()))
            .await?;
        ensure_eq!(
            stores.other.blob(blob.hash()).await?.as_ref(),
            Some(blob.bytes()),
            "the blob"
        );
    }
    Ok(())
}

/// A blob that two own stays until both have released it.
pub async fn a_blob_lives_as_long_as_an_owner(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    made(&*stores.store, "b").await?;
    let blob = Blob::new("large");
    for (store, key) in [(&stores.store, "a"), (&stores.other, "b")] {
        store
            .commit(Commit::new().put_blob(RUNS, key, blob.clone()))
            .await?;
    }
    let stats = stores.other.stats().await?;
    ensure_eq!((stats.blobs, stats.blob_bytes), (1, 5), "what is stored");
    stores
        .store
        .commit(Commit::new().drop_blob(RUNS, "a", blob.hash()))
        .await?;
    // The second release by one owner is not that of the other.
    stores
        .store
        .commit(Commit::new().drop_blob(RUNS, "a", blob.hash()))
        .await?;
    stores
        .store
        .commit(Commit::new().drop_blob(TIMERS, "b", blob.hash()))
        .await?;
    ensure_eq!(
        stores.other.blob(blob.hash()).await?.as_ref(),
        Some(blob.bytes()),
        "the blob"
    );
    stores
        .other
        .commit(Commit::new().drop_blob(RUNS, "b", blob.hash()))
        .await?;
    ensure_eq!(
        stores.store.blob(blob.hash()).await?,
        None,
        "the released blob"
    );
    Ok(())
}

/// The owner has to exist when the commit is done: made before, or by it, and not deleted by it.
pub async fn a_blob_is_put_for_a_record_only(stores: &Stores) -> Outcome {
    let blob = Blob::new("large");
    let alone = Commit::new().put_blob(RUNS, "a", blob.clone());
    let error = refused(stores.store.commit(alone).await, "a blob without owner")?;
    ensure_eq!(error.kind(), ErrorKind::Conflict, "the kind of error");
    // The order of the operations does not matter.
    let together = Commit::new().put_blob(RUNS, "a", blob.clone()).put(
        RUNS,
        "a",
        Expect::Absent,
        Index::new(at(0)),
        "",
    );
    let version = stores.store.commit(together).await?.version;
    let last = Commit::new()
        .delete(RUNS, "a", version)
        .put_blob(RUNS, "a", Blob::new("other"));
    refused(
        stores.store.commit(last).await,
        "a blob for a deleted owner",
    )?;
    ensure_eq!(
        stores.other.blob(blob.hash()).await?.as_ref(),
        Some(blob.bytes()),
        "the blob"
    );
    Ok(())
}

/// Who puts a blob twice, even in one commit, owns it once.
pub async fn putting_twice_is_owning_once(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    let blob = Blob::new("large");
    let twice = Commit::new()
        .put_blob(RUNS, "a", blob.clone())
        .put_blob(RUNS, "a", blob.clone());
    stores.store.commit(twice).await?;
    let again = Commit::new()
        .drop_blob(RUNS, "a", blob.hash())
        .put_blob(RUNS, "a", blob.clone());
    stores.store.commit(again).await?;
    ensure_eq!(
        stores.other.blob(blob.hash()).await?.as_ref(),
        Some(blob.bytes()),
        "the blob"
    );
    stores
        .other
        .commit(Commit::new().drop_blob(RUNS, "a", blob.hash()))
        .await?;
    ensure_eq!(
        stores.store.blob(blob.hash()).await?,
        None,
        "the released blob"
    );
    Ok(())
}

/// Nothing of a failed commit stays, no blob either.
pub async fn a_failed_commit_stores_no_blob(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    let blob = Blob::new("large");
    let commit = Commit::new()
        .put_blob(RUNS, "a", blob.clone())
        .check(RUNS, "a", Expect::Absent);
    refused(
        stores.store.commit(commit).await,
        "a commit against its guard",
    )?;
    ensure_eq!(stores.other.blob(blob.hash()).await?, None, "the blob");
    ensure_eq!(stores.other.stats().await?.blobs, 0, "the number of blobs");
    Ok(())
}

/// Deleting a record releases all that it owns; changing it releases nothing.
pub async fn deleting_the_owner_releases_everything(stores: &Stores) -> Outcome {
    let version = made(&*stores.store, "a").await?.version;
    let blobs: Vec<_> = (0..5).map(|i| Blob::new(format!("blob {i}"))).collect();
    let own = blobs.iter().fold(Commit::new(), |commit, blob| {
        commit.put_blob(RUNS, "a", blob.clone())
    });
    stores.store.commit(own).await?;
    let change = Commit::new().put(RUNS, "a", Expect::Version(version), Index::new(at(0)), "");
    let version = stores.store.commit(change).await?.version;
    ensure_eq!(stores.other.stats().await?.blobs, 5, "after a change");
    stores
        .store
        .commit(Commit::new().delete(RUNS, "a", version))
        .await?;
    let stats = stores.other.stats().await?;
    ensure_eq!(
        (stats.blobs, stats.blob_bytes),
        (0, 0),
        "after the deletion"
    );
    Ok(())
}
