//! Who plays the roles of the measurements with several processes.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use crate::Result;

/// The commands that start the roles.
#[derive(Debug, Clone)]
pub(crate) struct Roles {
    pub(crate) broker: Vec<OsString>,
    pub(crate) publisher: Vec<OsString>,
    pub(crate) subscriber: Vec<OsString>,
}

/// The Node role, from the root of the repository.
const NODE_ROLE: &str = "bench/node/role.mjs";

impl Roles {
    /// `choice` is a list such as `broker=node,publisher=rust`; what it does not name is decided by the environment, and
    /// otherwise played by `program`.
    pub(crate) fn choose(choice: &str, program: &[OsString]) -> Result<Self> {
        let mut own = program.to_vec();
        own.push("--role".into());
        let mut chosen = Vec::new();
        for part in choice.split(',').filter(|part| !part.is_empty()) {
            let (role, implementation) = part.split_once('=').unwrap_or((part, ""));
            if !["broker", "publisher", "subscriber"].contains(&role) {
                return Err(format!(
                    "there is no role {role:?}; the roles are broker, publisher and subscriber"
                )
                .into());
            }
            let command = match implementation {
                "rust" => own.clone(),
                "node" => node_role()?,
                other => {
                    return Err(
                        format!("{role} cannot be played by {other:?}; use rust or node").into(),
                    );
                }
            };
            chosen.push((role, command));
        }
        let command = |name: &str| match chosen.iter().find(|(role, _)| *role == name) {
            Some((_, command)) => Ok(command.clone()),
            None => from_env(name).unwrap_or_else(|| Ok(own.clone())),
        };
        Ok(Self {
            broker: command("broker")?,
            publisher: command("publisher")?,
            subscriber: command("subscriber")?,
        })
    }
}

fn node_role() -> Result<Vec<OsString>> {
    if Path::new(NODE_ROLE).exists() {
        Ok(vec!["node".into(), NODE_ROLE.into()])
    } else {
        Err(format!("{NODE_ROLE} is not here; start from the root of the repository").into())
    }
}

fn from_env(role: &str) -> Option<Result<Vec<OsString>>> {
    let name = format!("BENCH_ROLE_{}", role.to_uppercase());
    let text = env::var(&name).ok()?;
    let command = serde_json::from_str::<Vec<String>>(&text)
        .map(|command| command.into_iter().map(OsString::from).collect())
        .map_err(|error| {
            format!("{name} is no JSON array of program and arguments: {error}").into()
        });
    Some(command)
}
