//! Logs.

use std::sync::Arc;
use std::time::Duration;

use super::commits::join;
use super::{Outcome, RUNS, Stores, TIMERS, Violation, at, ensure, ensure_eq, made, make, refused};
use crate::limits::MAX_PAGE;
use crate::{Appended, Commit, ErrorKind, Expect, Index, Keep, LogInfo, LogName, Result, Store};

/// The entries from `from` on as text, each with its position.
async fn read(store: &dyn Store, log: &LogName, from: u64) -> Result<Vec<(u64, String)>> {
    let page = store.read_log(log, from, 100).await?;
    let entries = page.entries.iter();
    Ok(entries
        .map(|entry| {
            (
                entry.position,
                String::from_utf8_lossy(&entry.body).into_owned(),
            )
        })
        .collect())
}

async fn info(store: &dyn Store, log: &LogName) -> std::result::Result<LogInfo, Violation> {
    let info = store.log_info(log).await?;
    info.ok_or_else(|| Violation::new(format!("there is no log {log:?}")))
}

fn owned(entries: &[(u64, &str)]) -> Vec<(u64, String)> {
    entries
        .iter()
        .map(|(position, body)| (*position, (*body).to_owned()))
        .collect()
}

/// What was appended is read in order, by position, with its time.
pub async fn entries_come_back_in_order(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    let first = Commit::new()
        .append(log.clone(), ["one", "", "three"])
        .at(at(5));
    let done = stores.store.commit(first).await?;
    let landed = Appended {
        first: 0,
        end: 3,
        born: done.version,
    };
    ensure_eq!(done.appended, [landed], "where the entries landed");
    let second = Commit::new().append(log.clone(), ["four"]).at(at(6));
    stores.store.commit(second).await?;
    let page = stores.other.read_log(&log, 1, 2).await?;
    let bodies: Vec<_> = page
        .entries
        .iter()
        .map(|it| (it.position, it.at, &it.body[..]))
        .collect();
    ensure_eq!(
        bodies,
        [(1, at(5), &b""[..]), (2, at(5), &b"three"[..])],
        "two entries from 1 on"
    );
    let expected = LogInfo {
        first: 0,
        end: 4,
        bytes: 12,
        born: done.version,
        updated: at(6),
    };
    ensure_eq!(page.info, Some(expected), "the state of the log");
    ensure_eq!(
        read(&*stores.other, &log, 3).await?,
        owned(&[(3, "four")]),
        "the last entry"
    );
    ensure!(
        read(&*stores.other, &log, 4).await?.is_empty(),
        "there is something after the end"
    );
    let missing = stores.other.read_log(&TIMERS.log("a"), 0, 10).await?;
    ensure_eq!(
        missing,
        crate::LogPage::default(),
        "a log that does not exist"
    );
    Ok(())
}

/// Every append goes on where the last one ended; times never go back.
pub async fn positions_are_contiguous(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    for (round, time) in [3, 1, 4, 1, 5].into_iter().enumerate() {
        let store = if round % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        };
        let commit = Commit::new().append(log.clone(), ["x", "y"]).at(at(time));
        let done = store.commit(commit).await?;
        ensure_eq!(
            done.appended[0].first,
            2 * round as u64,
            "the position of append {round}"
        );
    }
    let page = stores.store.read_log(&log, 0, 100).await?;
    let times: Vec<_> = page.entries.iter().map(|it| it.at.as_millis()).collect();
    ensure_eq!(times, [3, 3, 3, 3, 4, 4, 4, 4, 5, 5], "the times");
    Ok(())
}

/// An append that names its position happens there or not at all.
pub async fn an_append_may_name_its_position(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    let append = |end, entry: &'static str| Commit::new().append_at(log.clone(), end, [entry]);
    refused(
        stores.store.commit(append(1, "early")).await,
        "an append after the end",
    )?;
    ensure_eq!(
        stores.store.log_info(&log).await?,
        None,
        "a log that was not begun"
    );
    stores.store.commit(append(0, "zero")).await?;
    let error = refused(
        stores.other.commit(append(0, "late")).await,
        "an append before the end",
    )?;
    ensure_eq!(error.kind(), ErrorKind::Conflict, "the kind of error");
    stores.other.commit(append(1, "one")).await?;
    ensure_eq!(
        read(&*stores.store, &log, 0).await?,
        owned(&[(0, "zero"), (1, "one")]),
        "the log"
    );
    Ok(())
}

