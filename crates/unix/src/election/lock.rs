//! The lock under which a stale socket is replaced: an empty file that whoever creates it holds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::path::Identity;

/// A lock that is older than this was left by a process that died.
const STALE_AFTER: Duration = Duration::from_secs(2);

/// The lock, released when dropped. Hold it for a few milliseconds and never across an await.
#[derive(Debug)]
pub(crate) struct ElectionLock {
    path: PathBuf,
    file: File,
}

impl ElectionLock {
    /// Takes the lock; `None` when somebody else holds it, or when a stale one was just removed: try again soon.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match created {
            Ok(file) => Ok(Some(Self {
                path: path.to_owned(),
                file,
            })),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if is_stale(path)? {
                    remove_stale(path)?;
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for ElectionLock {
    fn drop(&mut self) {
        let own = self.file.metadata().map(|own| Identity::of(&own)).ok();
        let present = fs::symlink_metadata(&self.path)
            .map(|file| Identity::of(&file))
            .ok();
        if own.is_some() && own == present {
            // Nobody is left to hear of a failure; the lock then counts as stale after two seconds.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the lock is there and old. A lock that vanished is not stale: it was released.
fn is_stale(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(is_old(metadata.modified()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A time in the future counts by its distance too, or a clock that was set back would block elections.
fn is_old(modified: SystemTime) -> bool {
    let age = SystemTime::now().duration_since(modified);
    age.unwrap_or_else(|error| error.duration()) > STALE_AFTER
}

/// Moves the stale lock aside before judging it finally: meanwhile somebody may have put a fresh one in its place, which
/// then goes back.
fn remove_stale(path: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", Uuid::new_v4().simple()));
    let aside = PathBuf::from(aside);
    match fs::rename(path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    if !is_stale(&aside)? {
        match fs::hard_link(&aside, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    fs::remove_file(&aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path, age: Duration) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn one_holder_at_a_time_and_nothing_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.elect");
        let held = ElectionLock::try_take(&path).unwrap();
        assert!(held.is_some());
        assert!(ElectionLock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(ElectionLock::try_take(&path).unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_an_old_lock_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.elect");
        fs::write(&path, "").unwrap();
        age(&path, Duration::from_secs(1));
        assert!(ElectionLock::try_take(&path).unwrap().is_none());
        assert!(path.exists());
        age(&path, Duration::from_secs(3));
        assert!(ElectionLock::try_take(&path).unwrap().is_none());
        assert!(!path.exists());
        assert!(ElectionLock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_that_was_broken_and_taken_by_another_is_not_released_by_the_first_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.elect");
        let first = ElectionLock::try_take(&path).unwrap();
        let aside = folder.path().join("aside");
        fs::rename(&path, aside).unwrap();
        let second = ElectionLock::try_take(&path).unwrap();
        assert!(second.is_some());
        drop(first);
        assert!(path.exists());
    }
}
