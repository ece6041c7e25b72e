//! Who is the broker: whoever binds the socket. Others connect to it; a socket that nobody serves is replaced under a lock.

mod bind;
mod lock;
mod path;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use bowline_events::{Error, ErrorKind, Result};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, connect, sockopt};

pub(crate) use bind::Bound;
use bind::{bind_new, is_taken, stream_socket};
use lock::ElectionLock;
pub(crate) use path::{Found, SocketPath};

/// What one attempt to take part came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Broker(Bound),
    Client(UnixStream),
    /// Somebody else is just doing something about it; try again in a few milliseconds.
    Busy,
}

enum Dial {
    Connected(UnixStream),
    /// Nobody listens at the path.
    NoBroker,
    /// Somebody listens but is too busy to accept.
    Busy,
}

/// Tries once to become broker or client. Nothing blocks but the file system.
///
/// # Errors
/// `InvalidInput` and `PermissionDenied` will not go away by trying again.
pub(crate) fn attempt(path: &SocketPath) -> Result<Outcome> {
    path.prepare_directory()?;
    match path.inspect()? {
        Found::Nothing => match bind_new(path) {
            Ok(bound) => return Ok(Outcome::Broker(bound)),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(path.io("bind the socket", error)),
        },
        Found::Socket(_) => {}
        Found::Leftover => return elect(path),
    }
    match dial(path)? {
        Dial::Connected(stream) => Ok(Outcome::Client(stream)),
        Dial::Busy => Ok(Outcome::Busy),
        Dial::NoBroker => elect(path),
    }
}

/// Under the lock nobody else removes or replaces the socket, so a second refusal proves that nobody serves it.
fn elect(path: &SocketPath) -> Result<Outcome> {
    let lock = ElectionLock::try_take(&path.lock)
        .map_err(|error| path.io("take the election lock", error))?;
    let Some(_lock) = lock else {
        return Ok(Outcome::Busy);
    };
    if path.inspect()? != Found::Leftover {
        match dial(path)? {
            Dial::Connected(stream) => return Ok(Outcome::Client(stream)),
            Dial::Busy => return Ok(Outcome::Busy),
            Dial::NoBroker => {}
        }
    }
    match std::fs::remove_file(&path.socket) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(path.io("remove the stale socket", error)),
    }
    match bind_new(path) {
        Ok(bound) => Ok(Outcome::Broker(bound)),
        Err(error) if is_taken(&error) => Ok(Outcome::Busy),
        Err(error) => Err(path.io("bind the socket", error)),
    }
}

fn dial(path: &SocketPath) -> Result<Dial> {
    let failed = |error: Errno| path.io("connect to the socket", error.into());
    let socket = stream_socket().map_err(|error| path.io("make a socket", error))?;
    let address = SocketAddrUnix::new(&path.socket).map_err(failed)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::CONNREFUSED | Errno::NOENT | Errno::NOTSOCK) => return Ok(Dial::NoBroker),
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Dial::Busy),
        Err(error) => return Err(failed(error)),
    }
    check_peer(path, &socket)?;
    Ok(Dial::Connected(socket.into()))
}

/// Whether the process on the other side is one that may take part.
///
/// # Errors
/// `PermissionDenied` for a process of another user.
pub(crate) fn check_peer(path: &SocketPath, socket: impl AsFd) -> Result<()> {
    let peer = sockopt::socket_peercred(socket)
        .map_err(|error| path.io("identify the peer", error.into()))?;
    if path.trusts(peer.uid.as_raw(), peer.gid.as_raw()) {
        return Ok(());
    }
    Err(path.denied(format!(
        "the peer is a process of user {}; run both as one user, or allow a common group",
        peer.uid.as_raw()
    )))
}

/// How the socket of a broker is doing.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It is at its path.
    Fine,
    /// It was gone, or lay under a file that nobody serves; this one takes its place.
    Restored(Bound),
    /// Another broker is at the path.
    Replaced,
    /// Somebody is just working on it; look again soon.
    Unclear,
}

/// Looks whether `bound` is still what peers find at the path, and puts it back where it is not.
pub(crate) fn review(path: &SocketPath, bound: &Bound) -> Result<Standing> {
    if path.identity() == Some(bound.identity) {
        return Ok(Standing::Fine);
    }
    Ok(match attempt(path)? {
        Outcome::Broker(bound) => Standing::Restored(bound),
        Outcome::Client(_) => Standing::Replaced,
        Outcome::Busy => Standing::Unclear,
    })
}

/// Removes the socket if it is still ours; under the lock where that can be had, so that no successor is hit.
pub(crate) fn remove_own(path: &SocketPath, bound: &Bound) {
    let lock = ElectionLock::try_take(&path.lock);
    if path.identity() == Some(bound.identity)
        && let Err(error) = std::fs::remove_file(&path.socket)
    {
        tracing::warn!(socket = %path.socket.display(), %error, "the socket file could not be removed");
    }
    drop(lock);
}

/// Whether trying again cannot help.
pub(crate) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::PermissionDenied | ErrorKind::Unsupported
    )
}
