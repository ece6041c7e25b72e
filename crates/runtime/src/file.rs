//! The configuration file, `bowline.toml`.

use std::fmt;
use std::path::Path;

use bowline_events::{Error, ErrorKind, Result};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::agent_config::Agents;
use crate::{AgentConfigs, BusConfig, CacheConfig, StoreConfig, suggest};

/// Bytes of a configuration file at most; a larger one was named by mistake.
const MAX_BYTES: u64 = 1024 * 1024;

const KEYS: [&str; 4] = ["agents", "bus", "cache", "store"];

/// What a configuration file says.
///
/// ```
/// use bowline_runtime::FileConfig;
/// let file = FileConfig::parse("[bus]\nurl = \"unix:///run/app/events.sock\"\nmax_frame_bytes = \"16MiB\"\n")?;
/// assert_eq!(file.bus.unwrap().to_string(), "unix:///run/app/events.sock?max_frame_bytes=16MiB");
///
/// let short = FileConfig::parse("bus = \"memory:\"")?;
/// assert_eq!(short.bus.unwrap().scheme(), "memory");
/// # Ok::<(), bowline_events::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct FileConfig {
    /// The bus, as a URL or as a table with the key `url` and the options of that kind of bus.
    pub bus: Option<BusConfig>,
    /// The cache in front of the bus, in the same two forms.
    pub cache: Option<CacheConfig>,
    /// The store of what has to survive, in the same two forms.
    pub store: Option<StoreConfig>,
    /// The agents, by id.
    pub agents: AgentConfigs,
}

impl FileConfig {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// `InvalidInput` with the line, for text that is not TOML and for a key or a value that is not known.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| format!("line {}: ", before.matches('\n').count() + 1))
                .unwrap_or_default();
            // The source would show the line itself, which may hold a secret; its message does not.
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            Error::new(
                ErrorKind::InvalidInput,
                "configuration file",
                format!("{line}{message}"),
            )
        })
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), with the path; and for a file that cannot be read or is larger than 1 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy();
        let refuse = |message: String| {
            Error::new(ErrorKind::InvalidInput, "configuration file", message).with_subject(&name)
        };
        let unreadable = |error: std::io::Error| {
            refuse(format!(
                "it cannot be read ({error}); check the path and its permissions"
            ))
            .with_source(error)
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_BYTES {
            return Err(refuse(format!(
                "it has {size} bytes and {MAX_BYTES} are the limit; name a configuration file"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|error| refuse(error.message().to_owned()))
    }
}

impl<'de> Deserialize<'de> for FileConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FileVisitor)
    }
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = FileConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a configuration with the keys agents, bus, cache and store")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FileConfig, A::Error> {
        let mut config = FileConfig::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "agents" => {
                    let Agents(agents) = map.next_value()?;
                    config.agents = agents;
                }
                "bus" => config.bus = Some(map.next_value()?),
                "cache" => config.cache = Some(map.next_value()?),
                "store" => config.store = Some(map.next_value()?),
                _ => {
                    let hint = suggest::hint(&key, &KEYS);
                    return Err(de::Error::custom(format!("there is no key {key:?}{hint}")));
                }
            }
        }
        Ok(config)
    }
}

impl<'de> Deserialize<'de> for BusConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlVisitor {
            noun: "bus",
            examples: "url = \"unix:///absolute/path.sock\" or url = \"redis://host:6379\"",
            read: Self::from_parts,
        })
    }
}

impl<'de> Deserialize<'de> for CacheConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlVisitor {
            noun: "cache",
            examples: "url = \"sqlite:events.db\" or url = \"redis://host:6379\"",
            read: Self::from_parts,
        })
    }
}

impl<'de> Deserialize<'de> for StoreConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlVisitor {
            noun: "store",
            examples: "url = \"sqlite:app.db\" or url = \"postgres://host/database\"",
            read: Self::from_parts,
        })
    }
}

/// Reads a URL, or a table with a URL and options.
struct UrlVisitor<T> {
    noun: &'static str,
    examples: &'static str,
    read: Read<T>,
}

/// Takes a URL and the options beside it.
type Read<T> = fn(&str, Vec<(String, String)>) -> Result<T>;

impl<'de, T> Visitor<'de> for UrlVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.noun;
        write!(f, "a {noun} URL, or a table with the key url and options")
    }

    fn visit_str<E: de::Error>(self, url: &str) -> Result<T, E> {
        (self.read)(url, Vec::new()).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut url = None;
        let mut options = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Scalar(value) = map.next_value()?;
            if key == "url" {
                url = Some(value);
            } else {
                options.push((key, value));
            }
        }
        let url = url.ok_or_else(|| {
            let Self { noun, examples, .. } = self;
            de::Error::custom(format!("the {noun} has no url; add {examples}"))
        })?;
        (self.read)(&url, options).map_err(de::Error::custom)
    }
}