/// A record and the log entries of its change are one.
pub async fn appends_and_records_commit_together(stores: &Stores) -> Outcome {
    let outbox = TIMERS.log("outbox");
    let commit = |key: &str| {
        make(key, Index::new(at(0)), "")
            .append(outbox.clone(), [format!("{key} made")])
            .append(RUNS.log(key.to_owned()), ["begun"])
    };
    let done = stores.store.commit(commit("a")).await?;
    ensure_eq!(done.appended.len(), 2, "the number of appends");
    refused(
        stores.store.commit(commit("a")).await,
        "the second creation",
    )?;
    stores.other.commit(commit("b")).await?;
    let entries = read(&*stores.other, &outbox, 0).await?;
    ensure_eq!(
        entries,
        owned(&[(0, "a made"), (1, "b made")]),
        "the outbox"
    );
    Ok(())
}

/// Appends of many writers get positions without gap and without double.
pub async fn concurrent_appends_leave_no_gap(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = Arc::clone(if task % 2 == 0 {
            &stores.store
        } else {
            &stores.other
        });
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let mut landed = Vec::new();
            for round in 0..6 {
                let entry = format!("{task}-{round}");
                let commit = Commit::new().append(log.clone(), [entry.clone()]);
                landed.push((store.commit(commit).await?.appended[0].first, entry));
            }
            Ok::<_, crate::Error>(landed)
        }));
    }
    let mut landed = Vec::new();
    for task in tasks {
        landed.extend(join(task).await??);
    }
    landed.sort();
    ensure_eq!(
        read(&*stores.other, &log, 0).await?,
        landed,
        "the log and the receipts"
    );
    let positions: Vec<_> = landed.iter().map(|(position, _)| *position).collect();
    ensure_eq!(positions, (0..48).collect::<Vec<_>>(), "the positions");
    Ok(())
}

/// A page is bounded; the next one goes on at the next position.
pub async fn a_log_is_read_in_pages(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    let entries = (0..MAX_PAGE as u32 + 20).map(|i| i.to_be_bytes().to_vec());
    stores
        .store
        .commit(Commit::new().append(log.clone(), entries))
        .await?;
    let page = stores.other.read_log(&log, 0, usize::MAX).await?;
    ensure_eq!(page.entries.len(), MAX_PAGE, "the length of the page");
    let rest = stores
        .other
        .read_log(&log, MAX_PAGE as u64, usize::MAX)
        .await?;
    ensure_eq!(rest.entries.len(), 20, "the length of the rest");
    ensure_eq!(
        &rest.entries[19].body[..],
        &(MAX_PAGE as u32 + 19).to_be_bytes()[..],
        "the last entry"
    );
    Ok(())
}

/// A log of ten entries "0" to "9".
async fn ten(store: &dyn Store, key: &str) -> Result<LogName> {
    let log = RUNS.log(key.to_owned());
    let entries = (0..10).map(|i| i.to_string());
    store
        .commit(Commit::new().append(log.clone(), entries).at(at(0)))
        .await?;
    Ok(log)
}

/// Entries before a position go; positions stay; a position outside of the log is no error.
pub async fn trimming_by_position(stores: &Stores) -> Outcome {
    let log = ten(&*stores.store, "a").await?;
    for (position, first) in [(0, 0), (4, 4), (2, 4), (9, 9), (10, 10), (u64::MAX, 10)] {
        let trim = Commit::new().trim(log.clone(), Keep::starting_at(position));
        stores.store.commit(trim).await?;
        let info = info(&*stores.other, &log).await?;
        ensure_eq!(
            (info.first, info.end, info.bytes),
            (first, 10, 10 - first),
            "after {position}"
        );
        let entries = read(&*stores.other, &log, 0).await?;
        ensure_eq!(
            entries.first().map(|it| it.0),
            (first < 10).then_some(first),
            "the first entry"
        );
    }
    stores
        .store
        .commit(Commit::new().append(log.clone(), ["next"]))
        .await?;
    ensure_eq!(
        read(&*stores.other, &log, 0).await?,
        owned(&[(10, "next")]),
        "the log goes on"
    );
    Ok(())
}

