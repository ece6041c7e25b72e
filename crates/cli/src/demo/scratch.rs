//! The scratch folder of the demo.

use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bowline_events::EventId;

use crate::outcome::Failure;

/// Bytes that a folder may have so that the socket in it can be bound.
const FOLDER_LIMIT: usize = 80;

/// A private folder that is removed with what is in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes the folder, for this user alone.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut name = format!("bowline-demo-{}", EventId::random());
        name.truncate("bowline-demo-".len() + 8);
        let mut folder = std::env::temp_dir().join(&name);
        if folder.as_os_str().as_bytes().len() > FOLDER_LIMIT {
            folder = Path::new("/tmp").join(&name);
        }
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| {
            Failure::failed(format!(
                "the scratch folder {} cannot be made: {error}; set TMPDIR to a folder of yours",
                folder.display()
            ))
        })?;
        Ok(Self { folder })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Where the bus of the demo is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("events.sock")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!(
                "bowline: the scratch folder {} is left behind: {error}; remove it",
                self.folder.display()
            );
        }
    }
}
