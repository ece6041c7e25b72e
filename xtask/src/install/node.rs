//! Node.js and the pinned packages of the reference.

use std::fs;
use std::path::Path;

use super::apt;
use crate::run::{command, output, root, run};

/// The oldest Node.js that the packages of the reference were measured on.
const NODE_MAJOR: u32 = 20;

/// Installs Node.js and the packages where they are missing.
pub(crate) fn install() -> Result<(), String> {
    node()?;
    packages()
}

fn node() -> Result<(), String> {
    if node_is_new_enough() {
        return Ok(());
    }
    println!("Node.js {NODE_MAJOR} or newer is missing; installing it with apt-get");
    apt::install(&["nodejs", "npm"])?;
    if node_is_new_enough() {
        return Ok(());
    }
    let found = output("node", &["--version"]).unwrap_or_else(|| "none".into());
    Err(format!(
        "Node.js {NODE_MAJOR} or newer is needed, found {found}; install it and run this again"
    ))
}

fn node_is_new_enough() -> bool {
    let version = output("node", &["--version"]);
    let major = version.as_deref().and_then(|text| {
        text.trim_start_matches('v')
            .split('.')
            .next()?
            .parse::<u32>()
            .ok()
    });
    major.is_some_and(|major| major >= NODE_MAJOR) && output("npm", &["--version"]).is_some()
}

/// `npm ci` where the installed packages are not those of the lock file.
fn packages() -> Result<(), String> {
    let folder = root().join("interop");
    let lock = fs::read(folder.join("package-lock.json"))
        .map_err(|error| format!("interop/package-lock.json: {error}"))?;
    let stamp = folder.join("node_modules").join(".bowline-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut install = command(
        "npm",
        &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
    );
    install.current_dir(&folder);
    run(install)?;
    write(&stamp, &lock)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