/// The newest entries stay, as many as are allowed, in number and in bytes.
pub async fn trimming_by_count_and_bytes(stores: &Stores) -> Outcome {
    let keep = Keep::default;
    for (i, (keep, first)) in [
        (keep(), 0),
        (keep().entries(3), 7),
        (keep().entries(0), 10),
        (keep().entries(100), 0),
        (keep().bytes(4), 6),
        (keep().bytes(0), 10),
        (keep().bytes(u64::MAX), 0),
        (keep().bytes(4).entries(2), 8),
        (Keep::starting_at(7).bytes(4).entries(5), 7),
    ]
    .into_iter()
    .enumerate()
    {
        let log = ten(&*stores.store, &format!("log-{i}")).await?;
        stores
            .store
            .commit(Commit::new().trim(log.clone(), keep))
            .await?;
        let info = info(&*stores.other, &log).await?;
        ensure_eq!((info.first, info.bytes), (first, 10 - first), "{keep:?}");
    }
    Ok(())
}

/// Entries older than an age go, by the time of the commit.
pub async fn trimming_by_age(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    for time in [100, 200, 300] {
        let append = Commit::new()
            .append(log.clone(), [time.to_string()])
            .at(at(time));
        stores.store.commit(append).await?;
    }
    for (now, age, first) in [(300, 250, 0), (300, 100, 1), (350, 100, 2), (1000, 0, 3)] {
        let keep = Keep::default().age(Duration::from_millis(age));
        stores
            .store
            .commit(Commit::new().trim(log.clone(), keep).at(at(now)))
            .await?;
        let info = info(&*stores.other, &log).await?;
        ensure_eq!(info.first, first, "nothing older than {age} at {now}");
    }
    let forever = Keep::default().age(Duration::MAX);
    stores
        .store
        .commit(Commit::new().append_within(log.clone(), ["x"], forever))
        .await?;
    ensure_eq!(
        info(&*stores.other, &log).await?.first,
        3,
        "an age without end"
    );
    Ok(())
}

/// An append keeps its log within limits by itself.
pub async fn an_append_trims_in_one_commit(stores: &Stores) -> Outcome {
    let log = RUNS.log("a");
    for i in 0..20_u64 {
        let append = Commit::new().append_within(
            log.clone(),
            [format!("{i:03}")],
            Keep::default().bytes(15),
        );
        let done = stores.store.commit(append).await?;
        ensure_eq!(done.appended[0].first, i, "the position");
    }
    let info = info(&*stores.other, &log).await?;
    ensure_eq!(
        (info.first, info.end, info.bytes),
        (15, 20, 15),
        "the state of the log"
    );
    Ok(())
}

/// A dropped log has no entries; the next append begins another one.
pub async fn a_dropped_log_begins_anew(stores: &Stores) -> Outcome {
    let log = ten(&*stores.store, "a").await?;
    let before = info(&*stores.store, &log).await?;
    stores
        .store
        .commit(Commit::new().drop_log(log.clone()))
        .await?;
    ensure_eq!(stores.other.log_info(&log).await?, None, "the dropped log");
    ensure!(
        read(&*stores.other, &log, 0).await?.is_empty(),
        "a dropped log has entries"
    );
    let done = stores
        .other
        .commit(Commit::new().append_at(log.clone(), 0, ["new"]))
        .await?;
    ensure!(
        done.appended[0].born > before.born,
        "the new log is the old one"
    );
    ensure_eq!(
        read(&*stores.store, &log, 0).await?,
        owned(&[(0, "new")]),
        "the new log"
    );
    Ok(())
}

