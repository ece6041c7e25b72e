//! The Redis server.

use std::path::Path;

use super::apt;
use crate::run::{command, output, run};

/// The oldest Redis that tells the number of entries ever added to a stream.
const REDIS_MAJOR: u32 = 7;

/// Installs `redis-server` where it is missing; `BOWLINE_REDIS_SERVER` names another program.
pub(crate) fn install() -> Result<(), String> {
    let program = std::env::var("BOWLINE_REDIS_SERVER").unwrap_or_default();
    if !program.is_empty() {
        return new_enough(&program);
    }
    if output("redis-server", &["--version"]).is_none() {
        println!("redis-server is missing; installing it with apt-get");
        apt::install(&["redis-server"])?;
        stop_service()?;
    }
    new_enough("redis-server")
}

/// Stops the service that the package has started nevertheless: the tests start servers of their own.
fn stop_service() -> Result<(), String> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    let arguments = ["disable", "--now", "redis-server.service"];
    if output("id", &["-u"]).is_some_and(|id| id != "0") {
        let sudo = [&["--non-interactive", "systemctl"], &arguments[..]].concat();
        return run(command("sudo", &sudo));
    }
    run(command("systemctl", &arguments))
}

fn new_enough(program: &str) -> Result<(), String> {
    let found = output(program, &["--version"])
        .ok_or_else(|| format!("{program} cannot be run; install it and run this again"))?;
    match major(&found) {
        Some(major) if major >= REDIS_MAJOR => Ok(()),
        _ => Err(format!(
            "Redis {REDIS_MAJOR} or newer is needed, found {found:?}; name one in BOWLINE_REDIS_SERVER"
        )),
    }
}

/// The 7 of `Redis server v=7.0.15 sha=...`; Valkey prints the same form.
fn major(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("v=")?;
    number.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            major("Redis server v=7.0.15 sha=00000000:0 bits=64"),
            Some(7)
        );
        assert_eq!(major("Valkey server v=8.0.1 sha=00000000:0"), Some(8));
        assert_eq!(major("no server at all"), None);
    }
}
