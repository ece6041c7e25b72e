//! The Valkey server, unpacked below `target` rather than installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{apt, sources};
use crate::run::{command, output, root, run};

/// The server, and the package that holds its program.
const PACKAGES: [&str; 2] = ["valkey-server", "valkey-tools"];

/// A Valkey server that can be run: the one that `BOWLINE_VALKEY_SERVER` names, the installed one, or that of Debian or its
/// backports.
pub(crate) fn install() -> Result<PathBuf, String> {
    if let Some(server) = std::env::var_os("BOWLINE_VALKEY_SERVER").filter(|it| !it.is_empty()) {
        let server = PathBuf::from(server);
        return match runs(&server) {
            true => Ok(server),
            false => Err(format!("{} cannot be run", server.display())),
        };
    }
    if let Some(server) = output("sh", &["-c", "command -v valkey-server"]) {
        return Ok(server.into());
    }
    let folder = root().join("target").join("valkey");
    let server = folder.join("root/usr/bin/valkey-server");
    if !runs(&server) {
        println!("valkey-server is missing; unpacking it into target/valkey");
        unpack(&folder)?;
        if !runs(&server) {
            install_libraries(&folder)?;
        }
    }
    match runs(&server) {
        true => Ok(server),
        false => Err("the valkey-server of Debian cannot be run here".into()),
    }
}

fn runs(server: &Path) -> bool {
    output(&server.to_string_lossy(), &["--version"]).is_some()
}

/// Fetches the packages with lists and caches of their own, so that the system stays as it is.
fn unpack(folder: &Path) -> Result<(), String> {
    let list = sources::with_backports(&configured_sources(), &suite()?)
        .ok_or("no source of Debian packages is configured")?;
    // What an interrupted attempt left.
    let _ = fs::remove_dir_all(folder);
    for name in ["lists/partial", "cache/archives/partial", "root"] {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let file = folder.join("sources.list");
    fs::write(&file, list).map_err(|error| format!("{}: {error}", file.display()))?;
    run(private_apt(folder, &["update"]))?;
    run(private_apt(
        folder,
        &[&["download"], &PACKAGES[..]].concat(),
    ))?;
    for package in packages(folder)? {
        let archive = package.to_string_lossy();
        let target = folder.join("root");
        run(command(
            "dpkg-deb",
            &["-x", &archive, &target.to_string_lossy()],
        ))?;
    }
    Ok(())
}

fn private_apt(folder: &Path, arguments: &[&str]) -> Command {
    let mut apt = command("apt-get", &["--quiet"]);
    for (option, value) in [
        ("Dir::Etc::sourcelist", folder.join("sources.list")),
        ("Dir::Etc::sourceparts", "-".into()),
        ("Dir::State::lists", folder.join("lists")),
        ("Dir::Cache", folder.join("cache")),
        // The folder may lie where only its owner reads.
        ("APT::Sandbox::User", "root".into()),
    ] {
        apt.arg("-o").arg(format!("{option}={}", value.display()));
    }
    apt.args(arguments).current_dir(folder);
    apt
}

/// The fetched archives.
fn packages(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect())
}

/// Installs the libraries that the unpacked program needs.
fn install_libraries(folder: &Path) -> Result<(), String> {
    let mut depends = String::new();
    for package in packages(folder)? {
        let field = output("dpkg-deb", &["-f", &package.to_string_lossy(), "Depends"]);
        depends.push_str(&field.unwrap_or_default());
        depends.push(',');
    }
    apt::install(&libraries(&depends))
}

/// The names of the libraries in `Depends: a (>= 1), liba | libb, libc:any`.
fn libraries(depends: &str) -> Vec<&str> {
    depends
        .split(',')
        .filter_map(|one| one.split(['|', '(', ':']).next())
        .map(str::trim)
        .filter(|name| name.starts_with("lib"))
        .collect()
}

/// The code name of this Debian.
fn suite() -> Result<String, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
    };
    match (field("ID").as_deref(), field("VERSION_CODENAME")) {
        (Some("debian"), Some(suite)) => Ok(suite),
        _ => Err(
            "it is not installed, and this system is not Debian, whose package could be unpacked"
                .into(),
        ),
    }
}

/// Every source list of this machine.
fn configured_sources() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.extend(paths.filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "list" || extension == "sources")
        }));
    }
    let texts: Vec<String> = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .collect();
    texts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn libraries_are_told_from_other_packages() {
        assert_eq!(
            libraries("adduser, libc6 (>= 2.34), libssl3:any, libx | liby, valkey-tools (= 8)"),
            ["libc6", "libssl3", "libx"]
        );
    }
}
