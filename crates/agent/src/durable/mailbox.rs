//! What is said to a run while it is under way: kept in the store, read between its rounds, and never lost at its end.
//!
//! The mailbox is a log. Who posts appends at its end, and the run closes it by appending a mark at the end up to which it has
//! read. Both expect an end, so either the letter comes first and is read, or the mark does and the letter is refused.

use std::time::Duration;

use bowline_events::{Text, Timestamp};
use bowline_store::{Commit, Expect, Index, LogName, Store, Table};
use serde::{Deserialize, Serialize};

use crate::{Data, Error, ErrorKind, Message, Result};

/// Mailboxes, by the id of the run; the records say until when they are kept.
const MAIL: Table = Table::new("agent_mail");

/// Letters that a mailbox takes.
pub(crate) const MAX_LETTERS: u64 = 10_000;
/// How long a closed mailbox is kept.
const KEPT: Duration = Duration::from_secs(60 * 60);
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
    Letter(Letter),
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
                Ok(Entry::Letter(letter)) => mail.letters.push(letter),
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

/// Posts a letter to a run. `false` when its mailbox is closed. Posting a letter again that is there does nothing.
///
/// # Errors
/// `TooLarge` for a mailbox that is full, `Store`.
pub(crate) async fn post(store: &dyn Store, run_id: &str, letter: &Letter) -> Result<bool> {
    let entry = write(&Entry::Letter(letter.clone()));
    let mut seen = Mail::default();
    loop {
        let new = unread(store, run_id, seen.read).await?;
        if new.letters.iter().any(|there| there.id == letter.id) {
            return Ok(true);
        }
        if new.closed {
            return Ok(false);
        }
        if new.read >= MAX_LETTERS {
            let message = format!(
                "its mailbox has {MAX_LETTERS} letters, which is the limit; wait for its end"
            );
            return Err(
                Error::new(ErrorKind::TooLarge, "post", message).with_subject(run_id.to_owned())
            );
        }
        seen.read = new.read;
        let commit = Commit::new().append_at(log(run_id), seen.read, [entry.clone()]);
        match store.commit(commit).await {
            Ok(_) => return Ok(true),
            Err(error) if error.conflict().is_some() => {}
            Err(error) => return Err(failed("post", run_id, error)),
        }
    }
}

async fn sweep(store: &dyn Store) {
    let over = store.due(MAIL, Timestamp::now(), SWEPT).await;
    for record in over.unwrap_or_default() {
        let gone =
            Commit::new()
                .drop_log(log(&record.key))
                .delete(MAIL, record.key, record.version);
        // Whoever was faster has removed it.
        let _ = store.commit(gone).await;
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

    #[tokio::test]
    async fn a_letter_is_read_or_refused() {
        let store = MemoryStore::new();
        assert!(post(&store, "r", &letter("a")).await.unwrap());
        assert!(!close(&store, "r", 0).await.unwrap(), "there is a letter");
        let mail = unread(&store, "r", 0).await.unwrap();
        assert_eq!((mail.letters.len(), mail.read, mail.closed), (1, 1, false));
        assert!(post(&store, "r", &letter("a")).await.unwrap(), "again");
        assert!(close(&store, "r", mail.read).await.unwrap());
        assert!(!post(&store, "r", &letter("b")).await.unwrap());
        assert!(
            post(&store, "r", &letter("a")).await.unwrap(),
            "it was taken"
        );
        let mail = unread(&store, "r", 1).await.unwrap();
        assert!(mail.letters.is_empty() && mail.closed);
    }
}
