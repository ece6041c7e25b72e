//! Which of the commands that are needed the user may send.

use super::needs::Role;
use super::probe::{Probe, unknown};
use crate::wire::{Command, Failure, Reply, ServerError};

/// The commands that are needed, and whether the user may send them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Whether the server was asked about each command (`ACL DRYRUN`). Otherwise each was tried, in a way that changes nothing.
    pub asked: bool,
    /// Each command with its answer.
    pub commands: Vec<Permission>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The name, with its subcommand.
    pub command: &'static str,
    /// What does not work without it.
    pub without: &'static str,
    /// Whether nothing works without it.
    pub is_essential: bool,
    /// Whether it may be sent.
    pub verdict: Verdict,
}

/// Whether a command may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not, and why, in the words of the server.
    Denied(String),
    /// It could not be found out, and why.
    Unknown(String),
}

/// Finds out what `user` may do. Where the server cannot be asked, the connection is of no use afterwards.
pub(super) async fn check(probe: Probe, user: Option<&str>, role: Role<'_>) -> Permissions {
    let key = role.unused_key();
    let asked = match user {
        Some(user) => ask(&probe, user, role, &key).await,
        None => None,
    };
    let (asked, verdicts) = match asked {
        Some(verdicts) => (true, verdicts),
        None => (false, attempt(&probe, role, &key).await),
    };
    let commands = role.needs().iter().zip(verdicts);
    Permissions {
        asked,
        commands: commands
            .map(|(need, verdict)| Permission {
                command: need.name,
                without: need.without,
                is_essential: need.is_essential,
                verdict,
            })
            .collect(),
    }
}

/// Asks the server; `None` where it does not answer such questions.
async fn ask(probe: &Probe, user: &str, role: Role<'_>, key: &str) -> Option<Vec<Verdict>> {
    let questions: Vec<Command> = role
        .needs()
        .iter()
        .map(|need| need.question(user, key))
        .collect();
    let replies = probe.ask_all(&questions).await.ok()?;
    replies.into_iter().map(answer).collect()
}

fn answer(reply: Reply) -> Option<Verdict> {
    match reply {
        Reply::Bulk(text) if &*text == b"OK" => Some(Verdict::Allowed),
        Reply::Bulk(text) => Some(Verdict::Denied(String::from_utf8_lossy(&text).into_owned())),
        Reply::Error(error) if error.message.contains("not found") => {
            Some(Verdict::Denied("the server does not know it".to_owned()))
        }
        _ => None,
    }
}

/// Sends every command to see whether it is refused.
///
/// Inside a transaction, which is then not executed: the server looks at the rights of a command when it is queued. Where there
/// are no transactions each is sent alone, in a form that changes nothing.
async fn attempt(probe: &Probe, role: Role<'_>, key: &str) -> Vec<Verdict> {
    // Before anything is queued, so that nothing can be executed by it.
    let exec = probe.ask(&Command::new("EXEC")).await;
    let multi = probe.ask(&Command::new("MULTI")).await;
    let queued = match multi {
        Ok(_) => Some(queue(probe, role, key).await),
        Err(_) => None,
    };
    let mut verdicts = Vec::new();
    for (position, need) in role.needs().iter().enumerate() {
        let reply = match (need.name, &queued) {
            ("EXEC", _) => exec.clone(),
            ("MULTI", _) => multi.clone(),
            (_, Some(Ok(replies))) => replies[position].clone().into_result(),
            (_, Some(Err(failure))) => Err(failure.clone()),
            (_, None) if need.writes => {
                let why = "it cannot be tried without writing".to_owned();
                verdicts.push(Verdict::Unknown(why));
                continue;
            }
            (_, None) => probe.ask(&need.command(key)).await,
        };
        verdicts.push(verdict(need.name, reply));
    }
    verdicts
}

/// Queues every command, and discards them.
async fn queue(probe: &Probe, role: Role<'_>, key: &str) -> Result<Vec<Reply>, Failure> {
    let commands = role.needs().iter().map(|need| {
        if need.is_transaction() {
            Command::new("PING")
        } else {
            need.command(key)
        }
    });
    let commands: Vec<Command> = commands.chain([Command::new("DISCARD")]).collect();
    // If that is refused, the queue ends with the connection.
    probe.ask_all(&commands).await
}

fn verdict(name: &'static str, reply: Result<Reply, Failure>) -> Verdict {
    match reply {
        Ok(_) => Verdict::Allowed,
        Err(Failure::Server(error)) => judge(&error),
        Err(failure) => Verdict::Unknown(unknown(name, &failure).reason),
    }
}

/// What it means that a command is refused.
fn judge(error: &ServerError) -> Verdict {
    let text = error.to_string();
    // EXEC is refused as EXECABORT ... because of: NOPERM.
    if text.contains("NOPERM") || error.message.starts_with("unknown command") {
        return Verdict::Denied(text);
    }
    // The command itself was accepted; it did not like the key, which is not there, or the moment.
    Verdict::Allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, message: &str) -> ServerError {
        ServerError {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn only_a_refusal_of_the_command_is_a_denial() {
        let denied = [
            refusal(
                "NOPERM",
                "this user has no permissions to run the 'xadd' command",
            ),
            refusal("ERR", "unknown command 'EVAL', with args beginning with:"),
            refusal(
                "EXECABORT",
                "Transaction discarded because of: NOPERM this user has no permissions",
            ),
        ];
        for error in denied {
            assert_eq!(judge(&error), Verdict::Denied(error.to_string()));
        }
        for error in [
            refusal("NOGROUP", "No such key"),
            refusal("ERR", "no such key"),
        ] {
            assert_eq!(judge(&error), Verdict::Allowed);
        }
    }

    #[test]
    fn a_server_that_answers_no_questions_is_told_from_one_that_says_no() {
        let bulk = |text: &'static str| Reply::Bulk(bytes::Bytes::from_static(text.as_bytes()));
        assert_eq!(answer(bulk("OK")), Some(Verdict::Allowed));
        let no = "User u has no permissions to run the 'xadd' command";
        assert_eq!(answer(bulk(no)), Some(Verdict::Denied(no.to_owned())));
        let missing = refusal("ERR", "Command 'xadd' not found");
        assert!(matches!(
            answer(Reply::Error(missing)),
            Some(Verdict::Denied(_))
        ));
        let refused = refusal(
            "NOPERM",
            "this user has no permissions to run the 'acl|dryrun' command",
        );
        assert_eq!(answer(Reply::Error(refused)), None);
    }
}
