//! Creates the socket in one step: nobody ever sees it with other permissions or before it listens.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, chmod, chown, linkat, unlinkat};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use uuid::Uuid;

use super::path::{Identity, SocketPath};

/// Connections that may wait to be accepted. Node peers expect at least 511.
const BACKLOG: i32 = 1024;

/// A listening socket and the file that it is reached by.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: UnixListener,
    pub(crate) identity: Identity,
}

/// Listens at `path`.
///
/// # Errors
/// `AddrInUse` or `AlreadyExists` when there is a file at the path.
pub(crate) fn bind_new(path: &SocketPath) -> io::Result<Bound> {
    match bind_and_link(path) {
        Err(error) if is_taken(&error) => Err(error),
        Err(_) => bind_in_place(path),
        bound => bound,
    }
}

/// Whether binding failed because there is a file at the path.
pub(crate) fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists
    )
}

/// Binds a temporary name in the same folder, and gives it its real name when it is ready. The folder is reached through
/// its descriptor, so that the temporary name does not count against the length of a path.
fn bind_and_link(path: &SocketPath) -> io::Result<Bound> {
    let folder = File::open(path.directory())?;
    let name = path.socket.file_name().unwrap_or_default();
    let temporary = format!(".{}", Uuid::new_v4().simple());
    let reachable = PathBuf::from(format!("/proc/self/fd/{}/{temporary}", folder.as_raw_fd()));
    let socket = stream_socket()?;
    bind(&socket, &SocketAddrUnix::new(&reachable)?)?;
    let finished = open_to_peers(&socket, &reachable, path).and_then(|()| {
        linkat(&folder, temporary.as_str(), &folder, name, AtFlags::empty())?;
        Ok(())
    });
    let identity = std::fs::symlink_metadata(&reachable).map(|file| Identity::of(&file));
    // It has its real name by now, or is of no use.
    unlinkat(&folder, temporary.as_str(), AtFlags::empty())?;
    finished?;
    Ok(Bound {
        listener: socket.into(),
        identity: identity?,
    })
}

/// Where hard links or the descriptor folder are not to be had.
fn bind_in_place(path: &SocketPath) -> io::Result<Bound> {
    let socket = stream_socket()?;
    bind(&socket, &SocketAddrUnix::new(&path.socket)?)?;
    let finished = open_to_peers(&socket, &path.socket, path)
        .and_then(|()| std::fs::symlink_metadata(&path.socket));
    match finished {
        Ok(metadata) => Ok(Bound {
            listener: socket.into(),
            identity: Identity::of(&metadata),
        }),
        Err(error) => {
            // The bind succeeded, so the file is ours.
            std::fs::remove_file(&path.socket)?;
            Err(error)
        }
    }
}

pub(super) fn stream_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// A socket that does not listen yet refuses everybody, so the mode is right before anyone can connect.
fn open_to_peers(socket: &OwnedFd, file: &Path, path: &SocketPath) -> io::Result<()> {
    if let Some(group) = path.group {
        chown(file, None, Some(Gid::from_raw(group)))?;
    }
    chmod(file, Mode::from_raw_mode(path.socket_mode()))?;
    listen(socket, BACKLOG)?;
    Ok(())
}
