//! A real server on a scratch port.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::builder::{Ports, RedisServerBuilder};
use crate::process::Process;
use crate::resp::{Connection, Reply};
use crate::tls::{Certificates, Identity};
use crate::wait::until;
use crate::{Error, Monitor, Result, url};

/// How often a start is tried when another program takes the port in between.
const ATTEMPTS: usize = 5;

const READY: &str = "Ready to accept connections";
const TAKEN: &str = "Address already in use";

/// A running `redis-server` (or `valkey-server`) of this test alone: scratch loopback port, own temporary folder.
///
/// The server dies with this handle, and with the test process, however that ends.
///
/// ```no_run
/// # use bowline_testkit::RedisServer;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline_testkit::Error> {
/// let server = RedisServer::builder().append_only().start().await?;
/// server.command(&["SET", "key", "value"]).await?;
/// server.kill();
/// server.restart().await?;
/// assert_eq!(server.command(&["GET", "key"]).await?.text().as_deref(), Some("value"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RedisServer {
    // Before the folder, so that the server is gone when the folder goes.
    process: Mutex<Option<Process>>,
    builder: RedisServerBuilder,
    program: OsString,
    ports: Ports,
    certificates: Option<Certificates>,
    folder: TempDir,
}

impl RedisServer {
    /// A server without any option.
    ///
    /// # Errors
    ///
    /// As [`RedisServerBuilder::start`].
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// The options of a server.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// Whether there is a server program to start.
    pub fn available() -> bool {
        RedisServerBuilder::default().program_path().is_ok()
    }

