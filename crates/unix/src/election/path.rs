//! What may lie at a socket path, and who may use it.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bowline_events::{Error, ErrorKind, Result};

/// Bytes of a socket path at most, so that every peer binds the same name.
pub(crate) const MAX_PATH: usize = 107;

/// A plain file of up to this size in the place of the socket is taken for a leftover; see `reclaim_plain_file`.
pub(crate) const RECLAIMABLE: u64 = 1024;

/// Tells one file from another, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    dev: u64,
    ino: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// What lies at a socket path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Socket(Identity),
    /// A plain file that may be removed.
    Leftover,
}

/// A socket path that was checked, with the rules for using it.
#[derive(Debug, Clone)]
pub(crate) struct SocketPath {
    pub(crate) socket: PathBuf,
    pub(crate) lock: PathBuf,
    /// Besides the own user, members of this group may take part.
    pub(crate) group: Option<u32>,
    pub(crate) reclaim: bool,
    owner: u32,
}

impl SocketPath {
    /// Checks the name only.
    ///
    /// # Errors
    /// `InvalidInput` for an empty path, one that ends in no name, one with a NUL byte, and one over 107 bytes.
    pub(crate) fn new(path: &Path, group: Option<u32>, reclaim: bool) -> Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let refuse = |message: String| Err(invalid(path, message));
        if bytes.len() > MAX_PATH {
            return refuse(format!(
                "the socket path has {} bytes, the limit is {MAX_PATH}; use a shorter directory",
                bytes.len()
            ));
        }
        if path.file_name().is_none() || bytes.ends_with(b"/") {
            return refuse(
                "the socket path names no file; append a file name such as events.sock".to_owned(),
            );
        }
        if bytes.contains(&0) {
            return refuse("the socket path holds a NUL byte; remove it".to_owned());
        }
        let mut lock = path.as_os_str().to_owned();
        lock.push(".elect");
        Ok(Self {
            socket: path.to_owned(),
            lock: lock.into(),
            group,
            reclaim,
            owner: rustix::process::geteuid().as_raw(),
        })
    }

    /// The folder of the socket.
    pub(crate) fn directory(&self) -> &Path {
        match self.socket.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The mode of the socket.
    pub(crate) fn socket_mode(&self) -> u32 {
        if self.group.is_some() { 0o660 } else { 0o600 }
    }

    /// Whether a user may own our files or be our peer.
    pub(crate) fn trusts(&self, uid: u32, gid: u32) -> bool {
        uid == self.owner || uid == 0 || self.group == Some(gid)
    }

    /// Creates the folder where it is missing, for this user alone, and checks whose it is. Modes of existing folders stay.
    pub(crate) fn prepare_directory(&self) -> Result<()> {
        let directory = self.directory();
        if let Err(error) = self.create_directory(directory) {
            return Err(self.io("create the folder of the socket", error));
        }
        let metadata = fs::metadata(directory)
            .map_err(|error| self.io("inspect the folder of the socket", error))?;
        if !metadata.is_dir() {
            let message = format!(
                "{} is not a folder; choose another path",
                directory.display()
            );
            return Err(invalid(&self.socket, message));
        }
        if !self.trusts(metadata.uid(), metadata.gid()) {
            return Err(self.denied(format!(
                "the folder {} belongs to user {}; use a folder of your own",
                directory.display(),
                metadata.uid()
            )));
        }
        Ok(())
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        if let Some(parent) = directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            self.create_directory(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(group) = self.group {
            std::os::unix::fs::chown(directory, None, Some(group))?;
            fs::set_permissions(directory, Permissions::from_mode(0o770))?;
        }
        Ok(())
    }

    /// What lies at the path.
    ///
    /// # Errors
    /// `InvalidInput` for anything that must not be removed, `PermissionDenied` for a socket of somebody else.
    pub(crate) fn inspect(&self) -> Result<Found> {
        let metadata = match fs::metadata(&self.socket) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(self.io("inspect the socket", error)),
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(invalid(
                &self.socket,
                "a folder lies at the socket path; name a file inside it".to_owned(),
            ));
        }
        if !self.trusts(metadata.uid(), metadata.gid()) {
            return Err(self.denied(format!(
                "the file at the socket path belongs to user {}; use a path of your own, or allow a common group",
                metadata.uid()
            )));
        }
        if kind.is_socket() {
            return Ok(Found::Socket(Identity::of(&metadata)));
        }
        let limit = if self.reclaim { RECLAIMABLE } else { 0 };
        if kind.is_file() && metadata.len() <= limit {
            return Ok(Found::Leftover);
        }
        Err(invalid(
            &self.socket,
            format!(
                "a file that is not a socket lies at the socket path ({} bytes; plain files of up to {limit} are reclaimed); move it away or choose another path",
                metadata.len()
            ),
        ))
    }

    /// The identity of the file at the path; `None` when there is none or it cannot be told.
    pub(crate) fn identity(&self) -> Option<Identity> {
        fs::symlink_metadata(&self.socket)
            .ok()
            .map(|metadata| Identity::of(&metadata))
    }

    /// An error of the system about this socket.
    pub(crate) fn io(&self, what: &str, error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            io::ErrorKind::NotADirectory | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::InvalidInput
            }
            _ => ErrorKind::Io,
        };
        let message = format!("cannot {what}: {error}; check the path and its permissions");
        Error::new(kind, "start", message)
            .with_subject(&self.socket.to_string_lossy())
            .with_source(error)
    }

    pub(crate) fn denied(&self, message: String) -> Error {
        Error::new(ErrorKind::PermissionDenied, "start", message)
            .with_subject(&self.socket.to_string_lossy())
    }
}

fn invalid(path: &Path, message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "start", message).with_subject(&path.to_string_lossy())
}
