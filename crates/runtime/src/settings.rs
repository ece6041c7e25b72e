//! Where the configuration comes from, and which source wins.

use std::fmt;
use std::path::{Path, PathBuf};

use bowline_events::{Error, ErrorKind, Result};

use crate::{AgentConfigs, BusConfig, CacheConfig, FileConfig, Secret, StoreConfig, redact_url};

/// The environment variable that holds the bus URL.
pub const BUS_VARIABLE: &str = "BOWLINE_BUS";

/// The environment variable that holds the cache URL.
pub const CACHE_VARIABLE: &str = "BOWLINE_CACHE";

/// The environment variable that holds the store URL.
pub const STORE_VARIABLE: &str = "BOWLINE_STORE";

/// The environment variable that holds the token of an `upstash://` cache whose URL has none. It is the one that programs of
/// Upstash use.
pub const TOKEN_VARIABLE: &str = "UPSTASH_REDIS_REST_TOKEN";

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
/// assert_eq!(settings.origin(), Some(&Origin::Flag("--bus")));
/// assert_eq!(settings.cache(), None);
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Sources {
    bus: Urls,
    cache: Urls,
    store: Urls,
    token: Option<Secret>,
    file: Option<PathBuf>,
    folder: Option<PathBuf>,
}

/// The URLs of one thing, as its sources have them.
#[derive(Clone, Default)]
struct Urls {
    flag: Option<String>,
    environment: Option<String>,
}

impl Urls {
    /// The URL that decides, read by `read`.
    fn load<T>(
        self,
        flag: &'static str,
        variable: &'static str,
        read: impl Fn(&str) -> Result<T>,
    ) -> Result<Option<(T, Origin)>> {
        let (url, origin) = match (self.flag, self.environment) {
            (Some(url), _) => (url, Origin::Flag(flag)),
            (None, Some(url)) => (url, Origin::Environment(variable)),
            (None, None) => return Ok(None),
        };
        match read(&url) {
            Ok(value) => Ok(Some((value, origin))),
            Err(error) => Err(origin.blame(&error)),
        }
    }
}