    pub(crate) async fn launch(builder: RedisServerBuilder) -> Result<Self> {
        let program = builder.program_path()?;
        let certificates = builder.tls.then(Certificates::make).transpose()?;
        let mut attempt = 1;
        loop {
            let server = Self {
                process: Mutex::new(None),
                ports: Ports::scratch(&builder)?,
                builder: builder.clone(),
                program: program.clone(),
                certificates: certificates.clone(),
                folder: tempfile::Builder::new()
                    .prefix("bowline-redis-")
                    .tempdir()
                    .map_err(|error| Error::io("no temporary folder", error))?,
            };
            match server.run().await {
                Ok(()) => return Ok(server),
                Err(_) if attempt < ATTEMPTS && server.log().contains(TAKEN) => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts the program on the ports and the folder of this handle.
    async fn run(&self) -> Result<()> {
        let config = self.builder.write_config(
            self.folder.path(),
            &self.ports,
            self.certificates.as_ref(),
        )?;
        let log = File::create(self.folder.path().join("log"))
            .map_err(|error| Error::io("no log file", error))?;
        *self.process() = Some(Process::spawn(
            self.folder.path(),
            &self.program,
            &[config],
            log,
        )?);
        until("the start of the server", async || {
            if self.log().contains(READY) {
                return Ok(Some(()));
            }
            match self.is_running() {
                true => Ok(None),
                false => Err(Error::new("it ended at its start")),
            }
        })
        .await
        .map_err(|error| self.failed(&error.to_string()))?;
        self.command(&["PING"]).await?;
        if self.builder.upstream.is_some() {
            self.in_step().await?;
        }
        Ok(())
    }

    /// Waits until this replica has what its master has.
    async fn in_step(&self) -> Result<()> {
        until("the replica", async || {
            let info = self.command(&["INFO", "replication"]).await?;
            let up = info
                .text()
                .is_some_and(|text| text.contains("master_link_status:up"));
            Ok(up.then_some(()))
        })
        .await
    }

    /// The port of plain TCP.
    pub fn port(&self) -> u16 {
        self.ports.plain
    }

    /// The address of plain TCP.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.plain).into()
    }

    /// The port of TLS, if the server has one.
    pub fn tls_port(&self) -> Option<u16> {
        self.ports.tls
    }

    /// `redis://127.0.0.1:port`, with the password if the server has one.
    pub fn url(&self) -> String {
        let password = self.builder.password.as_deref();
        url::redis("redis", None, password, self.ports.plain, None)
    }

    /// The URL for a user and a database.
    pub fn url_with(&self, user: &str, password: &str, database: u32) -> String {
        url::redis(
            "redis",
            Some(user),
            Some(password),
            self.ports.plain,
            Some(database),
        )
    }

    /// `rediss://127.0.0.1:port`, with the password if the server has one.
    ///
    /// # Panics
    ///
    /// When the server was started without TLS.
    pub fn tls_url(&self) -> String {
        let password = self.builder.password.as_deref();
        match self.ports.tls {
            Some(port) => url::redis("rediss", None, password, port, None),
            None => panic!("this server was started without tls()"),
        }
    }

    /// The certificate of the authority that signed the server's, as PEM.
    ///
    /// # Panics
    ///
    /// When the server was started without TLS.
    pub fn ca_pem(&self) -> &str {
        &self.certificates().ca
    }

    /// A certificate of the same authority for a client.
    ///
    /// # Panics
    ///
    /// When the server was started without TLS.
    pub fn client_identity(&self) -> &Identity {
        &self.certificates().client
    }

    fn certificates(&self) -> &Certificates {
        match &self.certificates {
            Some(certificates) => certificates,
            None => panic!("this server was started without tls()"),
        }
    }

    /// Whether the process is there; a paused one is.
    pub fn is_running(&self) -> bool {
        self.process()
            .as_mut()
            .is_some_and(|process| !process.exited())
    }

    /// The id of the process, if it was started and not killed since.
    pub fn process_id(&self) -> Option<i32> {
        self.process().as_ref().map(Process::id)
    }

    /// Kills the server with `SIGKILL` and waits for its end, a few milliseconds. Nothing happens if it is down already.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Starts the server again on the same ports and folder with the options of its first start, after killing it if it is
    /// running. Data is there again only with [`append_only`](RedisServerBuilder::append_only).
    ///
    /// # Errors
    ///
    /// As [`RedisServerBuilder::start`]; also when another program has taken the port.
    pub async fn restart(&self) -> Result<()> {
        self.kill();
        self.run().await
    }

    /// Stops the process with `SIGSTOP`: connections stay open and nothing is answered.
    ///
    /// # Errors
    ///
    /// When the server is not running.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on.
    ///
    /// # Errors
    ///
    /// When the server is not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Makes a master of this replica.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn promote(&self) -> Result<()> {
        self.command(&["REPLICAOF", "NO", "ONE"]).await.map(drop)
    }

    /// Makes this server a replica of `other`, and waits until it is in step. What only this server has is lost.
    ///
    /// `other` may have a password only if this server has the same, or was started as its replica.
    ///
    /// # Errors
    ///
    /// When one of the two does not answer.
    pub async fn demote(&self, other: &RedisServer) -> Result<()> {
        let port = other.port().to_string();
        if let Some((user, password)) = other.own_credentials() {
            self.command(&[
                "CONFIG",
                "SET",
                "masteruser",
                &user,
                "masterauth",
                &password,
            ])
            .await?;
        }
        self.command(&["REPLICAOF", "127.0.0.1", &port]).await?;
        self.in_step().await
    }

    /// Executes one command on a connection of its own, which no [`Monitor`] shows. It is allowed everything, whatever users
    /// the server has.
    ///
    /// # Errors
    ///
    /// When the server does not answer, and when it answers with an error.
    pub async fn command(&self, command: &[&str]) -> Result<Reply> {
        match self.connect().await?.call(command).await? {
            Reply::Error(error) => Err(Error::new(format!("{}: {error}", command.join(" ")))),
            reply => Ok(reply),
        }
    }

    /// Watches the commands that are executed from now on.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn monitor(&self) -> Result<Monitor<'_>> {
        Monitor::start(self).await
    }

    /// A connection of the test kit, which no [`Monitor`] shows.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn connect(&self) -> Result<Connection> {
        let mut connection = Connection::open_marked(self.address()).await?;
        if let Some((user, password)) = self.own_credentials() {
            match connection.call(&["AUTH", &user, &password]).await? {
                Reply::Status(_) => {}
                other => return Err(Error::new(format!("AUTH was answered with {other:?}"))),
            }
        }
        Ok(connection)
    }

    /// What the server has printed since its last start.
    pub fn log(&self) -> String {
        fs::read(self.folder.path().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    pub(crate) fn own_credentials(&self) -> Option<(String, String)> {
        self.builder.own_credentials()
    }

    pub(crate) fn cluster_port(&self) -> Option<u16> {
        self.ports.cluster
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match self.process().as_mut() {
            Some(process) => process.signal(signal),
            None => Err(Error::new("the server is not running")),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, why: &str) -> Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n");
        Error::new(format!(
            "{} on port {}: {why}; the last lines of its log:\n{last}",
            self.program.to_string_lossy(),
            self.ports.plain
        ))
    }
}
