//! The PostgreSQL server.

use std::path::{Path, PathBuf};

use super::apt;
use crate::run::output;

/// Where Debian keeps the programs of every major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Installs `postgresql` where it is missing; `BOWLINE_POSTGRES_BIN` names another folder of programs.
pub(crate) fn install() -> Result<(), String> {
    if std::env::var_os("BOWLINE_POSTGRES_BIN").is_some_and(|folder| !folder.is_empty())
        || is_there()
    {
        return Ok(());
    }
    println!("PostgreSQL is missing; installing it with apt-get");
    apt::install(&["postgresql"])?;
    if is_there() {
        return Ok(());
    }
    Err("no postgres program was found; install PostgreSQL and run this again".to_owned())
}

fn is_there() -> bool {
    output("postgres", &["--version"]).is_some()
        || versions(Path::new(DEBIAN))
            .iter()
            .any(|version| version.join("bin/postgres").is_file())
}

fn versions(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
