//! A directory for one measurement.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Result;

/// A directory of its own below that of `BENCH_DIR`, or the temporary one. Dropping it removes it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new one, named after the `workload`.
    pub(crate) fn make(workload: &str) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let parent = env::var_os("BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
        let name = format!(
            "bowline-{workload}-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Relaxed)
        );
        let path = parent.join(name);
        fs::create_dir(&path)
            .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that is left behind in the temporary one harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
