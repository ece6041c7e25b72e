//! How a server is reached.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_events::Text;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::error::{failed, no_connection};
use super::tls::Tls;
use super::writer::Writers;
use super::{PostgresStore, Shared, arrays};
use crate::watch::Watchers;
use crate::{Error, ErrorKind, Result};

/// Transactions that write at the same time.
const WRITERS: usize = 4;
/// Commits and KiB of commits that may wait.
const QUEUE: usize = 128 * 1024;

/// One script per version of the schema.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// The options of a [`PostgresStore`]; made by [`PostgresStore::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is opened"]
pub struct PostgresBuilder {
    config: Result<Config, String>,
    schema: String,
    root: Option<PathBuf>,
    connections: usize,
    timeout: Duration,
}

impl PostgresBuilder {
    /// Members of the URL that are ours (`schema`, `sslrootcert`) are taken out of it; the rest is that of libpq.
    pub(super) fn from_url(url: &str) -> Self {
        let mut builder = Self {
            config: Err(String::new()),
            schema: "bowline".into(),
            root: None,
            connections: 10,
            timeout: Duration::from_secs(30),
        };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        for member in query.split('&').filter(|member| !member.is_empty()) {
            match member.split_once('=') {
                Some(("schema", value)) => builder.schema = value.to_owned(),
                Some(("sslrootcert", value)) => builder.root = Some(value.into()),
                // We verify in any case.
                Some(("sslmode", "verify-ca" | "verify-full")) => rest.push("sslmode=require"),
                _ => rest.push(member),
            }
        }
        let url = match rest.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", rest.join("&")),
        };
        // The words of the parser may quote a part of the password, so they are not kept.
        builder.config = Config::from_str(&url).map_err(|_| {
            "it has to look like postgres://user:password@host:5432/database?sslmode=require; encode special characters of \
             the password by percent signs"
                .to_owned()
        });
        builder
    }

    /// The schema that the tables are in, `bowline` unless told otherwise. It is made if it is not there. Each schema is a
    /// store of its own.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Connections to the server, at most; 10 unless told otherwise, at least 2. One more hears of the commits of others, if
    /// anything is watched.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(2);
        self
    }

    /// How long an operation may take, 30 seconds unless told otherwise; then it fails with `Timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Trusts the certificates in this file (PEM) instead of those of the system.
    pub fn root_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        self.root = Some(path.into());
        self
    }

    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or schema that is none; `Unavailable` when the server cannot be reached; `PermissionDenied` when
    /// it refuses the user; `Unsupported` when a newer version of Bowline has written the schema.
    pub async fn open(self) -> Result<PostgresStore> {
        let mut config = self.config.map_err(|message| {
            Error::new(ErrorKind::InvalidInput, "open", message)
                .with_subject("the URL of the database")
        })?;
        check_schema(&self.schema)?;
        let place = place(&config, &self.schema);
        let options = config.get_options().unwrap_or_default();
        config.options(format!("{options} -c search_path={}", self.schema));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(self.timeout);
        }
        let tls = Tls::new(self.root.as_deref())?;
        let pool = pool(&config, &tls, self.connections, self.timeout)?;
        let id = migrate(&pool, &self.schema, &place).await?;
        let watchers = Arc::new(Watchers::default());
        let (sender, writes) = mpsc::unbounded_channel();
        let writers = Arc::new(Writers {
            pool: pool.clone(),
            writes: tokio::sync::Mutex::new(writes),
            watchers: Arc::clone(&watchers),
            place: place.clone(),
            schema: self.schema.clone(),
            timeout: self.timeout,
        });
        let mut tasks = JoinSet::new();
        for _ in 0..WRITERS.min(self.connections - 1) {
            let writers = Arc::clone(&writers);
            tasks.spawn(async move { writers.run().await });
        }
        // They end by themselves when the last handle is gone and what was accepted is done.
        let writing = Arc::new(tokio::sync::Mutex::new(tasks));
        Ok(PostgresStore {
            shared: Arc::new(Shared {
                id,
                place,
                schema: self.schema,
                pool,
                config,
                tls,
                timeout: self.timeout,
                writes: Mutex::new(Some(sender)),
                room: Arc::new(Semaphore::new(QUEUE)),
                writing,
                watchers,
                listening: Mutex::new(None),
                runtime: tokio::runtime::Handle::current(),
            }),
        })
    }
}

