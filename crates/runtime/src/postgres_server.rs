//! The server part of a PostgreSQL URL: `postgres://user:password@host:5432/database`.

use std::fmt;

use bowline_events::Result;

use crate::Secret;
use crate::host::{self, Kind};
use crate::url::{self, UrlParts, invalid};

/// Which PostgreSQL server and database, and as whom.
///
/// `Display` and `Debug` hide user and password, so what they write does not open the database; [`url`](Self::url) does.
///
/// ```
/// use bowline_runtime::{PostgresServer, Secret};
/// let mut server = PostgresServer::new("db.example");
/// server.user = Some("app".into());
/// server.password = Some(Secret::new("p@ss"));
/// server.database = Some("shop".into());
/// assert_eq!(server.url(), "postgres://app:p%40ss@db.example/shop");
/// assert_eq!(server.to_string(), "postgres://***@db.example/shop");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresServer {
    /// The user; `None` is the one that this process runs as.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<Secret>,
    /// A name, an address (an IPv6 address without its brackets), or the absolute path of the folder of a Unix socket.
    pub host: String,
    /// The port; `None` is 5432.
    pub port: Option<u16>,
    /// The database; `None` is the one that is named like the user.
    pub database: Option<String>,
}

impl PostgresServer {
    /// The default user and database of the server on `host`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            user: None,
            password: None,
            host: host.into(),
            port: None,
            database: None,
        }
    }

    /// Reads what stands between the scheme and the options.
    pub(crate) fn parse(parts: &UrlParts) -> Result<Self> {
        // Said before anything else is looked at: whatever follows the sign may be half of a password.
        if parts.query.contains('@') {
            return Err(invalid(
                "there is an @ after the ?; write %3F for a ? that belongs to a password, and %40 for an @ in an option",
            ));
        }
        let rest = parts.body.strip_prefix("//").ok_or_else(|| {
            invalid("there is no server; write postgres://user:password@host:5432/database, with two slashes")
        })?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains('@') {
            return Err(invalid(
                "there is an @ after a /; write %2F for a / that belongs to a password, and %40 for an @ in the name of a database",
            ));
        }
        if database.contains('/') {
            return Err(invalid(
                "the path is not the name of a database; write /database, with %2F for a / in its name",
            ));
        }
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(url::decode(password)?))),
            None => (login, None),
        };
        let (host, port) = read_place(place)?;
        Ok(Self {
            user: named(user)?,
            password,
            host,
            port,
            database: named(database)?,
        })
    }

    /// The URL that opens the database, **with user and password**: for a client, not for a log.
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
        let place = match self.port {
            _ if !self.host.starts_with('/') => host::show(&self.host, self.port),
            Some(port) => format!("{}:{port}", url::encode_strictly(&self.host)),
            None => url::encode_strictly(&self.host),
        };
        let database = self.database.as_deref().map_or_else(String::new, |name| {
            format!("/{}", url::encode_strictly(name))
        });
        format!("postgres://{login}{place}{database}")
    }
}

/// A name, if there is one.
fn named(text: &str) -> Result<Option<String>> {
    Ok(Some(url::decode(text)?).filter(|name| !name.is_empty()))
}

/// The host and the port, or the folder of a Unix socket with its slashes encoded.
fn read_place(text: &str) -> Result<(String, Option<u16>)> {
    if text.contains('%') {
        let (folder, port) = match text.split_once(':') {
            Some((folder, port)) => (folder, Some(host::read_port(port)?)),
            None => (text, None),
        };
        let folder = url::decode(folder)?;
        if !folder.starts_with('/') || folder.contains('\0') {
            return Err(invalid(
                "the host is neither a name nor the absolute path of the folder of a socket; write a path as %2Frun%2Fpostgresql",
            ));
        }
        return Ok((folder, port));
    }
    let kind = Kind {
        scheme: "postgres",
        port: 5432,
    };
    host::read(text, kind)
}

impl fmt::Display for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.user.is_some() || self.password.is_some() {
            "***@"
        } else {
            ""
        };
        f.write_str(&self.with_login(login))
    }
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresServer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_events::ErrorKind;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<PostgresServer> {
        PostgresServer::parse(&UrlParts::parse(text)?)
    }

    #[test]
    fn servers_are_read_and_written() {
        let table = [
            ("postgres://h", "postgres://h", "postgres://h"),
            ("postgresql://h/", "postgres://h", "postgres://h"),
            (
                "postgres://u@h:1/d",
                "postgres://u@h:1/d",
                "postgres://***@h:1/d",
            ),
            ("postgres://u:@h", "postgres://u:@h", "postgres://***@h"),
            (
                "postgres://u:a@b:c@[::1]:7/d",
                "postgres://u:a%40b%3Ac@[::1]:7/d",
                "postgres://***@[::1]:7/d",
            ),
            (
                "postgres://%2Frun%2Fpg:7/d%2Fe",
                "postgres://%2Frun%2Fpg:7/d%2Fe",
                "postgres://%2Frun%2Fpg:7/d%2Fe",
            ),
            (
                "postgres://u%40v:%2F@%2frun/d",
                "postgres://u%40v:%2F@%2Frun/d",
                "postgres://***@%2Frun/d",
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
            ("postgres:", "two slashes"),
            ("postgres://", "no host"),
            ("postgres:///d", "no host"),
            ("postgres://u:hunter2", "port"),
            ("postgres://h:0", "port"),
            ("postgres://%2Frun:x", "port"),
            ("postgres://run%2Fpg", "%2Frun"),
            ("postgres://%2Frun%00", "%2Frun"),
            ("postgres://[::1", "5432"),
            ("postgres://a,b/d", "characters"),
            ("postgres://h/d/e", "name of a database"),
            ("postgres://u:hunter2/x@h", "%2F"),
            ("postgres://u:hunter2?x@h", "%3F"),
            ("postgres://u:%zz@h", "hexadecimal"),
            ("postgres://u:hunter2#x@h", "%23"),
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
        fn a_login_survives_its_url(user in ".{0,20}", password in ".{0,20}", database in ".{0,20}", socket in "[^\0]{0,20}") {
            for host in ["h".to_owned(), "::1".to_owned(), format!("/{socket}")] {
                let mut server = PostgresServer::new(host);
                server.user = Some(user.clone()).filter(|user| !user.is_empty());
                server.password = Some(Secret::new(password.clone()));
                server.database = Some(database.clone()).filter(|name| !name.is_empty());
                prop_assert_eq!(&parse(&server.url()).unwrap(), &server);
                prop_assert!(server.to_string().starts_with("postgres://***@"));
                prop_assert_eq!(format!("{server:?}"), format!("PostgresServer({server})"));
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = parse(&format!("postgres://{text}"));
        }
    }
}