/// Who drops a log may say where it ends, so that nothing goes that he has not seen.
pub async fn a_log_is_dropped_at_its_end(stores: &Stores) -> Outcome {
    let log = ten(&*stores.store, "a").await?;
    let late = Commit::new().drop_log_at(log.clone(), 9);
    let error = refused(
        stores.store.commit(late).await,
        "dropping a log that has grown",
    )?;
    ensure_eq!(error.kind(), ErrorKind::Conflict, "the kind of error");
    ensure_eq!(
        info(&*stores.other, &log).await?.end,
        10,
        "the end of the log"
    );
    stores
        .store
        .commit(Commit::new().drop_log_at(log.clone(), 10))
        .await?;
    ensure_eq!(stores.other.log_info(&log).await?, None, "the dropped log");
    Ok(())
}

/// Trimming and dropping a log that does not exist is fine.
pub async fn what_is_not_there_is_trimmed_and_dropped_in_peace(stores: &Stores) -> Outcome {
    let commit = Commit::new()
        .drop_log(RUNS.log("a"))
        .trim(RUNS.log("b"), Keep::starting_at(5))
        .drop_blob(RUNS, "c", crate::BlobHash::of(b"x"));
    stores.store.commit(commit).await?;
    ensure!(
        stores.other.logs(RUNS, None, 10).await?.is_empty(),
        "a log came out of nothing"
    );
    Ok(())
}

/// Logs are listed in the order of their keys, page by page; records are not among them.
pub async fn logs_are_listed_by_key(stores: &Stores) -> Outcome {
    made(&*stores.store, "record").await?;
    for key in ["c", "a", "B", "d"] {
        ten(&*stores.store, key).await?;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = stores.other.logs(RUNS, after.as_deref(), 3).await?;
        let Some((last, info)) = page.last().cloned() else {
            break;
        };
        ensure_eq!(
            (info.first, info.end, info.bytes),
            (0, 10, 10),
            "the state of {last}"
        );
        seen.extend(page.iter().map(|(key, _)| key.to_string()));
        after = Some(last.to_string());
    }
    ensure_eq!(seen, ["B", "a", "c", "d"], "the logs");
    ensure!(
        stores.other.logs(TIMERS, None, 3).await?.is_empty(),
        "another table has logs"
    );
    Ok(())
}

/// Thousands of entries go in one commit, and are gone for every reader.
pub async fn long_logs_are_dropped_and_trimmed_at_once(stores: &Stores) -> Outcome {
    const ENTRIES: u64 = 7000;
    let logs = [RUNS.log("trimmed"), RUNS.log("dropped")];
    for log in &logs {
        for chunk in 0..2 {
            let entries = (0..ENTRIES / 2).map(|i| (chunk * ENTRIES / 2 + i).to_string());
            stores
                .store
                .commit(Commit::new().append(log.clone(), entries))
                .await?;
        }
    }
    let commit = Commit::new()
        .trim(logs[0].clone(), Keep::default().entries(2))
        .drop_log(logs[1].clone());
    stores.store.commit(commit).await?;
    let left = owned(&[(6998, "6998"), (6999, "6999")]);
    ensure_eq!(
        read(&*stores.other, &logs[0], 0).await?,
        left,
        "the trimmed log"
    );
    ensure_eq!(info(&*stores.other, &logs[0]).await?.bytes, 8, "its bytes");
    ensure_eq!(
        stores.other.log_info(&logs[1]).await?,
        None,
        "the dropped log"
    );
    let begin = Commit::new()
        .append(logs[1].clone(), ["x"])
        .check(RUNS, "none", Expect::Absent);
    stores.other.commit(begin).await?;
    ensure_eq!(
        read(&*stores.store, &logs[1], 0).await?,
        owned(&[(0, "x")]),
        "the log begun anew"
    );
    ensure_eq!(
        read(&*stores.store, &logs[0], 0).await?,
        left,
        "the trimmed log, later"
    );
    Ok(())
}
