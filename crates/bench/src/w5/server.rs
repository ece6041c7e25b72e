//! The Redis server of a measurement: one of its own, or the one that the environment names.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;

const PROGRAM: &str = "redis-server";
const URL: &str = "REDIS_URL";
const PATIENCE: Duration = Duration::from_secs(10);

/// A server. One that was started here keeps nothing on disk, and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    /// Ends the server with the measurement.
    _own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    child: Child,
    directory: PathBuf,
}

impl Server {
    /// Why there is nothing to measure on, if so.
    pub(crate) fn missing() -> Option<String> {
        if env::var_os(URL).is_some() {
            return None;
        }
        let found = Command::new(PROGRAM)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match found {
            Ok(status) if status.success() => None,
            _ => Some(format!(
                "{PROGRAM} is not on PATH and {URL} is not set; install Redis 7 or name a server"
            )),
        }
    }

    /// The server that `REDIS_URL` names, or a new one on a free port of the loopback interface.
    pub(crate) fn find() -> Result<Self> {
        match env::var(URL) {
            Ok(url) => Ok(Self { url, _own: None }),
            Err(_) => Self::start(),
        }
    }

    fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let directory = env::temp_dir().join(format!("bowline-w5-{}-{port}", std::process::id()));
        fs::create_dir(&directory)?;
        let child = Command::new(PROGRAM)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{PROGRAM} cannot be started: {error}"))?;
        let server = Self {
            url: format!("redis://127.0.0.1:{port}"),
            _own: Some(Own { child, directory }),
        };
        let begun = Instant::now();
        while !answers(port) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{PROGRAM} does not answer on port {port}").into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 5];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+PONG")
    };
    ping().unwrap_or(false)
}

impl Drop for Own {
    fn drop(&mut self) {
        // A server that has ended already is as dead as it should be, and its empty directory harms nobody.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
