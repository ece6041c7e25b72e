//! Commits and compare-and-set.

use std::sync::Arc;

use super::{Outcome, RUNS, Stores, TIMERS, Violation, at, ensure, ensure_eq, made, make, refused};
use crate::{Commit, ErrorKind, Expect, Expected, Index, Record, Store};

/// A record is read with everything that was written.
pub async fn a_record_comes_back_as_it_was_put(stores: &Stores) -> Outcome {
    let index = Index::new(at(5))
        .status("running")
        .group("triage")
        .owner("ada")
        .due(at(-7));
    let commit = make("run/ü 1", index.clone(), "{}").at(at(9));
    let version = stores.store.commit(commit).await?.version;
    let expected = Record {
        table: RUNS,
        key: "run/ü 1".into(),
        version,
        index,
        body: "{}".into(),
        updated: at(9),
    };
    ensure_eq!(
        stores.other.get(RUNS, "run/ü 1").await?,
        Some(expected),
        "the record"
    );
    Ok(())
}

/// Reading what does not exist is no error.
pub async fn what_is_not_there_is_none(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    ensure_eq!(stores.other.get(RUNS, "b").await?, None, "another key");
    ensure_eq!(stores.other.get(TIMERS, "a").await?, None, "another table");
    Ok(())
}

/// Making a record that exists is a conflict.
pub async fn a_record_is_made_once(stores: &Stores) -> Outcome {
    made(&*stores.store, "a").await?;
    let error = refused(made(&*stores.other, "a").await, "the second creation")?;
    ensure_eq!(error.kind(), ErrorKind::Conflict, "the kind of error");
    Ok(())
}

/// Only who knows the present version can write.
pub async fn a_record_changes_only_in_its_version(stores: &Stores) -> Outcome {
    let first = made(&*stores.store, "a").await?.version;
    let put = |version, body: &'static str| {
        Commit::new().put(RUNS, "a", Expect::Version(version), Index::new(at(0)), body)
    };
    let second = stores.other.commit(put(first, "two")).await?.version;
    let error = refused(
        stores.store.commit(put(first, "late")).await,
        "a write of an old version",
    )?;
    ensure_eq!(error.kind(), ErrorKind::Conflict, "the kind of error");
    let record = stores.store.get(RUNS, "a").await?;
    let record = record.ok_or_else(|| Violation::new("the record is gone"))?;
    ensure_eq!(
        (record.version, &record.body[..]),
        (second, &b"two"[..]),
        "the record"
    );
    Ok(())
}

/// A record is deleted by version, and cannot be changed afterwards.
pub async fn a_deleted_record_is_gone(stores: &Stores) -> Outcome {
    let version = made(&*stores.store, "a").await?.version;
    let delete = || Commit::new().delete(RUNS, "a", version);
    refused(
        stores
            .store
            .commit(Commit::new().delete(RUNS, "a", version + 1))
            .await,
        "a wrong version",
    )?;
    stores.other.commit(delete()).await?;
    ensure_eq!(
        stores.store.get(RUNS, "a").await?,
        None,
        "the deleted record"
    );
    let error = refused(stores.store.commit(delete()).await, "the second deletion")?;
    ensure_eq!(
        error.conflict().and_then(|it| it.found),
        None,
        "what was found"
    );
    Ok(())
}

/// A version that was seen once never fits another record of that key.
pub async fn versions_increase_and_are_never_used_again(stores: &Stores) -> Outcome {
    let mut last = 0;
    for round in 0..5 {
        let store = if round % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        };
        let version = made(&**store, "a").await?.version;
        ensure!(version > last, "version {version} follows {last}");
        last = version;
        let change = Commit::new().put(RUNS, "a", Expect::Version(version), Index::new(at(0)), "");
        let version = store.commit(change).await?.version;
        ensure!(version > last, "version {version} follows {last}");
        last = version;
        store
            .commit(Commit::new().delete(RUNS, "a", version))
            .await?;
    }
    Ok(())
}

