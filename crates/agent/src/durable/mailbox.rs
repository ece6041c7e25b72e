//! What is said to a run while it is under way: kept in the store, read between its rounds, and never lost at its end.
//!
//! The mailbox is a log. Who posts appends at its end, and the run closes it by appending a mark at the end up to which it has
//! read. Both expect an end, so either the letter comes first and is read, or the mark does and the letter is refused.

use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Index, LogName, Record, Store, Table};
use serde::{Deserialize, Serialize};

use super::transcript::Transcript;
use crate::{Data, Error, ErrorKind, Message, Result};

/// Mailboxes, by the id of the run, with which they go; the records say until when they are kept at the longest.
pub(crate) const MAIL: Table = Table::new("agent_mail");

/// Letters that a mailbox takes.
pub(crate) const MAX_LETTERS: u64 = 10_000;
/// How long a closed mailbox is kept at most, where no engine removes the run: longer than all processes are away that may still
/// want what was not read.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Mailboxes that are over and removed by whoever closes one.
const SWEPT: usize = 100;
const PAGE: usize = 100;

/// Something that is said to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter {
    /// The same for every attempt to post it.
    pub(crate) id: Text,
    /// What the model is told.
    pub(crate) message: Message,
    /// What the readers of the stream are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) echo: Option<Data>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Entry {
    Letter(Box<Letter>),
    Closed,
}

/// What is in a mailbox behind what was read.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) letters: Vec<Letter>,
    /// The end of what is read now.
    pub(crate) read: u64,
    pub(crate) closed: bool,
}

fn log(run_id: &str) -> LogName {
    MAIL.log(run_id.to_owned())
}

/// What is in the mailbox of a run from `read` on.
///
/// # Errors
/// `Store`, `Corrupt`.
pub(crate) async fn unread(store: &dyn Store, run_id: &str, read: u64) -> Result<Mail> {
    let log = log(run_id);
    let mut mail = Mail {
        read,
        ..Mail::default()
    };
    loop {
        let page = store.read_log(&log, mail.read, PAGE).await;
        let page = page.map_err(|error| failed("read mail", run_id, error))?;
        if page.entries.is_empty() {
            return Ok(mail);
        }
        for entry in page.entries {
            mail.read = entry.position + 1;
            match serde_json::from_slice(&entry.body) {
                Ok(Entry::Letter(letter)) => mail.letters.push(*letter),
                Ok(Entry::Closed) => mail.closed = true,
                Err(error) => {
                    let message = format!("letter {} cannot be read: {error}", entry.position);
                    return Err(Error::new(ErrorKind::Corrupt, "read mail", message)
                        .with_subject(run_id.to_owned())
                        .with_source(error));
                }
            }
        }
    }
}

/// Closes the mailbox of a run that has read up to `read`. `false` when there is more to read.
///
/// # Errors
/// `Store`.
pub(crate) async fn close(store: &dyn Store, run_id: &str, read: u64) -> Result<bool> {
    sweep(store).await;
    let now = Timestamp::now();
    let until = now.as_millis().saturating_add(KEPT.as_millis() as i64);
    let index = Index::new(now).due(Timestamp::from_millis(until));
    let commit = Commit::new()
        .append_at(log(run_id), read, [write(&Entry::Closed)])
        .put(MAIL, run_id.to_owned(), Expect::Absent, index, "{}");
    match store.commit(commit).await {
        Ok(_) => Ok(true),
        Err(error) if error.conflict().is_some() => Ok(false),
        Err(error) => Err(failed("close mailbox", run_id, error)),
    }
}

/// What a letter meets at a mailbox.
#[derive(Debug)]
pub(crate) enum Posting {
    /// It is there already.
    There,
    /// Nobody reads it any more.
    Closed,
    /// The commit to which it has been added; it posts the letter unless somebody else posts one first.
    Open(Commit),
}

/// Adds to `commit` that a letter is posted to a run.
///
/// # Errors
/// `TooLarge` for a mailbox that is full, `Store`.
pub(crate) async fn posting(
    store: &dyn Store,
    run_id: &str,
    letter: &Letter,
    commit: Commit,
) -> Result<Posting> {
    let mail = unread(store, run_id, 0).await?;
    if mail.letters.iter().any(|there| there.id == letter.id) {
        return Ok(Posting::There);
    }
    if mail.closed {
        return Ok(Posting::Closed);
    }
    if mail.read >= MAX_LETTERS {
        let message =
            format!("its mailbox has {MAX_LETTERS} letters, which is the limit; wait for its end");
        let error = Error::new(ErrorKind::TooLarge, "post", message);
        return Err(error.with_subject(run_id.to_owned()));
    }
    let entry = write(&Entry::Letter(Box::new(letter.clone())));
    Ok(Posting::Open(commit.append_at(
        log(run_id),
        mail.read,
        [entry],
    )))
}

