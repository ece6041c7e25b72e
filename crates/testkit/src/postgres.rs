//! A real PostgreSQL server on a scratch port.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;
use crate::skip::{is_set, report};
use crate::tls::Certificates;
use crate::wait::until;
use crate::{Error, Result, scratch};

/// How often a start is tried when another program takes the port in between.
const ATTEMPTS: usize = 5;

const READY: &str = "database system is ready to accept connections";
const TAKEN: &str = "Address already in use";

/// The user and the database of the server.
const NAME: &str = "bowline";

/// The folder of the server's programs, for systems that keep it elsewhere.
const PROGRAMS: &str = "BOWLINE_POSTGRES_BIN";

/// Whether the calling test has to be left out, because `BOWLINE_SKIP_POSTGRES=1` says that there is no server; the name of
/// the test goes to standard error then.
///
/// Without that variable the test runs, and fails where the server is missing.
pub fn skips_postgres() -> bool {
    let skips = is_set("BOWLINE_SKIP_POSTGRES");
    if skips {
        report("BOWLINE_SKIP_POSTGRES=1");
    }
    skips
}

/// A running PostgreSQL server of this test alone: scratch loopback port, own temporary folder, no password.
///
/// The server runs as the user `postgres` where the test is root, which PostgreSQL refuses. It does not wait for the disk,
/// which no test can see that does not cut the power. It dies with this handle, and with the test process, however that ends.
///
/// ```no_run
/// # use bowline_testkit::PostgresServer;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bowline_testkit::Error> {
/// let server = PostgresServer::start().await?;
/// println!("{}", server.url());
/// server.kill();
/// server.restart().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PostgresServer {
    // Before the folder, so that the server is gone when the folder goes.
    process: Mutex<Option<Process>>,
    programs: PathBuf,
    port: u16,
    /// Whether it demands TLS.
    tls: bool,
    folder: TempDir,
}

impl PostgresServer {
    /// Makes a database cluster and starts a server on it; about two seconds.
    ///
    /// # Errors
    ///
    /// When the programs are missing or fail, or when the server does not answer within
    /// [`PATIENCE`](crate::PATIENCE): with the last lines of its log.
    pub async fn start() -> Result<Self> {
        Self::launch(false).await
    }