/// Whichever operation fails, none of the others has happened.
pub async fn a_conflict_leaves_no_trace(stores: &Stores) -> Outcome {
    let log = RUNS.log("log");
    let blob = crate::Blob::new("large");
    let mut version = made(&*stores.store, "kept").await?.version;
    let begun = Commit::new().append(log.clone(), ["one", "two"]);
    stores.store.commit(begun).await?;
    let good = |version| {
        make("new", Index::new(at(1)).due(at(1)), "")
            .put(
                RUNS,
                "kept",
                Expect::Version(version),
                Index::new(at(2)),
                "changed",
            )
            .append_within(log.clone(), ["three"], crate::Keep::starting_at(1))
            .put_blob(RUNS, "new", blob.clone())
    };
    let bad: [fn(Commit) -> Commit; 5] = [
        |commit| commit.check(RUNS, "missing", Expect::Version(1)),
        |commit| commit.delete(RUNS, "missing", 1),
        |commit| commit.put(RUNS, "missing", Expect::Version(1), Index::new(at(0)), ""),
        |commit| commit.append_at(RUNS.log("missing"), 1, ["x"]),
        |commit| commit.put_blob(RUNS, "missing", crate::Blob::new("x")),
    ];
    for (number, bad) in bad.into_iter().enumerate() {
        let error = refused(
            stores.store.commit(bad(good(version))).await,
            "a wrong operation",
        )?;
        ensure_eq!(
            error.kind(),
            ErrorKind::Conflict,
            "the error of operation {number}"
        );
        ensure_eq!(
            stores.other.get(RUNS, "new").await?,
            None,
            "after operation {number}"
        );
        let kept = stores.other.get(RUNS, "kept").await?;
        ensure_eq!(
            kept.map(|it| it.version),
            Some(version),
            "after operation {number}"
        );
        let info = stores.other.log_info(&log).await?;
        ensure_eq!(
            info.map(|it| (it.first, it.end)),
            Some((0, 2)),
            "after operation {number}"
        );
        ensure_eq!(
            stores.other.blob(blob.hash()).await?,
            None,
            "after operation {number}"
        );
        ensure!(
            stores.other.due(RUNS, at(9), 9).await?.is_empty(),
            "something is due after operation {number}"
        );
        // The same without the wrong operation is fine, and is taken back.
        version = stores.store.commit(good(version)).await?.version;
        let undo = Commit::new()
            .delete(RUNS, "new", version)
            .drop_log(log.clone());
        stores.store.commit(undo).await?;
        stores
            .store
            .commit(Commit::new().append(log.clone(), ["one", "two"]))
            .await?;
    }
    Ok(())
}

/// A conflict is typed: which record or log, what was expected, what is there.
pub async fn a_conflict_names_what_was_found(stores: &Stores) -> Outcome {
    let version = made(&*stores.store, "a").await?.version;
    let end = Commit::new().append(RUNS.log("l"), ["x"]);
    stores.store.commit(end).await?;
    let there = Some(version);
    let table = [
        (
            make("a", Index::new(at(0)), ""),
            "a",
            Expected::Absent,
            there,
        ),
        (
            Commit::new().check(RUNS, "a", Expect::Version(version + 7)),
            "a",
            Expected::Version(version + 7),
            there,
        ),
        (
            Commit::new().delete(RUNS, "b", 3),
            "b",
            Expected::Version(3),
            None,
        ),
        (
            Commit::new().append_at(RUNS.log("l"), 4, ["y"]),
            "l",
            Expected::End(4),
            Some(1),
        ),
        (
            Commit::new().put_blob(RUNS, "b", crate::Blob::new("x")),
            "b",
            Expected::Present,
            None,
        ),
    ];
    for (commit, key, expected, found) in table {
        let error = refused(stores.other.commit(commit).await, "a wrong expectation")?;
        let conflict = error
            .conflict()
            .ok_or_else(|| Violation::new("there is no conflict in the error"))?;
        ensure_eq!(
            (conflict.table, conflict.key.as_str()),
            (RUNS, key),
            "the subject"
        );
        ensure_eq!(
            (conflict.expected, conflict.found),
            (expected, found),
            "the conflict"
        );
        ensure!(
            !error.is_retryable(),
            "a conflict needs a new read before it is tried again"
        );
    }
    Ok(())
}

/// A check decides over the commit and leaves the record alone.
pub async fn a_check_guards_and_changes_nothing(stores: &Stores) -> Outcome {
    let version = made(&*stores.store, "guard").await?.version;
    let guarded = make("a", Index::new(at(0)), "")
        .check(RUNS, "guard", Expect::Version(version))
        .check(RUNS, "stop", Expect::Absent);
    stores.other.commit(guarded).await?;
    let guard = stores.store.get(RUNS, "guard").await?;
    ensure_eq!(
        guard.map(|it| it.version),
        Some(version),
        "the version of the guard"
    );
    made(&*stores.store, "stop").await?;
    let late = make("b", Index::new(at(0)), "").check(RUNS, "stop", Expect::Absent);
    refused(
        stores.other.commit(late).await,
        "a commit against its guard",
    )?;
    Ok(())
}

/// One commit, one version.
pub async fn all_records_of_a_commit_have_its_version(stores: &Stores) -> Outcome {
    let commit =
        make("a", Index::new(at(0)), "").put(TIMERS, "b", Expect::Absent, Index::new(at(0)), "");
    let version = stores.store.commit(commit).await?.version;
    for (table, key) in [(RUNS, "a"), (TIMERS, "b")] {
        let record = stores.other.get(table, key).await?;
        ensure_eq!(
            record.map(|it| it.version),
            Some(version),
            "the version of {key}"
        );
    }
    Ok(())
}