impl Sources {
    /// No sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment of this process, and [`FILE_NAME`] in the working folder.
    pub fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self::new()
            .environment(variable(BUS_VARIABLE).as_deref())
            .cache_environment(variable(CACHE_VARIABLE).as_deref())
            .store_environment(variable(STORE_VARIABLE).as_deref())
            .upstash_token(variable(TOKEN_VARIABLE).as_deref())
            .folder("")
    }

    /// A bus URL from the command line.
    #[must_use]
    pub fn flag(mut self, url: Option<&str>) -> Self {
        self.bus.flag = url.map(str::to_owned);
        self
    }

    /// A bus URL from the environment; empty counts as not set.
    #[must_use]
    pub fn environment(mut self, url: Option<&str>) -> Self {
        self.bus.environment = not_empty(url);
        self
    }

    /// A cache URL from the command line.
    #[must_use]
    pub fn cache_flag(mut self, url: Option<&str>) -> Self {
        self.cache.flag = url.map(str::to_owned);
        self
    }

    /// A cache URL from the environment; empty counts as not set.
    #[must_use]
    pub fn cache_environment(mut self, url: Option<&str>) -> Self {
        self.cache.environment = not_empty(url);
        self
    }

    /// A store URL from the command line.
    #[must_use]
    pub fn store_flag(mut self, url: Option<&str>) -> Self {
        self.store.flag = url.map(str::to_owned);
        self
    }

    /// A store URL from the environment; empty counts as not set.
    #[must_use]
    pub fn store_environment(mut self, url: Option<&str>) -> Self {
        self.store.environment = not_empty(url);
        self
    }

    /// The token of an `upstash://` cache whose URL has none; empty counts as not set.
    #[must_use]
    pub fn upstash_token(mut self, token: Option<&str>) -> Self {
        self.token = not_empty(token).map(Secret::new);
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
        let of_file = || Origin::File(path.clone());
        let bus = self.bus.load("--bus", BUS_VARIABLE, BusConfig::from_url)?;
        let cache = self
            .cache
            .load("--cache", CACHE_VARIABLE, CacheConfig::from_url)?
            .or_else(|| Some((file.cache?, of_file())));
        let store = self
            .store
            .load("--store", STORE_VARIABLE, StoreConfig::from_url)?
            .or_else(|| Some((file.store?, of_file())));
        Ok(Settings {
            bus: bus.or_else(|| Some((file.bus?, of_file()))),
            cache: cache.map(|(cache, origin)| (cache.or_token(self.token.as_ref()), origin)),
            store,
            agents: file.agents,
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

fn not_empty(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// URLs that were not read yet may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("bus", &self.bus)
            .field("cache", &self.cache)
            .field("store", &self.store)
            .field("token", &self.token)
            .field("file", &self.file)
            .field("folder", &self.folder)
            .finish()
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |url: &Option<String>| url.as_deref().map(redact_url);
        f.debug_struct("Urls")
            .field("flag", &show(&self.flag))
            .field("environment", &show(&self.environment))
            .finish()
    }
}

/// The source that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// This flag of the command line.
    Flag(&'static str),
    /// This environment variable.
    Environment(&'static str),
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
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The configuration after all sources were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    bus: Option<(BusConfig, Origin)>,
    cache: Option<(CacheConfig, Origin)>,
    store: Option<(StoreConfig, Origin)>,
    agents: AgentConfigs,
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
                    "no bus is named; pass --bus unix:///absolute/path.sock or --bus redis://host:6379, set {BUS_VARIABLE}, or write bus = \"...\" \
                     into {FILE_NAME}"
                ),
            )
        })
    }

    /// The source that named the bus, if one did.
    pub fn origin(&self) -> Option<&Origin> {
        self.bus.as_ref().map(|(_, origin)| origin)
    }

    /// The cache, if a source names one.
    pub fn cache(&self) -> Option<&CacheConfig> {
        self.cache.as_ref().map(|(cache, _)| cache)
    }

    /// The source that named the cache, if one did.
    pub fn cache_origin(&self) -> Option<&Origin> {
        self.cache.as_ref().map(|(_, origin)| origin)
    }

    /// The store, if a source names one.
    pub fn store(&self) -> Option<&StoreConfig> {
        self.store.as_ref().map(|(store, _)| store)
    }

    /// The agents that the file declares, by id.
    pub fn agents(&self) -> &AgentConfigs {
        &self.agents
    }

    /// The source that named the store, if one did.
    pub fn store_origin(&self) -> Option<&Origin> {
        self.store.as_ref().map(|(_, origin)| origin)
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

    /// A thing beside the bus: from which sources it was named, and what came of it.
    fn beside_the_bus(
        what: &str,
        flag: Option<&str>,
        environment: Option<&str>,
    ) -> (String, String) {
        let folder =
            folder_with("bus = \"memory:\"\ncache = \"redis://file\"\nstore = \"sqlite:file\"");
        let sources = Sources::new().folder(folder.path());
        let sources = match what {
            "cache" => sources.cache_flag(flag).cache_environment(environment),
            _ => sources.store_flag(flag).store_environment(environment),
        };
        let settings = sources.load().unwrap();
        assert_eq!(settings.bus().unwrap().scheme(), "memory");
        let (url, origin) = match what {
            "cache" => (
                settings.cache().unwrap().to_string(),
                settings.cache_origin(),
            ),
            _ => (
                settings.store().unwrap().to_string(),
                settings.store_origin(),
            ),
        };
        (url, origin.unwrap().to_string())
    }

    #[test]
    fn cache_and_store_have_sources_of_their_own() {
        let table = [
            (
                "cache",
                Some("redis://flag"),
                Some("redis://variable"),
                "redis://flag",
                "--cache",
            ),
            (
                "cache",
                None,
                Some("redis://variable"),
                "redis://variable",
                CACHE_VARIABLE,
            ),
            ("cache", None, Some(""), "redis://file", FILE_NAME),
            (
                "store",
                Some("sqlite:flag"),
                Some("sqlite:variable"),
                "sqlite:flag",
                "--store",
            ),
            (
                "store",
                None,
                Some("sqlite:variable"),
                "sqlite:variable",
                STORE_VARIABLE,
            ),
            ("store", None, Some(""), "sqlite:file", FILE_NAME),
        ];
        for (what, flag, environment, expected, from) in table {
            let (url, origin) = beside_the_bus(what, flag, environment);
            assert_eq!(url, expected);
            assert!(origin.contains(from), "{origin}");
        }
    }

    #[test]
    fn a_token_of_the_environment_is_used_where_the_url_has_none() {
        let token = |url, variable| {
            let sources = Sources::new().cache_flag(Some(url)).upstash_token(variable);
            let settings = sources.load().unwrap();
            match settings.cache().unwrap() {
                CacheConfig::Upstash(config) => config.token.clone(),
                other => panic!("{other}"),
            }
        };
        let secret = |text: &str| Some(Secret::new(text));
        assert_eq!(token("upstash://h", Some("a")), secret("a"));
        assert_eq!(token("upstash://h?token=b", Some("a")), secret("b"));
        assert_eq!(token("upstash://h", Some("")), None);
    }

    #[test]
    fn what_was_not_read_yet_is_not_shown_either() {
        let sources = Sources::new()
            .flag(Some("redis://u:hunter2@h"))
            .environment(Some("redis://u:hunter2/@h"))
            .cache_flag(Some("upstash://h?token=hunter2"))
            .store_flag(Some("postgres://u:hunter2@h/d"))
            .upstash_token(Some("hunter2"));
        assert!(!format!("{sources:?}").contains("hunter2"), "{sources:?}");
        let settings = format!("{:?}", sources.load());
        assert!(!settings.contains("hunter2"), "{settings}");
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
