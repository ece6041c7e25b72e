//! What the tests need beside a Rust toolchain.

mod apt;
mod node;
mod postgres;
mod redis;
mod sources;
mod valkey;

use std::path::PathBuf;
use std::process::Command;

/// Which components are there.
#[derive(Debug)]
pub(crate) struct Components {
    /// Why the tests with real Node peers cannot run.
    pub(crate) no_node: Option<String>,
    /// Why the tests on a real Redis server cannot run.
    pub(crate) no_redis: Option<String>,
    /// Why the tests on a real PostgreSQL server cannot run.
    pub(crate) no_postgres: Option<String>,
    /// The Valkey server, or why there is none; its tests are those of Redis over again.
    pub(crate) valkey: Result<PathBuf, String>,
}

/// Installs what is missing and may be installed.
pub(crate) fn components() -> Result<Components, String> {
    Ok(Components {
        no_node: required("the Node peers are", node::install())?,
        no_redis: required("redis-server is", redis::install())?,
        no_postgres: required("PostgreSQL is", postgres::install())?,
        valkey: valkey::install(),
    })
}

/// Why something is missing, which is a failure in CI.
fn required(what: &str, installed: Result<(), String>) -> Result<Option<String>, String> {
    match installed {
        Ok(()) => Ok(None),
        Err(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            Err(format!("{what} missing: {reason}"))
        }
        Err(reason) => Ok(Some(reason)),
    }
}

impl Components {
    /// Tells the tests that `command` runs what they have to do without.
    pub(crate) fn tell(&self, command: &mut Command) {
        if self.no_node.is_some() {
            command.env("BOWLINE_SKIP_NODE", "1");
        }
        if self.no_redis.is_some() {
            command.env("BOWLINE_SKIP_REDIS", "1");
        }
        if self.no_postgres.is_some() {
            command.env("BOWLINE_SKIP_POSTGRES", "1");
        }
        match &self.valkey {
            Ok(server) => command.env("BOWLINE_VALKEY_SERVER", server),
            Err(_) => command.env_remove("BOWLINE_VALKEY_SERVER"),
        };
    }

    /// What was left out and why, one line each.
    pub(crate) fn skipped(&self) -> Vec<String> {
        [
            ("all tests with real Node peers", self.no_node.as_ref()),
            ("all tests on a real Redis server", self.no_redis.as_ref()),
            (
                "all tests on a real PostgreSQL server",
                self.no_postgres.as_ref(),
            ),
            ("the tests on Valkey", self.valkey.as_ref().err()),
        ]
        .into_iter()
        .filter_map(|(tests, reason)| Some(format!("{tests}, because {}", reason?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Components;

    #[test]
    fn the_tests_are_told_what_is_reported_as_skipped() {
        let mut command = Command::new("cargo");
        let mut components = Components {
            no_node: None,
            no_redis: None,
            no_postgres: None,
            valkey: Ok("/usr/bin/valkey-server".into()),
        };
        components.tell(&mut command);
        let told: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        assert_eq!(told, ["BOWLINE_VALKEY_SERVER"]);
        assert!(components.skipped().is_empty());
        components.no_redis = Some("it is not to be had".into());
        components.tell(&mut command);
        assert!(
            command
                .get_envs()
                .any(|(name, _)| name == "BOWLINE_SKIP_REDIS")
        );
        assert_eq!(
            components.skipped(),
            ["all tests on a real Redis server, because it is not to be had"]
        );
    }
}
