//! The facts about the files of a Unix bus: the folder, the socket, the election lock.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bowline_runtime::UnixConfig;
use rustix::fs::{Access, access};

/// What is found at the path of the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Missing,
    Socket(Rights),
    File { bytes: u64 },
    Folder,
    Other,
    Unknown(String),
}

/// Whose a file is, and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) owner: u32,
    pub(crate) group: u32,
    pub(crate) mode: u32,
}

impl Rights {
    fn of(facts: &Metadata) -> Self {
        Self {
            owner: facts.uid(),
            group: facts.gid(),
            mode: facts.mode() & 0o7777,
        }
    }
}

/// What is known of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) rights: Rights,
    pub(crate) is_folder: bool,
    /// Whether this process may make files in it and reach them.
    pub(crate) usable: bool,
}

/// What is known of the place of a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) socket: PathBuf,
    /// The user that asks.
    pub(crate) user: u32,
    /// The folder of the socket, or the nearest one above it that exists.
    pub(crate) folder: Result<Folder, String>,
    pub(crate) entry: Entry,
    /// The age of the election lock, if there is one.
    pub(crate) lock: Option<Duration>,
    /// A group whose members may use the bus too.
    pub(crate) allowed_group: Option<u32>,
    /// A small file in the place of the socket is removed.
    pub(crate) reclaims: bool,
}

impl Place {
    /// Looks at the files around `socket`, changing nothing.
    pub(crate) fn gather(config: &UnixConfig) -> Self {
        let socket = config.path.as_path();
        Self {
            socket: socket.to_owned(),
            user: rustix::process::geteuid().as_raw(),
            folder: folder_of(socket),
            entry: entry_at(socket),
            lock: lock_age(&lock_path(socket)),
            allowed_group: config.allow_group,
            reclaims: config.reclaim_plain_file.unwrap_or(true),
        }
    }
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("/"))
}

pub(crate) fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".elect");
    PathBuf::from(name)
}

fn folder_of(socket: &Path) -> Result<Folder, String> {
    for path in socket.ancestors().skip(1) {
        match path.metadata() {
            Ok(facts) => return Ok(folder(path, &facts)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Err("there is none".to_owned())
}

fn folder(path: &Path, facts: &Metadata) -> Folder {
    Folder {
        path: path.to_owned(),
        rights: Rights::of(facts),
        is_folder: facts.is_dir(),
        usable: access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
    }
}

fn entry_at(socket: &Path) -> Entry {
    let facts = match socket.metadata() {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to nothing is in the way of a socket all the same.
            return match socket.symlink_metadata() {
                Ok(_) => Entry::Other,
                Err(_) => Entry::Missing,
            };
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Entry::Missing,
        Err(error) => return Entry::Unknown(error.to_string()),
    };
    let kind = facts.file_type();
    if kind.is_socket() {
        Entry::Socket(Rights::of(&facts))
    } else if kind.is_file() {
        Entry::File { bytes: facts.len() }
    } else if kind.is_dir() {
        Entry::Folder
    } else {
        Entry::Other
    }
}

fn lock_age(lock: &Path) -> Option<Duration> {
    let changed = lock.symlink_metadata().ok()?.modified().ok()?;
    Some(
        SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default(),
    )
}
