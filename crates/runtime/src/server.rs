//! The server part of a Redis URL: `rediss://user:password@host:6379/0`.

use std::fmt;
use std::path::Path;

use bowline_events::{Error, ErrorKind, Result};

use crate::Secret;
use crate::host::{self, Kind};
use crate::url::{self, UrlParts, invalid};

/// The scheme of the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisScheme {
    /// `redis://`: plain TCP.
    Redis,
    /// `rediss://`: TLS.
    Rediss,
    /// `valkey://`: the same as `redis://`.
    Valkey,
    /// `valkeys://`: the same as `rediss://`.
    Valkeys,
}

impl RedisScheme {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "redis" => Self::Redis,
            "rediss" => Self::Rediss,
            "valkey" => Self::Valkey,
            "valkeys" => Self::Valkeys,
            _ => return None,
        })
    }

    /// The scheme as a URL has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Rediss => "rediss",
            Self::Valkey => "valkey",
            Self::Valkeys => "valkeys",
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Rediss | Self::Valkeys)
    }
}

/// Which Redis or Valkey server, and as whom.
///
/// `Display` and `Debug` hide user and password, so what they write does not open the server; [`url`](Self::url) does.
///
/// ```
/// use bowline_runtime::{RedisScheme, RedisServer, Secret};
/// let mut server = RedisServer::new(RedisScheme::Rediss, "cache.example");
/// server.user = Some("app".into());
/// server.password = Some(Secret::new("p@ss"));
/// server.database = Some(2);
/// assert_eq!(server.url(), "rediss://app:p%40ss@cache.example/2");
/// assert_eq!(server.to_string(), "rediss://***@cache.example/2");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisServer {
    /// Plain or encrypted.
    pub scheme: RedisScheme,
    /// The user of the access control list; `None` is the default user.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<Secret>,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port; `None` is 6379.
    pub port: Option<u16>,
    /// The number of the database; `None` is the one that the server gives, 0.
    pub database: Option<u32>,
}

impl RedisServer {
    /// The default user and database of the server on `host`.
    pub fn new(scheme: RedisScheme, host: impl Into<String>) -> Self {
        Self {
            scheme,
            user: None,
            password: None,
            host: host.into(),
            port: None,
            database: None,
        }
    }

    /// Reads what stands between the scheme and the options.
    pub(crate) fn parse(scheme: RedisScheme, parts: &UrlParts) -> Result<Self> {
        let name = scheme.as_str();
        // Said before anything else is looked at: whatever follows the sign may be half of a password.
        if parts.query.contains('@') {
            return Err(invalid(
                "there is an @ after the ?; write %3F for a ? that belongs to a password, and %40 for an @ in an option",
            ));
        }
        let rest = parts.body.strip_prefix("//").ok_or_else(|| {
            invalid(format!(
                "there is no server; write {name}://host:6379, with two slashes"
            ))
        })?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(invalid(
                "there is an @ after a /; write %2F for a / that belongs to a password",
            ));
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (login, place),
            None => ("", authority),
        };
        let (user, password) = read_login(login)?;
        let kind = Kind {
            scheme: name,
            port: 6379,
        };
        let (host, port) = host::read(place, kind)?;
        Ok(Self {
            scheme,
            user,
            password,
            host,
            port,
            database: read_database(path)?,
        })
    }

    /// The URL that opens the server, **with user and password**: for a client, not for a log.
    pub fn url(&self) -> String {
        let user = url::encode_strictly(self.user.as_deref().unwrap_or_default());
        let login = match &self.password {
            Some(password) => format!("{user}:{}@", url::encode_strictly(password.expose())),
            None if user.is_empty() => String::new(),
            None => format!("{user}@"),
        };
        self.with_login(&login)
    }

    fn with_login(&self, login: &str) -> String {
        let scheme = self.scheme.as_str();
        let place = host::show(&self.host, self.port);
        let database = self
            .database
            .map_or_else(String::new, |number| format!("/{number}"));
        format!("{scheme}://{login}{place}{database}")
    }
}

/// Refuses certificates for a connection that is not encrypted.
pub(crate) fn check_certificates(
    operation: &'static str,
    server: &RedisServer,
    authority: Option<&Path>,
) -> Result<()> {
    if authority.is_some() && !server.scheme.is_tls() {
        let message = "the connection is not encrypted; write rediss:// or valkeys://, or leave the certificates out";
        return Err(Error::new(ErrorKind::InvalidInput, operation, message).with_subject("tls_ca"));
    }
    Ok(())
}