impl std::fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration has the password.
        f.debug_struct("PostgresBuilder")
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn check_schema(schema: &str) -> Result<()> {
    let letters = |byte: u8| byte == b'_' || byte.is_ascii_lowercase();
    let valid = schema.len() <= 63
        && schema.bytes().next().is_some_and(letters)
        && schema
            .bytes()
            .all(|byte| letters(byte) || byte.is_ascii_digit())
        && !schema.starts_with("pg_");
    if valid {
        return Ok(());
    }
    let message = "the name of a schema has 1 to 63 characters out of a-z, 0-9 and _, begins with none of 0-9 and not with pg_";
    Err(Error::new(ErrorKind::InvalidInput, "open", message).with_subject(schema.to_owned()))
}

/// The server and the database without user and password.
fn place(config: &Config, schema: &str) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().unwrap_or_default();
    format!("postgres://{host}:{port}/{database}?schema={schema}")
}

fn pool(config: &Config, tls: &Tls, connections: usize, timeout: Duration) -> Result<Pool> {
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(
        config.clone(),
        tls.clone(),
        ManagerConfig { recycling_method },
    );
    Pool::builder(manager)
        .max_size(connections)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(timeout))
        .create_timeout(Some(timeout))
        .build()
        .map_err(|error| {
            let message = "the pool of connections cannot be made";
            Error::new(ErrorKind::InvalidInput, "open", message).with_source(error)
        })
}

/// Brings the schema up to date, and returns the name of the data.
async fn migrate(pool: &Pool, schema: &str, place: &str) -> Result<Text> {
    let mut client = pool
        .get()
        .await
        .map_err(|error| no_connection("open", place, error))?;
    let fail = |error| failed("open", place, error);
    let transaction = client.transaction().await.map_err(fail)?;
    // Several processes may come at once; the others look again when this one is done.
    let lock = arrays::store_lock(schema);
    let sql = "SELECT pg_advisory_xact_lock($1)";
    transaction.execute(sql, &[&lock]).await.map_err(fail)?;
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    let found: i64 = transaction
        .query_one(sql, &[&schema])
        .await
        .map_err(fail)?
        .get(0);
    if found == 0 {
        let sql = format!("CREATE SCHEMA {schema}");
        transaction.batch_execute(&sql).await.map_err(fail)?;
    }
    let sql = "SELECT to_regclass('meta') IS NOT NULL";
    let known: bool = transaction.query_one(sql, &[]).await.map_err(fail)?.get(0);
    let version = match known {
        true => member(&transaction, "schema").await.map_err(fail)?,
        false => None,
    };
    let version = match version.as_deref().map(str::parse::<usize>) {
        None => 0,
        Some(Ok(version)) if version <= MIGRATIONS.len() => version,
        Some(_) => {
            let message = "a newer program has written the schema; update this program, or name another schema";
            return Err(
                Error::new(ErrorKind::Unsupported, "open", message).with_subject(place.to_owned())
            );
        }
    };
    for script in MIGRATIONS.iter().skip(version) {
        transaction.batch_execute(script).await.map_err(fail)?;
    }
    let set = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    if version < MIGRATIONS.len() {
        let version = MIGRATIONS.len().to_string();
        transaction
            .execute(set, &[&"schema", &version])
            .await
            .map_err(fail)?;
    }
    let id = match member(&transaction, "id").await.map_err(fail)? {
        Some(id) => id,
        None => {
            let id = crate::new_id().to_string();
            transaction
                .execute(set, &[&"id", &id])
                .await
                .map_err(fail)?;
            id
        }
    };
    transaction.commit().await.map_err(fail)?;
    Ok(id.into())
}

async fn member(
    transaction: &deadpool_postgres::Transaction<'_>,
    name: &str,
) -> Result<Option<String>, tokio_postgres::Error> {
    let sql = "SELECT value FROM meta WHERE name = $1";
    let row = transaction.query_opt(sql, &[&name]).await?;
    row.map(|row| row.try_get(0)).transpose()
}