/// Adds to `commit` the first letters of a run that has not begun.
pub(crate) fn opening(run_id: &str, letters: &[Letter], commit: Commit) -> Commit {
    let entries = letters
        .iter()
        .map(|letter| write(&Entry::Letter(Box::new(letter.clone()))));
    commit.append_at(log(run_id), 0, entries)
}

/// Adds to `commit` that the mailbox of a run that never begins is forgotten.
pub(crate) fn forgetting(run_id: &str, commit: Commit) -> Commit {
    commit.drop_log(log(run_id))
}

/// Closes the mailbox of a run that has ended, unless the run did, and returns the letters that it has not read.
/// `read`: how much it has read.
///
/// # Errors
/// `Store`, `Corrupt`.
pub(crate) async fn seal(store: &dyn Store, run_id: &str, read: u64) -> Result<Vec<Letter>> {
    loop {
        let mail = unread(store, run_id, read).await?;
        if mail.closed || close(store, run_id, mail.read).await? {
            return Ok(mail.letters);
        }
    }
}

/// Removes the mailbox of a run that is gone, and that nobody posts to any more. If that fails, it goes later.
pub(crate) async fn remove(store: &dyn Store, run_id: &str) {
    if let Ok(Some(record)) = store.get(MAIL, run_id).await {
        let _ = store.commit(removal(record)).await;
    }
}

fn removal(record: Record) -> Commit {
    Commit::new()
        .drop_log(log(&record.key))
        .delete(MAIL, record.key, record.version)
}

/// How much a run has read, by its `state`.
///
/// # Errors
/// `Corrupt` when it is the state of something else.
pub(crate) fn read_by(state: &Data) -> Result<u64> {
    let transcript = state.parse().and_then(Transcript::of_state);
    match transcript {
        Ok(transcript) => Ok(transcript.read()),
        Err(error) => {
            let message = format!("the state of the run cannot be read: {error}");
            Err(Error::new(ErrorKind::Corrupt, "read mail", message).with_source(error))
        }
    }
}

async fn sweep(store: &dyn Store) {
    let over = store.due(MAIL, Timestamp::now(), SWEPT).await;
    for record in over.unwrap_or_default() {
        // Whoever was faster has removed it.
        let _ = store.commit(removal(record)).await;
    }
}

fn write(entry: &Entry) -> Vec<u8> {
    // Texts, numbers and JSON that was read before: nothing of it can fail to be written.
    serde_json::to_vec(entry).unwrap_or_default()
}

fn failed(operation: &'static str, run_id: &str, error: bowline_store::Error) -> Error {
    Error::new(ErrorKind::Store, operation, error.to_string())
        .with_subject(run_id.to_owned())
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    use bowline_store::MemoryStore;

    use crate::message::{Part, Role};

    fn letter(id: &str) -> Letter {
        Letter {
            id: id.to_owned().into(),
            message: Message::new(Role::User, vec![Part::text(id)]),
            echo: None,
        }
    }

    async fn post(store: &dyn Store, letter: &Letter) -> &'static str {
        match posting(store, "r", letter, Commit::new()).await.unwrap() {
            Posting::There => "there",
            Posting::Closed => "closed",
            Posting::Open(commit) => match store.commit(commit).await {
                Ok(_) => "posted",
                Err(_) => "conflict",
            },
        }
    }

    #[tokio::test]
    async fn a_letter_is_read_or_refused() {
        let store = MemoryStore::new();
        assert_eq!(post(&store, &letter("a")).await, "posted");
        assert!(!close(&store, "r", 0).await.unwrap(), "there is a letter");
        let mail = unread(&store, "r", 0).await.unwrap();
        assert_eq!((mail.letters.len(), mail.read, mail.closed), (1, 1, false));
        assert_eq!(post(&store, &letter("a")).await, "there");
        assert!(close(&store, "r", mail.read).await.unwrap());
        assert_eq!(post(&store, &letter("b")).await, "closed");
        assert_eq!(post(&store, &letter("a")).await, "there", "it was taken");
        let mail = unread(&store, "r", 1).await.unwrap();
        assert!(mail.letters.is_empty() && mail.closed);
    }

    #[tokio::test]
    async fn what_a_run_has_not_read_is_found_at_its_end_whoever_closed() {
        for closed_by_run in [true, false] {
            let store = MemoryStore::new();
            let letters = ["a", "b", "c"].map(letter);
            let first = opening("r", &letters[..2], Commit::new());
            store.commit(first).await.unwrap();
            assert_eq!(post(&store, &letters[2]).await, "posted");
            if closed_by_run {
                assert!(close(&store, "r", 3).await.unwrap());
            }
            for _ in 0..2 {
                let unread = seal(&store, "r", 1).await.unwrap();
                assert_eq!(unread, letters[1..]);
            }
            assert_eq!(post(&store, &letter("d")).await, "closed");
        }
    }
}