/// Two operations on one record or log are refused, in small and in large commits.
pub async fn a_commit_names_a_record_once(stores: &Stores) -> Outcome {
    for more in [0, 20] {
        let filled = (0..more).fold(Commit::new(), |commit, i| {
            commit.check(RUNS, format!("other-{i}"), Expect::Absent)
        });
        let twice = [
            filled
                .clone()
                .put(RUNS, "a", Expect::Absent, Index::new(at(0)), "")
                .check(RUNS, "a", Expect::Absent),
            filled
                .clone()
                .append(RUNS.log("a"), ["x"])
                .drop_log(RUNS.log("a")),
        ];
        for commit in twice {
            let error = refused(stores.store.commit(commit).await, "a record named twice")?;
            ensure_eq!(error.kind(), ErrorKind::InvalidInput, "the kind of error");
        }
        // A record and a log of one name are two things, as are two tables.
        let apart = filled
            .check(RUNS, "a", Expect::Absent)
            .check(TIMERS, "a", Expect::Absent)
            .append(RUNS.log("a"), ["x"]);
        stores.store.commit(apart).await?;
    }
    Ok(())
}

/// Of many that write the same version, one wins.
pub async fn one_of_many_writers_wins(stores: &Stores) -> Outcome {
    let version = made(&*stores.store, "a").await?.version;
    let mut writers = Vec::new();
    for writer in 0..16_u32 {
        let store = Arc::clone(if writer % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        });
        writers.push(tokio::spawn(async move {
            let index = Index::new(at(0));
            let own = format!("own-{writer}");
            let commit = Commit::new()
                .put(
                    RUNS,
                    "a",
                    Expect::Version(version),
                    index.clone(),
                    own.clone(),
                )
                .put(RUNS, own, Expect::Absent, index, "");
            store.commit(commit).await
        }));
    }
    let mut winners = 0;
    for writer in writers {
        match join(writer).await? {
            Ok(_) => winners += 1,
            Err(error) => ensure_eq!(error.kind(), ErrorKind::Conflict, "the error of a loser"),
        }
    }
    ensure_eq!(winners, 1, "the number of winners");
    let records = stores.other.count(RUNS, &crate::Filter::new()).await?;
    ensure_eq!(records, 2, "the number of records");
    Ok(())
}

/// Two commits that each make what the other requires to be absent cannot both happen.
pub async fn two_guards_cannot_both_pass(stores: &Stores) -> Outcome {
    for round in 0..20 {
        let (left, right) = (format!("l-{round}"), format!("r-{round}"));
        let commit = |own: &str, guard: &str| {
            make(own, Index::new(at(0)), "").check(RUNS, guard.to_owned(), Expect::Absent)
        };
        let one = Arc::clone(&stores.store);
        let other = Arc::clone(&stores.other);
        let (first, second) = (commit(&left, &right), commit(&right, &left));
        let one = tokio::spawn(async move { one.commit(first).await });
        let other = tokio::spawn(async move { other.commit(second).await });
        let passed = [join(one).await?.is_ok(), join(other).await?.is_ok()];
        ensure!(
            passed[0] != passed[1],
            "of two exclusive commits these happened: {passed:?}"
        );
    }
    Ok(())
}

/// Concurrent read-modify-write loops lose nothing.
pub async fn no_increment_is_lost(stores: &Stores) -> Outcome {
    const TASKS: usize = 6;
    const ROUNDS: usize = 8;
    let zero = make("counter", Index::new(at(0)), "0");
    stores.store.commit(zero).await?;
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let store = Arc::clone(if task % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        });
        tasks.push(tokio::spawn(async move {
            for _ in 0..ROUNDS {
                increment(&*store).await?;
            }
            Ok::<_, Violation>(())
        }));
    }
    for task in tasks {
        join(task).await??;
    }
    let counter = stores.store.get(RUNS, "counter").await?;
    let body = counter.map(|it| String::from_utf8_lossy(&it.body).into_owned());
    ensure_eq!(body, Some((TASKS * ROUNDS).to_string()), "the counter");
    Ok(())
}

async fn increment(store: &dyn Store) -> Outcome {
    loop {
        let record = store.get(RUNS, "counter").await?;
        let record = record.ok_or_else(|| Violation::new("the counter is gone"))?;
        let count: usize = std::str::from_utf8(&record.body)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Violation::new("the counter is no number"))?;
        let next = Commit::new().replace(&record, record.index.clone(), (count + 1).to_string());
        match store.commit(next).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Conflict => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// `get_many` answers key by key.
pub async fn many_keys_are_read_in_order(stores: &Stores) -> Outcome {
    for key in ["a", "b", "c"] {
        made(&*stores.store, key).await?;
    }
    let keys = ["c", "missing", "a", "c"].map(Into::into);
    let found = stores.other.get_many(RUNS, &keys).await?;
    let found: Vec<_> = found
        .iter()
        .map(|it| it.as_ref().map(|it| it.key.as_str()))
        .collect();
    ensure_eq!(
        found,
        [Some("c"), None, Some("a"), Some("c")],
        "the records"
    );
    ensure!(
        stores.other.get_many(RUNS, &[]).await?.is_empty(),
        "no keys have records"
    );
    Ok(())
}

/// What a task of the clause came to.
pub(super) async fn join<T>(task: tokio::task::JoinHandle<T>) -> Result<T, Violation> {
    task.await
        .map_err(|error| Violation::new(format!("a task failed: {error}")))
}
