//! A small client of the Redis protocol, so that tests can look at a server without the code under test.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::within;
use crate::{Error, Result};

/// The longest string that a server may hold, 512 MiB.
const MAX_BULK: u64 = 512 << 20;

/// What a server replied, in the second version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status such as `OK`.
    Status(String),
    /// An error, with its code first: `WRONGTYPE Operation against ...`.
    Error(String),
    /// An integer.
    Int(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// Nothing: a nil string or a nil array.
    Nil,
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a status, an error, a string (invalid UTF-8 replaced) or an integer; nothing for nil and arrays.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Status(text) | Self::Error(text) => Some(text.clone()),
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Int(int) => Some(int.to_string()),
            Self::Nil | Self::Array(_) => None,
        }
    }

    /// The integer, also where it is written as a string.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            other => other.text()?.parse().ok(),
        }
    }

    /// The replies of an array; none for anything else.
    pub fn items(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The texts of an array, those that have none left out.
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(Reply::text).collect()
    }

    /// The value behind `name` in an array of alternating names and values, as `XINFO` replies them.
    pub fn field(&self, name: &str) -> Option<&Reply> {
        self.items()
            .chunks_exact(2)
            .find(|pair| pair[0].text().as_deref() == Some(name))
            .map(|pair| &pair[1])
    }
}

/// One connection to a server, one command at a time.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, without a password.
    ///
    /// # Errors
    ///
    /// When nobody listens at `address`.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        within("connect", async {
            let stream = TcpStream::connect(address).await;
            Self::on(stream, address)
        })
        .await
    }

    /// Connects from an address that marks the connection as one of the test kit.
    pub(crate) async fn open_marked(address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4().map_err(|error| Error::io("no socket", error))?;
        if socket.bind((OWN_ADDRESS, 0).into()).is_err() {
            // Not every system has the whole loopback network.
            return Self::open(address).await;
        }
        within("connect", async {
            Self::on(socket.connect(address).await, address)
        })
        .await
    }

    fn on(stream: std::io::Result<TcpStream>, address: SocketAddr) -> Result<Self> {
        let stream =
            stream.map_err(|error| Error::io(format!("cannot connect to {address}"), error))?;
        // Only a matter of speed.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends one command and waits for its reply, an error reply included.
    ///
    /// # Errors
    ///
    /// When the connection fails, when nothing is replied within [`PATIENCE`](crate::PATIENCE), or when what is replied is
    /// not the protocol.
    pub async fn call<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Result<Reply> {
        let name = command
            .first()
            .map(|name| String::from_utf8_lossy(name.as_ref()).into_owned())
            .unwrap_or_default();
        within(&name, async {
            self.send(command).await?;
            self.read().await
        })
        .await
    }

    /// Sends one command.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn send<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Result<()> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            let argument = argument.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&bytes).await.map_err(broken)
    }

    /// Reads the next reply, however long it takes.
    ///
    /// # Errors
    ///
    /// When the connection fails or ends, or when what comes is not the protocol.
    pub async fn read(&mut self) -> Result<Reply> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
        let number = || {
            rest.parse::<i64>()
                .map_err(|_| Error::new(format!("no number in the reply {line:?}")))
        };
        match kind {
            "+" => Ok(Reply::Status(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => number().map(Reply::Int),
            "$" => match u64::try_from(number()?) {
                Ok(length) => self.bulk(length).await.map(Reply::Bulk),
                Err(_) => Ok(Reply::Nil),
            },
            "*" => match u64::try_from(number()?) {
                Ok(length) => {
                    let mut items = Vec::new();
                    for _ in 0..length {
                        items.push(Box::pin(self.read()).await?);
                    }
                    Ok(Reply::Array(items))
                }
                Err(_) => Ok(Reply::Nil),
            },
            _ => Err(Error::new(format!("not a reply: {line:?}"))),
        }
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream
            .read_until(b'\n', &mut line)
            .await
            .map_err(broken)?;
        if line.pop() != Some(b'\n') {
            return Err(Error::new("the server closed the connection"));
        }
        line.pop_if(|last| *last == b'\r');
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    async fn bulk(&mut self, length: u64) -> Result<Vec<u8>> {
        if length > MAX_BULK {
            return Err(Error::new(format!(
                "a string of {length} bytes, the limit is {MAX_BULK}"
            )));
        }
        let mut bytes = Vec::new();
        let whole = length + 2;
        let read = (&mut self.stream)
            .take(whole)
            .read_to_end(&mut bytes)
            .await
            .map_err(broken)?;
        if read as u64 != whole {
            return Err(Error::new("the server closed the connection in a string"));
        }
        bytes.truncate(bytes.len() - 2);
        Ok(bytes)
    }
}

/// Where the connections of the test kit itself come from.
pub(crate) const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

fn broken(error: std::io::Error) -> Error {
    Error::io("the connection to the server failed", error)
}
