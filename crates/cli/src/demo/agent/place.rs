//! Where the processes of the demo meet: a socket and a SQLite file in one folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_runtime::{Bowline, BowlineBuilder, BusConfig, StoreConfig, UnixConfig};

use crate::outcome::Failure;

/// How long a process may be silent before another one goes on with its runs. Short, so that the demo is.
const LEASE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);
const DRAIN: Duration = Duration::from_millis(500);

/// The folder of a demo.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
}

impl Place {
    pub(super) fn of(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("events.sock")
    }

    fn store(&self) -> PathBuf {
        self.folder.join("demo.db")
    }

    /// Where the tool writes down that it was called.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("calls.log")
    }

    /// How often the tool was called.
    pub(super) fn calls(&self) -> u64 {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().count() as u64
    }

    /// An application on the bus and the store of the demo. The histories of streams are in the store, too.
    pub(super) fn app(&self) -> Result<BowlineBuilder, Failure> {
        let store = StoreConfig::from_url(&format!(
            "sqlite:{}",
            encoded(&self.store().to_string_lossy())
        ))?;
        Ok(Bowline::builder()
            .bus_config(BusConfig::Unix(UnixConfig::new(self.socket())))
            .store_config(store)
            .lease(LEASE)
            .poll(POLL)
            .drain(DRAIN))
    }

    /// Removes what the demo has made. What is not there, somebody else has removed.
    pub(super) fn clear(&self) {
        let store = self.store().into_os_string();
        let beside = ["", "-wal", "-shm"].map(|end| {
            let mut path = store.clone();
            path.push(end);
            PathBuf::from(path)
        });
        for path in beside.iter().chain([&self.log()]) {
            let _ = std::fs::remove_file(path);
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A path as it is written in a URL.
fn encoded(path: &str) -> String {
    path.replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23")
}
