//! Tools of MCP servers.

mod call;
mod connection;
mod endpoint;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_events::Text;

use connection::Connection;
use endpoint::Endpoint;

use crate::Result;
use crate::tool::Tool;

/// A server of tools, reached by the Model Context Protocol: a command that is started and spoken to through its input and output,
/// or an address.
///
/// # Guarantees
/// A command that ends is started again at the next call, after a wait that doubles from 100 ms to 30 s while it cannot be
/// started. A call that was under way is not made again; the model is told. The command is killed when the last of its tools is
/// dropped.
///
/// # Limits
/// 1,000 tools; 16 MiB for a message of the server; what a tool returns has the limit of every tool.
///
/// ```no_run
/// use std::time::Duration;
/// use bowline_agent::mcp::McpServer;
///
/// # async fn start() -> Result<(), bowline_agent::Error> {
/// let files = McpServer::command("npx")
///     .args(["-y", "@modelcontextprotocol/server-filesystem", "/srv/files"])
///     .call_timeout(Duration::from_secs(10))
///     .tools()
///     .await?;
/// let pages = McpServer::url("https://mcp.example.com/mcp")
///     .header("authorization", "Bearer ...")
///     .prefix("pages_")
///     .tools()
///     .await?;
/// # drop((files, pages));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "its tools are had with .tools()"]
pub struct McpServer {
    endpoint: Endpoint,
    prefix: Text,
    start_timeout: Duration,
    call_timeout: Duration,
}

impl McpServer {
    /// The server that `program` is. It sees of the environment only what programs need, such as `PATH` and `HOME`, and what
    /// [`env`](Self::env) gives it; its error output is that of this process.
    pub fn command(program: impl Into<OsString>) -> Self {
        Self::at(Endpoint::command(program.into()))
    }

    /// The server at this `http://` or `https://` address, by the streamable HTTP transport.
    pub fn url(url: impl Into<Text>) -> Self {
        Self::at(Endpoint::url(url.into()))
    }

    fn at(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            prefix: "".into(),
            start_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(60),
        }
    }

    /// Gives the command these arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.endpoint.args(args.into_iter().map(Into::into));
        self
    }

    /// Gives the command this variable. Its value is never shown.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.endpoint.env(name.into(), value.into());
        self
    }

    /// Starts the command in this directory.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.endpoint.current_dir(directory.into());
        self
    }

    /// Sends this header with every request to the address. Its value is never shown.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.endpoint.header(name.into(), value.into());
        self
    }

    /// Puts `prefix` before the names of its tools, where two servers have tools of one name.
    pub fn prefix(mut self, prefix: impl Into<Text>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long it may take to start and to say what it is, instead of 30 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// How long a call may take, with the start of a command that had ended, instead of 60 s.
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// Its tools. They have the names, descriptions and schemas that the server gives them; characters that providers of models
    /// refuse in names are `_`. What a server says of its tools is not to be trusted; where calls are to be approved, say so:
    /// `tool.into_tool().requires_approval().build()`.
    ///
    /// # Errors
    /// `Tool` when it cannot be started or reached, or says nothing sensible; `Timeout`; `TooLarge` when it has more than 1,000
    /// tools; `InvalidDefinition` when a tool has a name or schema that cannot be used.
    pub async fn tools(self) -> Result<Vec<Tool>> {
        let connection = Arc::new(Connection::new(self.endpoint, self.start_timeout));
        let listed = connection.list().await?;
        listed
            .into_iter()
            .map(|tool| call::tool(&connection, tool, &self.prefix, self.call_timeout))
            .collect()
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer")
            .field("server", &self.endpoint.name())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