    /// The same, with a server that refuses connections without TLS.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with_tls() -> Result<Self> {
        Self::launch(true).await
    }

    /// The server that the tests of this program share, each in a [schema](Self::fresh_schema) of its own; the first one
    /// starts it, and it ends with the program.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and again for everybody who asks later.
    pub fn shared() -> Result<&'static Self> {
        static SERVER: OnceLock<std::result::Result<PostgresServer, String>> = OnceLock::new();
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::io("no runtime", error))?;
            runtime.block_on(Self::start())
        };
        // On a thread of its own, as this one may be in a runtime already.
        let started = SERVER.get_or_init(|| match std::thread::spawn(start).join() {
            Ok(started) => started.map_err(|error| error.to_string()),
            Err(_) => Err("the start of the server panicked".to_owned()),
        });
        started.as_ref().map_err(|error| Error::new(error.as_str()))
    }

    /// The name of a schema that nobody in this program has used.
    pub fn fresh_schema() -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("test_{}", COUNT.fetch_add(1, Relaxed))
    }

    async fn launch(tls: bool) -> Result<Self> {
        let programs = programs()?;
        let mut attempt = 1;
        loop {
            let folder = tempfile::Builder::new()
                .prefix("bowline-postgres-")
                .tempdir()
                .map_err(|error| Error::io("no temporary folder", error))?;
            let server = Self {
                process: Mutex::new(None),
                programs: programs.clone(),
                port: scratch::port()?,
                tls,
                folder,
            };
            server.make_cluster()?;
            match server.run().await {
                Ok(()) => return Ok(server),
                Err(_) if attempt < ATTEMPTS && server.log().contains(TAKEN) => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The file with the certificate of the authority that signed the server's, for one that was started with TLS.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Whether there is a server program to start.
    pub fn available() -> bool {
        programs().is_ok()
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://bowline@127.0.0.1:port/bowline`.
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{NAME}@127.0.0.1:{}/{database}", self.port)
    }

    /// Whether the process is there; a paused one is.
    pub fn is_running(&self) -> bool {
        self.process()
            .as_mut()
            .is_some_and(|process| !process.exited())
    }

    /// Kills the server with `SIGKILL`, as a crash would; its connections break. Nothing happens if it is down already.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Starts the server again on its port and data, after killing it if it is running.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); also when another program has taken the port.
    pub async fn restart(&self) -> Result<()> {
        self.kill();
        self.run().await
    }

    /// Stops the process that accepts connections with `SIGSTOP`; those that exist go on.
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

    /// Executes SQL as the owner of the database, and returns what `psql` prints: rows without decoration.
    ///
    /// # Errors
    ///
    /// What `psql` says.
    pub fn execute(&self, sql: &str) -> Result<String> {
        let url = self.url();
        let arguments = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &url,
            "-c",
            sql,
        ];
        run(&self.programs.join("psql"), &arguments.map(OsStr::new))
            .map(|out| out.trim().to_owned())
    }

    /// What the server has printed since it was made.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make_cluster(&self) -> Result<()> {
        if is_root()? {
            let (user, group) = server_user()?;
            chown(self.folder.path(), Some(user), Some(group)).map_err(|error| {
                Error::io("cannot give the folder to the user of the server", error)
            })?;
        }
        let data = self.data();
        let words = [
            "--auth=trust",
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
            "--username",
            NAME,
            "--pgdata",
        ];
        let mut arguments: Vec<OsString> = words.map(Into::into).to_vec();
        arguments.push(data.into());
        let (program, arguments) = as_server_user(self.programs.join("initdb"), arguments)?;
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        run(Path::new(&program), &arguments)?;
        if self.tls {
            self.demand_tls()?;
        }
        Ok(())
    }

    /// Writes certificates, and the rule that lets nobody in without TLS.
    fn demand_tls(&self) -> Result<()> {
        let fail = |error| Error::io("cannot write the files for TLS", error);
        let files = Certificates::make()?.write(self.folder.path())?;
        // The server insists on a key that nobody else can read.
        fs::set_permissions(&files.key, Permissions::from_mode(0o600)).map_err(fail)?;
        if is_root()? {
            let (user, group) = server_user()?;
            chown(&files.key, Some(user), Some(group)).map_err(fail)?;
        }
        fs::write(
            self.data().join("pg_hba.conf"),
            "hostssl all all 127.0.0.1/32 trust\n",
        )
        .map_err(fail)
    }

    /// Starts the program on the port and the folder of this handle.
    async fn run(&self) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(|error| Error::io("no log file", error))?;
        let began = self.log().len();
        *self.process() = Some(self.spawn(log)?);
        until("the start of the server", async || {
            if self.log()[began..].contains(READY) {
                return Ok(Some(()));
            }
            match self.is_running() {
                true => Ok(None),
                false => Err(Error::new("it ended at its start")),
            }
        })
        .await
        .map_err(|error| self.failed(&error.to_string()))?;
        let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{NAME}'");
        let admin = self.url_of("postgres");
        let psql = self.programs.join("psql");
        let ask = |sql: &str| {
            let arguments = ["-X", "-q", "-A", "-t", "-d", &admin, "-c", sql];
            run(&psql, &arguments.map(OsStr::new))
        };
        if ask(&exists)?.trim().is_empty() {
            ask(&format!("CREATE DATABASE {NAME}"))?;
        }
        Ok(())
    }

    fn spawn(&self, log: File) -> Result<Process> {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.data().into()];
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            "unix_socket_directories=".into(),
            "fsync=off".into(),
            "max_connections=200".into(),
        ] {
            arguments.extend(["-c".into(), setting.into()]);
        }
        if self.tls {
            for (name, file) in [
                ("ssl_cert_file", "server.pem"),
                ("ssl_key_file", "server.key"),
            ] {
                let path = self.folder.path().join(file);
                let setting = format!("{name}={}", path.display());
                arguments.extend(["-c".into(), setting.into()]);
            }
            arguments.extend(["-c".into(), "ssl=on".into()]);
        }
        let (program, arguments) = as_server_user(self.programs.join("postgres"), arguments)?;
        Process::spawn(self.folder.path(), &program, &arguments, log)
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
            "postgres on port {}: {why}; the last lines of its log:\n{last}",
            self.port
        ))
    }
}

