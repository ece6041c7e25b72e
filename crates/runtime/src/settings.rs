//! Where the configuration comes from, and which source wins.

use std::fmt;
use std::path::{Path, PathBuf};

use bowline_events::{Error, ErrorKind, Result};

use crate::{BusConfig, FileConfig};

/// The environment variable that holds the bus URL.
pub const BUS_VARIABLE: &str = "BOWLINE_BUS";

/// The configuration file that is read from the working folder when none is named.
pub const FILE_NAME: &str = "bowline.toml";

/// The places that a configuration is looked for: a flag beats the environment, which beats the file.
///
/// A file that is there must be right, even where another source decides.
///
/// ```
/// use bowline_runtime::{Origin, Sources};
/// let settings = Sources::new()
///     .flag(Some("memory:"))
///     .environment(Some("unix:///run/app/events.sock"))
///     .load()?;
/// assert_eq!(settings.bus()?.scheme(), "memory");
/// assert_eq!(settings.origin(), Some(&Origin::Flag));
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sources {
    flag: Option<String>,
    environment: Option<String>,
    file: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Sources {
    /// No sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment of this process, and [`FILE_NAME`] in the working folder.
    pub fn of_process() -> Self {
        Self::new()
            .environment(std::env::var(BUS_VARIABLE).ok().as_deref())
            .folder("")
    }

    /// A bus URL from the command line.
    #[must_use]
    pub fn flag(mut self, url: Option<&str>) -> Self {
        self.flag = url.map(str::to_owned);
        self
    }

    /// A bus URL from the environment; empty counts as not set.
    #[must_use]
    pub fn environment(mut self, url: Option<&str>) -> Self {
        self.environment = url.filter(|url| !url.is_empty()).map(str::to_owned);
        self
    }

    /// A configuration file that must exist. [`folder`](Self::folder) is then not looked into.
    #[must_use]
    pub fn file(mut self, path: Option<&Path>) -> Self {
        self.file = path.map(Path::to_owned);
        self
    }

    /// A folder in which [`FILE_NAME`] is read, if it is there.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Reads all sources.
    ///
    /// # Errors
    /// `InvalidInput` for a source that is wrong; the message tells which one.
    pub fn load(self) -> Result<Settings> {
        let (path, file) = self.read_file()?;
        let urls = [
            (Origin::Flag, self.flag),
            (Origin::Environment, self.environment),
        ];
        for (origin, url) in urls {
            if let Some(url) = url {
                let bus = BusConfig::from_url(&url).map_err(|error| origin.blame(&error))?;
                return Ok(Settings {
                    bus: Some((bus, origin)),
                });
            }
        }
        Ok(Settings {
            bus: file.bus.map(|bus| (bus, Origin::File(path))),
        })
    }

    fn read_file(&self) -> Result<(PathBuf, FileConfig)> {
        if let Some(path) = &self.file {
            return Ok((path.clone(), FileConfig::read(path)?));
        }
        let Some(folder) = &self.folder else {
            return Ok(Default::default());
        };
        let path = folder.join(FILE_NAME);
        let config = if path.exists() {
            FileConfig::read(&path)?
        } else {
            FileConfig::default()
        };
        Ok((path, config))
    }
}

/// The source that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable [`BUS_VARIABLE`].
    Environment,
    /// This file.
    File(PathBuf),
}

impl Origin {
    fn blame(&self, error: &Error) -> Error {
        let blamed = Error::new(
            error.kind(),
            error.operation(),
            format!("{} (from {self})", error.message()),
        );
        match error.subject() {
            Some(subject) => blamed.with_subject(subject),
            None => blamed,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("--bus"),
            Self::Environment => f.write_str(BUS_VARIABLE),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The configuration after all sources were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    bus: Option<(BusConfig, Origin)>,
}

impl Settings {
    /// The bus.
    ///
    /// # Errors
    /// `InvalidInput` when no source names one.
    pub fn bus(&self) -> Result<&BusConfig> {
        self.bus.as_ref().map(|(bus, _)| bus).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "bus",
                format!(
                    "no bus is named; pass --bus unix:///absolute/path.sock, set {BUS_VARIABLE}, or write bus = \"...\" \
                     into {FILE_NAME}"
                ),
            )
        })
    }

    /// The source that named the bus, if one did.
    pub fn origin(&self) -> Option<&Origin> {
        self.bus.as_ref().map(|(_, origin)| origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAG: &str = "unix:///flag";
    const ENVIRONMENT: &str = "unix:///environment";

    fn folder_with(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        folder
    }

    #[test]
    fn a_flag_beats_the_environment_and_the_environment_the_file() {
        let folder = folder_with("bus = \"unix:///file\"");
        let table = [
            (Some(FLAG), Some(ENVIRONMENT), FLAG),
            (Some(FLAG), None, FLAG),
            (None, Some(ENVIRONMENT), ENVIRONMENT),
            (None, Some(""), "unix:///file"),
            (None, None, "unix:///file"),
        ];
        for (flag, environment, expected) in table {
            let settings = Sources::new()
                .flag(flag)
                .environment(environment)
                .folder(folder.path())
                .load()
                .unwrap();
            assert_eq!(settings.bus().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_named_file_takes_the_place_of_the_one_in_the_folder() {
        let folder = folder_with("bus = \"memory:\"");
        let other = folder.path().join("other.toml");
        std::fs::write(&other, "bus = \"unix:///other\"").unwrap();
        let sources = Sources::new().folder(folder.path()).file(Some(&other));
        let settings = sources.clone().load().unwrap();
        assert_eq!(settings.bus().unwrap().to_string(), "unix:///other");
        assert_eq!(settings.origin(), Some(&Origin::File(other.clone())));

        std::fs::remove_file(&other).unwrap();
        assert!(
            sources
                .load()
                .unwrap_err()
                .to_string()
                .contains("other.toml")
        );
    }

    #[test]
    fn a_wrong_source_is_named() {
        let broken = folder_with("bus = \"unx:///a\"");
        let fine = folder_with("");
        let table = [
            (Some("unx:///a"), None, &fine, "--bus"),
            (None, Some("unx:///a"), &fine, BUS_VARIABLE),
            (None, None, &broken, FILE_NAME),
            (Some(FLAG), None, &broken, FILE_NAME),
            (None, None, &fine, "no bus is named"),
        ];
        for (flag, environment, folder, part) in table {
            let error = Sources::new()
                .flag(flag)
                .environment(environment)
                .folder(folder.path())
                .load()
                .and_then(|settings| settings.bus().cloned())
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