/// A string, a whole number or a switch, as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a whole number, true or false")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_bool<E>(self, on: bool) -> Result<Scalar, E> {
        Ok(Scalar(on.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_read() {
        let table = [
            ("", None),
            ("# nothing\n", None),
            ("bus = \"memory:\"", Some("memory:")),
            (
                "[bus]\nurl = \"memory:\"\nreplay = false",
                Some("memory:?replay=false"),
            ),
            (
                "[bus]\nallow_group = 100\nurl = \"unix:///a\"",
                Some("unix:///a?allow_group=100"),
            ),
        ];
        for (text, url) in table {
            let bus = FileConfig::parse(text).unwrap().bus;
            assert_eq!(bus.map(|bus| bus.to_string()).as_deref(), url, "{text:?}");
        }
    }

    #[test]
    fn a_cache_is_read_like_a_bus() {
        let table = [
            ("cache = \"memory:\"", "memory:"),
            (
                "[cache]\nurl = \"redis://h\"\nmax_events = 9\nttl = \"5m\"",
                "redis://h?ttl=300s&max_events=9",
            ),
            (
                "[cache]\ntoken = \"x\"\nurl = \"upstash://h\"",
                "upstash://h?token=***",
            ),
        ];
        for (text, shown) in table {
            let file = FileConfig::parse(text).unwrap();
            assert_eq!(file.cache.unwrap().to_string(), shown);
            assert_eq!(file.bus, None);
        }
    }

    #[test]
    fn a_store_is_read_like_a_bus() {
        let text = "[store]\nurl = \"sqlite:app.db\"\nsynchronous = \"full\"\nmax_bytes = 65536\n\n[cache]\nurl = \"sqlite:app.db\"\nttl = \"1h\"";
        let file = FileConfig::parse(text).unwrap();
        let shown = [
            file.store.unwrap().to_string(),
            file.cache.unwrap().to_string(),
        ];
        assert_eq!(
            shown,
            [
                "sqlite:app.db?synchronous=full&max_bytes=64KiB",
                "sqlite:app.db?ttl=3600s"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let table: [(&str, &[&str]); 14] = [
            ("store = 3", &["store URL"]),
            (
                "[store]\ntimeout = \"5s\"",
                &["the store has no url", "sqlite:app.db"],
            ),
            ("stor = \"memory:\"", &["did you mean \"store\"?"]),
            (
                "# x\nbuss = \"memory:\"",
                &["\"buss\"", "did you mean \"bus\"?"],
            ),
            ("bus =", &["line 1"]),
            (
                "\n\nbus = \"unx:///a\"",
                &["line 3", "did you mean \"unix\"?"],
            ),
            ("bus = 3", &["bus URL"]),
            ("cache = 3", &["cache URL"]),
            ("[cache]\nttl = \"5s\"", &["the cache has no url"]),
            (
                "[cache]\nurl = \"redis://h\"\ntl = \"5s\"",
                &["a redis cache", "did you mean \"ttl\"?"],
            ),
            ("[bus]\nreplay = true", &["no url"]),
            (
                "[bus]\nurl = \"memory:\"\nreplai = true",
                &["did you mean \"replay\"?"],
            ),
            (
                "[bus]\nurl = \"memory:\"\nreplay = [1]",
                &["a string, a whole number"],
            ),
            (
                "[bus]\nurl = \"memory:?replay=true\"\nreplay = true",
                &["twice"],
            ),
        ];
        for (text, parts) in table {
            let error = FileConfig::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let shown = error.to_string();
            for part in parts {
                assert!(shown.contains(part), "{text:?}: {shown}");
            }
            assert!(!shown.contains('\n'), "{shown}");
        }
    }

    #[test]
    fn secrets_of_a_file_are_not_shown() {
        for text in [
            "bus = \"redi://u:hunter2@h\"",
            "bus = \"redis://u:hunter2@h\" x",
            "store = \"postgres://u:hunter2@h/d?tl=1s\"",
            "[store]\nurl = \"postgres://u:hunter2@h/d\"\ntimeout = 5",
            "bus = \"redis://u:hunter2@h?blok=1\"",
            "[cache]\nurl = \"upstash://h\"\ntoken = \"hunter2\"\ntl = 3",
        ] {
            let error = FileConfig::parse(text).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("hunter2"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.toml");
        let large = folder.path().join("large.toml");
        std::fs::write(&large, vec![b'#'; MAX_BYTES as usize + 1]).unwrap();
        for (path, part) in [(&missing, "none.toml"), (&large, "limit")] {
            let error = FileConfig::read(path).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-z=\"\\[\\]\\n:./?&%0-9 ]{0,60}") {
            let _ = FileConfig::parse(&text);
        }
    }
}
