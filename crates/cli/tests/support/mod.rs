//! Runs the real binary.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests: each file uses its part, and what fails here is a failed test"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Long enough for any machine; reached only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own, in which commands run and sockets are made.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(
            tempfile::Builder::new()
                .prefix("bowline-cli-")
                .tempdir()
                .unwrap(),
        )
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The URL of a bus in this folder.
    pub fn bus(&self) -> String {
        format!("unix://{}/events.sock", self.path().display())
    }

    /// The command, in this folder, without any configuration of the one who runs the tests.
    pub fn command<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
        command
            .args(args)
            .current_dir(self.path())
            .env_remove("BOWLINE_BUS")
            .env_remove("BOWLINE_CACHE")
            .env_remove("BOWLINE_STORE")
            .env_remove("UPSTASH_REDIS_REST_TOKEN")
            .env_remove("NO_COLOR");
        command
    }

    /// The command as a user for whom permissions count: when the tests run as root, as nobody, from a copy of the binary that
    /// nobody can reach.
    pub fn unprivileged<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        if !rustix::process::geteuid().is_root() {
            return self.command(args);
        }
        const NOBODY: u32 = 65_534;
        std::fs::set_permissions(self.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let binary = self.join("bowline");
        // Copied by a process of its own: a file that this process had open for writing could be inherited by a child that
        // another test starts at that moment, and could not be run then.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_bowline"))
            .arg(&binary)
            .status();
        assert!(copied.unwrap().success());
        let mut command = Command::new(binary);
        command
            .args(args)
            .current_dir(self.path())
            .env_remove("BOWLINE_BUS")
            .env_remove("BOWLINE_CACHE")
            .env_remove("BOWLINE_STORE")
            .env_remove("UPSTASH_REDIS_REST_TOKEN")
            .uid(NOBODY)
            .gid(NOBODY);
        command
    }

    /// Runs the command to its end, with `input` on its standard input.
    pub fn run<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>, input: &str) -> Done {
        finish(self.command(args), input)
    }

    /// Starts the command, its output read line by line.
    pub fn start<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Running {
        Running::new(self.command(args))
    }

    /// Starts `tail` with `options` on `topic`, and waits until it listens.
    pub fn tail(&self, topic: &str, options: &[&str]) -> Running {
        let bus = self.bus();
        let args = [&["tail", topic, "--bus", &bus], options].concat();
        let running = self.start(args);
        running.wait_for_note("listening");
        running
    }

    /// Publishes one event and expects that to work.
    pub fn publish(&self, topic: &str, data: &str) -> Done {
        let args = [
            "publish",
            topic,
            "--bus",
            &self.bus(),
            "--type",
            "t",
            "--data",
            data,
        ];
        let done = self.run(args, "");
        assert_eq!(done.code, Some(0), "{done:?}");
        done
    }
}

/// Runs `command` to its end.
pub fn finish(mut command: Command, input: &str) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feed = std::thread::spawn(move || {
        // A command that fails early does not read all.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    Done::from(output)
}

/// Waits for the end of `child`; its exit code.
pub fn wait_for(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            // Nobody else would end it.
            let _ = child.kill();
            panic!("the command does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command that ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Done {
    /// The findings of a level in the report of a doctor, each with its remedy.
    pub fn findings(&self, level: &str) -> Vec<(String, String)> {
        let report: Value = serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"));
        let text =
            |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().unwrap();
        findings
            .iter()
            .filter(|finding| finding["level"] == level)
            .map(|finding| (text(finding, "what"), text(finding, "remedy")))
            .collect()
    }

    /// The one line that a failed command says, without the notes before it.
    pub fn failure(&self) -> &str {
        let mut lines = self
            .err
            .lines()
            .filter(|line| !line.starts_with("bowline: note:"));
        let line = lines.next().unwrap_or_default();
        assert_eq!(lines.next(), None, "more than one line: {self:?}");
        line.strip_prefix("bowline: ")
            .unwrap_or_else(|| panic!("{self:?}"))
    }
}

/// A command that runs. Killed when it is dropped.
pub struct Running {
    child: Child,
    started: Instant,
    pub out: Receiver<String>,
    pub err: Receiver<String>,
}

impl Running {
    pub fn new(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self {
            child,
            started: Instant::now(),
            out,
            err,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        self.out.recv_timeout(PATIENCE).expect("a line of output")
    }

    /// Waits for a note that contains `part`.
    pub fn wait_for_note(&self, part: &str) {
        loop {
            let line = self.err.recv_timeout(PATIENCE).expect("a note");
            if line.contains(part) {
                return;
            }
        }
    }

    /// Whether it ended. Fails when it runs for longer than anybody has patience.
    pub fn has_ended(&mut self) -> bool {
        assert!(
            self.started.elapsed() < PATIENCE,
            "the command does not end"
        );
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends the signal called `name`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end: the exit code, and the lines that were not read yet.
    pub fn wait(mut self) -> (Option<i32>, Vec<String>) {
        while !self.has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
        (self.child.wait().unwrap().code(), self.out.iter().collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(source: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}