/// `user:password`, `:password` or nothing.
fn read_login(text: &str) -> Result<(Option<String>, Option<Secret>)> {
    if text.is_empty() {
        return Ok((None, None));
    }
    let Some((user, password)) = text.split_once(':') else {
        return Err(invalid(
            "there is a user without a password; write user:password@host, or :password@host for a password alone",
        ));
    };
    let user = Some(url::decode(user)?).filter(|user| !user.is_empty());
    Ok((user, Some(Secret::new(url::decode(password)?))))
}

fn read_database(path: &str) -> Result<Option<u32>> {
    if path.is_empty() {
        return Ok(None);
    }
    path.parse()
        .map(Some)
        .map_err(|_| invalid("the path is not the number of a database; write /0, or leave it out"))
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.user.is_some() || self.password.is_some() {
            "***@"
        } else {
            ""
        };
        f.write_str(&self.with_login(login))
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisServer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<RedisServer> {
        let parts = UrlParts::parse(text)?;
        let scheme = RedisScheme::parse(&parts.scheme).expect("the tests name known schemes");
        RedisServer::parse(scheme, &parts)
    }

    #[test]
    fn servers_are_read_and_written() {
        let table = [
            ("redis://h", "redis://h", "redis://h"),
            ("redis://h/", "redis://h", "redis://h"),
            ("REDISS://h:1/2", "rediss://h:1/2", "rediss://h:1/2"),
            (
                "valkey://10.0.0.1:7",
                "valkey://10.0.0.1:7",
                "valkey://10.0.0.1:7",
            ),
            (
                "valkeys://[::1]:7/0",
                "valkeys://[::1]:7/0",
                "valkeys://[::1]:7/0",
            ),
            (
                "redis://[fe80::1]",
                "redis://[fe80::1]",
                "redis://[fe80::1]",
            ),
            ("redis://:pw@h", "redis://:pw@h", "redis://***@h"),
            ("redis://u:p@h/1", "redis://u:p@h/1", "redis://***@h/1"),
            ("redis://u:@h", "redis://u:@h", "redis://***@h"),
            ("redis://@h", "redis://h", "redis://h"),
            (
                "redis://u:a@b:c@h",
                "redis://u:a%40b%3Ac@h",
                "redis://***@h",
            ),
            (
                "redis://u%3A:%2F%3f%25@h",
                "redis://u%3A:%2F%3F%25@h",
                "redis://***@h",
            ),
        ];
        for (text, url, shown) in table {
            let server = parse(text).unwrap();
            assert_eq!(server.url(), url, "{text}");
            assert_eq!(server.to_string(), shown, "{text}");
            assert_eq!(parse(url).unwrap(), server, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        let table = [
            ("redis:", "two slashes"),
            ("redis:h", "two slashes"),
            ("redis://", "no host"),
            ("redis://:6379", "no host"),
            ("redis://hunter2@h", "without a password"),
            ("redis://u:hunter2", "port"),
            ("redis://h:0", "port"),
            ("redis://h:65536", "port"),
            ("redis://::1:6379", "brackets"),
            ("redis://[::1", "not closed"),
            ("redis://[localhost]", "no IPv6 address"),
            ("redis://[::1]x", "only :port"),
            ("redis://h/x", "number of a database"),
            ("redis://h/0/1", "number of a database"),
            ("redis://h/-1", "number of a database"),
            ("redis://a b", "characters"),
            ("redis://u:hunter2/x@h", "%2F"),
            ("redis://u:hunter2?x@h", "%3F"),
            ("redis://u:1?hunter2=x@h", "%3F"),
            ("redis://u:%zz@h", "hexadecimal"),
            ("redis://u:hunter2#x@h", "%23"),
        ];
        for (text, part) in table {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(part), "{text}: {shown}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
    }

    proptest! {
        #[test]
        fn a_login_survives_its_url(user in ".{0,20}", password in ".{0,20}") {
            let mut server = RedisServer::new(RedisScheme::Redis, "h");
            server.user = Some(user).filter(|user| !user.is_empty());
            server.password = Some(Secret::new(password));
            let read = parse(&server.url()).unwrap();
            prop_assert_eq!(&read, &server);
            prop_assert_eq!(server.to_string(), "redis://***@h");
            prop_assert_eq!(format!("{server:?}"), "RedisServer(redis://***@h)");
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = parse(&format!("redis://{text}"));
        }
    }
}
