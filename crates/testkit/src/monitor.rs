//! What a server was told, seen through `MONITOR`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::resp::{OWN_ADDRESS, Reply};
use crate::wait::within;
use crate::{Connection, Error, RedisServer, Result};

/// A connection in `MONITOR` mode; made by [`RedisServer::monitor`].
///
/// The commands of the test kit itself are left out.
#[derive(Debug)]
pub struct Monitor<'a> {
    server: &'a RedisServer,
    connection: Connection,
}

/// One command that a server executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorLine {
    /// The database it was executed in.
    pub database: u32,
    /// The address of the client, or `lua` for a command of a script.
    pub client: String,
    /// The command and its arguments, invalid UTF-8 replaced.
    pub arguments: Vec<String>,
}

impl MonitorLine {
    /// The command in capitals, without its arguments.
    pub fn command(&self) -> String {
        self.arguments
            .first()
            .map(|name| name.to_ascii_uppercase())
            .unwrap_or_default()
    }

    /// Reads one line of `MONITOR`, without the sign that it begins with; nothing if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(" [")?;
        let (origin, arguments) = rest.split_once("] ")?;
        let (database, client) = origin.split_once(' ')?;
        Some(Self {
            database: database.parse().ok()?,
            client: client.to_owned(),
            arguments: unquote(arguments)?,
        })
    }

    fn is_own(&self) -> bool {
        self.client
            .rsplit_once(':')
            .is_some_and(|(host, _)| host == OWN_ADDRESS.to_string())
    }
}

impl<'a> Monitor<'a> {
    pub(crate) async fn start(server: &'a RedisServer) -> Result<Self> {
        let mut connection = server.connect().await?;
        match connection.call(&["MONITOR"]).await? {
            Reply::Status(_) => Ok(Self { server, connection }),
            other => Err(Error::new(format!("MONITOR was answered with {other:?}"))),
        }
    }

    /// Every command executed since the last call, in order. What was executed before this call is complete.
    ///
    /// # Errors
    ///
    /// When a connection to the server fails.
    pub async fn take(&mut self) -> Result<Vec<MonitorLine>> {
        // The server tells monitors of commands in the order of their execution.
        static MARKS: AtomicU64 = AtomicU64::new(0);
        let mark = format!("bowline-mark-{}", MARKS.fetch_add(1, Ordering::Relaxed));
        self.server.command(&["ECHO", &mark]).await?;
        within("MONITOR", async {
            let mut lines = Vec::new();
            loop {
                let line = self.next().await?;
                if line.arguments == ["ECHO", &mark] {
                    return Ok(lines);
                }
                if !line.is_own() {
                    lines.push(line);
                }
            }
        })
        .await
    }

    async fn next(&mut self) -> Result<MonitorLine> {
        let reply = self.connection.read().await?;
        reply
            .text()
            .as_deref()
            .and_then(MonitorLine::parse)
            .ok_or_else(|| Error::new(format!("not a line of MONITOR: {reply:?}")))
    }
}

/// The arguments of a line: each in quotes, with the escapes of C.
fn unquote(text: &str) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let mut bytes = text.bytes();
    loop {
        match bytes.next() {
            None => return Some(arguments),
            Some(b' ') => {}
            Some(b'"') => arguments.push(argument(&mut bytes)?),
            Some(_) => return None,
        }
    }
}

fn argument(bytes: &mut std::str::Bytes<'_>) -> Option<String> {
    let mut plain = Vec::new();
    loop {
        match bytes.next()? {
            b'"' => return Some(String::from_utf8_lossy(&plain).into_owned()),
            b'\\' => plain.push(match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 0x07,
                b'b' => 0x08,
                b'x' => {
                    let high = char::from(bytes.next()?).to_digit(16)?;
                    let low = char::from(bytes.next()?).to_digit(16)?;
                    u8::try_from(high << 4 | low).ok()?
                }
                other => other,
            }),
            byte => plain.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MonitorLine;

    #[test]
    fn a_line_is_read_with_its_origin_and_its_escapes() {
        for (line, database, client, arguments) in [
            (
                r#"1700000000.123456 [0 127.0.0.1:4711] "XADD" "t" "*" "data" "{\"a\":\"b] \\\\ \xc3\xa9\"}""#,
                0,
                "127.0.0.1:4711",
                &["XADD", "t", "*", "data", "{\"a\":\"b] \\\\ \u{e9}\"}"][..],
            ),
            (
                r#"1.5 [3 lua] "GET" "\r\n\t\a\b\x00""#,
                3,
                "lua",
                &["GET", "\r\n\t\u{7}\u{8}\0"],
            ),
            (
                r#"1.5 [0 unix:/tmp/r.sock] "SET" "" "\xff""#,
                0,
                "unix:/tmp/r.sock",
                &["SET", "", "\u{fffd}"],
            ),
        ] {
            let read = MonitorLine::parse(line).unwrap();
            assert_eq!(
                (read.database, read.client.as_str(), read.arguments),
                (
                    database,
                    client,
                    arguments
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                )
            );
        }
    }

    #[test]
    fn what_is_not_a_line_is_told_apart() {
        for line in [
            "",
            "OK",
            r#"1.5 [x lua] "GET""#,
            r#"1.5 [0 lua] "GET"#,
            r#"1.5 [0 lua] "\x4""#,
            r#"1.5 [0 lua] GET"#,
        ] {
            assert_eq!(MonitorLine::parse(line), None, "{line:?}");
        }
    }
}
