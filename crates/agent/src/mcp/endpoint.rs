//! Where a server is, and how it is reached.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use bowline_events::Text;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{Peer, ServiceExt as _};
use tokio::process::{Child, Command};

use crate::model::http;
use crate::{Error, ErrorKind, Result};

/// Bytes of the longest message of a server.
const LONGEST: usize = 16 << 20;

/// What a command sees of the environment: nothing that could be a secret.
const INHERITED: [&str; 10] = [
    "HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];

/// Where a server is.
#[derive(Clone)]
pub(super) enum Endpoint {
    Command {
        program: OsString,
        args: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
        directory: Option<PathBuf>,
        /// What was set that only an address has.
        misplaced: bool,
    },
    Url {
        url: Text,
        headers: Vec<(String, String)>,
        /// What was set that only a command has.
        misplaced: bool,
    },
}

/// A server that is reached. Dropping it ends the command.
pub(super) struct Live {
    service: RunningService<RoleClient, ClientConfig>,
    _child: Option<Child>,
}

impl Live {
    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.peer().is_transport_closed()
    }
}

impl Endpoint {
    pub(super) fn command(program: OsString) -> Self {
        Self::Command {
            program,
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            misplaced: false,
        }
    }

    pub(super) fn url(url: Text) -> Self {
        Self::Url {
            url,
            headers: Vec::new(),
            misplaced: false,
        }
    }

    pub(super) fn args(&mut self, more: impl Iterator<Item = OsString>) {
        match self {
            Self::Command { args, .. } => args.extend(more),
            Self::Url { misplaced, .. } => *misplaced = true,
        }
    }

    pub(super) fn env(&mut self, name: OsString, value: OsString) {
        match self {
            Self::Command { env, .. } => env.push((name, value)),
            Self::Url { misplaced, .. } => *misplaced = true,
        }
    }

    pub(super) fn current_dir(&mut self, path: PathBuf) {
        match self {
            Self::Command { directory, .. } => *directory = Some(path),
            Self::Url { misplaced, .. } => *misplaced = true,
        }
    }

    pub(super) fn header(&mut self, name: String, value: String) {
        match self {
            Self::Url { headers, .. } => headers.push((name, value)),
            Self::Command { misplaced, .. } => *misplaced = true,
        }
    }

    /// What errors call it, without anything that could be secret.
    pub(super) fn name(&self) -> Text {
        match self {
            Self::Command { program, .. } => program.to_string_lossy().into_owned().into(),
            Self::Url { url, .. } => match reqwest::Url::parse(url) {
                Ok(url) => url
                    .host_str()
                    .unwrap_or("a URL without a host")
                    .to_owned()
                    .into(),
                Err(_) => "a URL".into(),
            },
        }
    }

    pub(super) async fn connect(&self) -> Result<Live> {
        match self {
            Self::Command {
                misplaced: true, ..
            } => Err(self.error(
                ErrorKind::InvalidDefinition,
                "a command has no headers; leave them out",
            )),
            Self::Url {
                misplaced: true, ..
            } => Err(self.error(
                ErrorKind::InvalidDefinition,
                "an address has no arguments, environment or directory; leave them out",
            )),
            Self::Command {
                program,
                args,
                env,
                directory,
                ..
            } => {
                let mut command = Command::new(program);
                command.args(args).env_clear();
                let inherited = INHERITED
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?)));
                command.envs(inherited).envs(env.iter().cloned());
                if let Some(directory) = directory {
                    command.current_dir(directory);
                }
                self.start(command).await
            }
            Self::Url { url, headers, .. } => self.reach(url, headers).await,
        }
    }

    async fn start(&self, mut command: Command) -> Result<Live> {
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| {
            let message = format!("it cannot be started: {error}; check the command and PATH");
            self.error(ErrorKind::Tool, message).with_source(error)
        })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.error(ErrorKind::Tool, "it has no input or output"));
        };
        let transport = AsyncRwTransport::new_client(output, input).with_max_line_length(LONGEST);
        let service = client().serve(transport).await;
        let service = service.map_err(|error| self.speechless(error))?;
        Ok(Live {
            service,
            _child: Some(child),
        })
    }

    async fn reach(&self, url: &Text, headers: &[(String, String)]) -> Result<Live> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = "the address does not begin with http:// or https://";
            return Err(self.error(ErrorKind::InvalidDefinition, message));
        }
        let mut custom = HashMap::new();
        for (name, value) in headers {
            let (Ok(key), Ok(mut content)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            ) else {
                let message = format!("{name:?} is no header that HTTP has a place for");
                return Err(self.error(ErrorKind::InvalidDefinition, message));
            };
            content.set_sensitive(true);
            custom.insert(key, content);
        }
        let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
            .custom_headers(custom)
            .max_sse_event_size(LONGEST);
        let client_of_http = http::client(Some(url))?;
        let transport = StreamableHttpClientTransport::with_client(client_of_http, config);
        let service = client().serve(transport).await;
        let service = service.map_err(|error| self.speechless(error))?;
        Ok(Live {
            service,
            _child: None,
        })
    }

    fn speechless(&self, error: rmcp::service::ClientInitializeError) -> Error {
        let message = "it does not say what it is, as MCP servers do; check that it is one";
        self.error(ErrorKind::Tool, message).with_source(error)
    }

    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<Text>) -> Error {
        Error::new(kind, "use MCP server", message).with_subject(self.name())
    }
}

/// Who this is.
fn client() -> ClientConfig {
    let name = Implementation::new("bowline", env!("CARGO_PKG_VERSION"));
    ClientConfig::new(ClientCapabilities::default(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_without_its_secrets() {
        for (url, name) in [
            (
                "https://me:secret@mcp.example.com/mcp?key=secret",
                "mcp.example.com",
            ),
            ("nonsense secret", "a URL"),
        ] {
            assert_eq!(Endpoint::url(url.into()).name(), name);
        }
    }

    #[tokio::test]
    async fn what_does_not_belong_together_is_refused() {
        let mut command = Endpoint::command("true".into());
        command.header("a".into(), "b".into());
        let mut url = Endpoint::url("http://127.0.0.1:1/".into());
        url.env("A".into(), "b".into());
        let mut header = Endpoint::url("http://127.0.0.1:1/".into());
        header.header("not a name".into(), "b".into());
        let scheme = Endpoint::url("ftp://127.0.0.1/".into());
        for endpoint in [command, url, header, scheme] {
            let error = endpoint.connect().await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidDefinition, "{error}");
        }
    }
}
