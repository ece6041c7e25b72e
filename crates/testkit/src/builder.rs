//! How a server is to be started.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::tls::Certificates;
use crate::{Error, RedisServer, Result, scratch};

/// The user by which the test kit looks at a server that has users of its own.
pub(crate) const OWN_USER: &str = "bowline-testkit";
pub(crate) const OWN_PASSWORD: &str = "bowline-testkit";

/// The options of a [`RedisServer`]; made by [`RedisServer::builder`].
///
/// Without any: no password, no persistence, no memory limit, plain TCP.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct RedisServerBuilder {
    pub(crate) program: Option<OsString>,
    pub(crate) password: Option<String>,
    pub(crate) users: Vec<String>,
    pub(crate) append_only: bool,
    pub(crate) memory: Option<(String, String)>,
    pub(crate) tls: bool,
    pub(crate) client_certificates: bool,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) cluster: bool,
    pub(crate) lines: Vec<String>,
}

/// The server that a replica follows.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) port: u16,
    pub(crate) credentials: Option<(String, String)>,
}

impl RedisServerBuilder {
    /// The program, instead of the one in `BOWLINE_REDIS_SERVER` or the first of `redis-server` and `valkey-server` that is
    /// on the path.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// The password of the user `default`. Without spaces and quotes.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// A user as the ACL file names it, without the word `user`: `reader on >secret ~* +xread`. May be given several times.
    ///
    /// A server with users has one more for the test kit itself, `bowline-testkit`.
    pub fn user(mut self, line: impl Into<String>) -> Self {
        self.users.push(line.into());
        self
    }

    /// Keeps an append-only file that is synced before every reply, so that data survives [`RedisServer::kill`].
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// The memory limit, such as `4mb`, and what happens at it, such as `noeviction`.
    pub fn max_memory(mut self, limit: impl Into<String>, policy: impl Into<String>) -> Self {
        self.memory = Some((limit.into(), policy.into()));
        self
    }

    /// A second port with TLS; clients need no certificate.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A second port with TLS, on which clients have to show [`RedisServer::client_identity`].
    pub fn tls_with_client_certificates(mut self) -> Self {
        self.tls = true;
        self.client_certificates = true;
        self
    }

    /// Follows `other` as its replica; [`start`](Self::start) returns when the two are in step.
    pub fn replica_of(mut self, other: &RedisServer) -> Self {
        self.upstream = Some(Upstream {
            port: other.port(),
            credentials: other.own_credentials(),
        });
        self
    }

    /// Any other line of the configuration file.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub(crate) fn cluster_node(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Starts the server, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When there is no such program, or when the server ends or does not answer within [`PATIENCE`](crate::PATIENCE): with
    /// the last lines of its log.
    pub async fn start(self) -> Result<RedisServer> {
        RedisServer::launch(self).await
    }

    /// The program to run.
    pub(crate) fn program_path(&self) -> Result<OsString> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        if let Some(program) = std::env::var_os("BOWLINE_REDIS_SERVER").filter(|it| !it.is_empty())
        {
            return Ok(program);
        }
        ["redis-server", "valkey-server"]
            .into_iter()
            .find_map(on_path)
            .map(PathBuf::into_os_string)
            .ok_or_else(|| {
                Error::new(
                    "there is no redis-server and no valkey-server: run `cargo xtask install`, name one in \
                     BOWLINE_REDIS_SERVER, or skip its tests with BOWLINE_SKIP_REDIS=1",
                )
            })
    }

    /// As whom the test kit connects.
    pub(crate) fn own_credentials(&self) -> Option<(String, String)> {
        if self.users.is_empty() {
            let password = self.password.clone()?;
            return Some(("default".into(), password));
        }
        Some((OWN_USER.into(), OWN_PASSWORD.into()))
    }

    /// Writes the configuration for the ports into `folder`, and returns the path of its file.
    pub(crate) fn write_config(
        &self,
        folder: &Path,
        ports: &Ports,
        certificates: Option<&Certificates>,
    ) -> Result<PathBuf> {
        let mut text = format!(
            "bind 127.0.0.1\nprotected-mode no\nport {}\ndir {}\nsave \"\"\ndaemonize no\nrepl-diskless-sync-delay 0\n",
            ports.plain,
            folder.display()
        );
        let mut line = |words: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{words}");
        };
        if self.append_only {
            line(format_args!("appendonly yes\nappendfsync always"));
        } else {
            line(format_args!("appendonly no"));
        }
        if let Some((limit, policy)) = &self.memory {
            line(format_args!("maxmemory {limit}\nmaxmemory-policy {policy}"));
        }
        if let Some(file) = self.write_users(folder)? {
            line(format_args!("aclfile {}", file.display()));
        } else if let Some(password) = &self.password {
            line(format_args!("requirepass {password}"));
        }
        if let (Some(port), Some(certificates)) = (ports.tls, certificates) {
            let files = certificates.write(folder)?;
            let ask = if self.client_certificates {
                "yes"
            } else {
                "no"
            };
            line(format_args!(
                "tls-port {port}\ntls-ca-cert-file {}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients {ask}",
                files.ca.display(),
                files.certificate.display(),
                files.key.display()
            ));
        }
        if let Some(upstream) = &self.upstream {
            line(format_args!("replicaof 127.0.0.1 {}", upstream.port));
            if let Some((user, password)) = &upstream.credentials {
                line(format_args!("masterauth {password}"));
                if user != "default" {
                    line(format_args!("masteruser {user}"));
                }
            }
        }
        if let Some(port) = ports.cluster {
            line(format_args!(
                "cluster-enabled yes\ncluster-port {port}\ncluster-node-timeout 5000"
            ));
        }
        for extra in &self.lines {
            line(format_args!("{extra}"));
        }
        write(folder.join("server.conf"), &text)
    }

    fn write_users(&self, folder: &Path) -> Result<Option<PathBuf>> {
        if self.users.is_empty() {
            return Ok(None);
        }
        let mut text = format!("user {OWN_USER} on >{OWN_PASSWORD} ~* &* +@all\n");
        if let Some(password) = &self.password {
            text.push_str(&format!("user default on >{password} ~* &* +@all\n"));
        }
        for user in &self.users {
            text.push_str(&format!("user {user}\n"));
        }
        write(folder.join("users.acl"), &text).map(Some)
    }
}

/// The ports of one server.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) plain: u16,
    pub(crate) tls: Option<u16>,
    pub(crate) cluster: Option<u16>,
}

impl Ports {
    pub(crate) fn scratch(builder: &RedisServerBuilder) -> Result<Self> {
        Ok(Self {
            plain: scratch::port()?,
            tls: builder.tls.then(scratch::port).transpose()?,
            cluster: builder.cluster.then(scratch::port).transpose()?,
        })
    }
}

/// Where `program` lies on the path.
fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf> {
    std::fs::write(&path, text)
        .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
    Ok(path)
}