impl Drop for PostgresServer {
    /// Lets the server end by itself, so that it returns its shared memory to the system; the handle of the process kills
    /// what is left.
    fn drop(&mut self) {
        const POLL: Duration = Duration::from_millis(5);
        const LONG: Duration = Duration::from_secs(5);
        let mut process = self.process();
        let Some(process) = process.as_mut() else {
            return;
        };
        let begun = Instant::now();
        if process.signal(Signal::CONT).is_ok() && process.signal(Signal::QUIT).is_ok() {
            while !process.exited() && begun.elapsed() < LONG {
                std::thread::sleep(POLL);
            }
        }
    }
}

/// Where the programs of the newest installed version are.
fn programs() -> Result<PathBuf> {
    let has = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    if let Some(folder) = std::env::var_os(PROGRAMS).filter(|it| !it.is_empty()) {
        return Ok(folder.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(has) {
        return Ok(folder);
    }
    // Where Debian keeps them, a folder per version.
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let versions = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let newest = versions.filter(|(_, folder)| has(folder)).max();
    newest.map(|(_, folder)| folder).ok_or_else(|| {
        Error::new(format!(
            "there is no PostgreSQL: run `cargo xtask install`, name the folder of its programs in {PROGRAMS}, or skip its \
             tests with BOWLINE_SKIP_POSTGRES=1"
        ))
    })
}

fn is_root() -> Result<bool> {
    let own = fs::metadata("/proc/self").map_err(|error| Error::io("no /proc/self", error))?;
    Ok(own.uid() == 0)
}

/// User and group as whom a server of a root test runs.
fn server_user() -> Result<(u32, u32)> {
    let users =
        fs::read_to_string("/etc/passwd").map_err(|error| Error::io("no /etc/passwd", error))?;
    let user = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    user("postgres")
        .or_else(|| user("nobody"))
        .ok_or_else(|| Error::new("the test is root, and there is no user postgres or nobody"))
}

/// The command that runs `program` as somebody whom PostgreSQL accepts. The process stays the one that was started.
fn as_server_user(program: PathBuf, arguments: Vec<OsString>) -> Result<(OsString, Vec<OsString>)> {
    if !is_root()? {
        return Ok((program.into(), arguments));
    }
    let (user, group) = server_user()?;
    let mut words: Vec<OsString> = Vec::new();
    // A killed server leaves its System V shared memory behind, unless that is in a name space that goes with it.
    if run(
        Path::new("unshare"),
        &[OsStr::new("--ipc"), OsStr::new("true")],
    )
    .is_ok()
    {
        words.extend(["unshare", "--ipc", "--"].map(Into::into));
    }
    let user = format!("--reuid={user}");
    let group = format!("--regid={group}");
    words.extend(["setpriv", &user, &group, "--clear-groups", "--"].map(Into::into));
    words.push(program.into());
    words.extend(arguments);
    let command = words.remove(0);
    Ok((command, words))
}

fn run(program: &Path, arguments: &[&OsStr]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        // A folder that the other user can see.
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io(format!("cannot start {}", program.display()), error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::new(format!(
        "{}: {}",
        program.display(),
        said.trim()
    )))
}
