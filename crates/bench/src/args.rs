//! The command line, to be flattened into that of the `bowline` command.

use std::ffi::OsString;

use clap::Args;

use crate::settings::{Settings, span};

/// What to measure, and how.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Workloads: w1 w2 w3 w3.publish w3.replay w3.storm w3.topics w4 w4.throughput w4.latency \
                        w4.failover w5 w5.publish w5.group w5.fanout w5.latency w5.stream w6 w6.linear10 w6.parallel100 w6.foreach w6.long w6.sqlite w7 w7.durable w7.evented w7.observe w7.crowd w7.memory w9. A name without a dot takes all its parts."
)]
pub struct BenchArgs {
    /// The workloads, such as `w1` or `w3.storm`.
    #[arg(value_name = "WORKLOAD", required_unless_present_any = ["list", "role", "delay_proxy", "start"])]
    pub(crate) workloads: Vec<String>,

    /// One JSON object per measurement instead of text.
    #[arg(long)]
    pub(crate) json: bool,

    /// Only measurements whose name followed by their parameters as compact JSON contains this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) filter: String,

    /// Length of one measurement; BENCH_SECONDS, 3 by default.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seconds: Option<f64>,

    /// Uncounted work before it; BENCH_WARMUP_SECONDS, 0.5 by default.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) warm_up: Option<f64>,

    /// Who plays the roles of W4 and W5, such as `broker=node,publisher=rust`; rust unless BENCH_ROLE_… says otherwise.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(crate) roles: String,

    /// List the measurements instead of making them.
    #[arg(long)]
    pub(crate) list: bool,

    /// Make the measurement of this number, in this process.
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub(crate) only: Option<usize>,

    /// Play a role of W4 or W5 on the bus of this address.
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) role: Option<OsString>,

    /// Be the delaying proxy of W5.stream, to the server at this host and port.
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    pub(crate) delay_proxy: Option<String>,

    /// What the delaying proxy adds to a round trip.
    #[arg(long, value_name = "NUMBER", hide = true, default_value_t = 25.0)]
    pub(crate) added_ms: f64,

    /// Be a process of W9.
    #[arg(long, value_name = "KIND", hide = true)]
    pub(crate) start: Option<String>,
}

impl BenchArgs {
    /// The arguments by which another process knows what of its measurement is wanted.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = self.workloads.clone();
        if self.json {
            args.push("--json".into());
        }
        args.push(format!("--filter={}", self.filter));
        args.push(format!("--roles={}", self.roles));
        args.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        args.extend(self.warm_up.map(|seconds| format!("--warm-up={seconds}")));
        args
    }

    pub(crate) fn settings(&self) -> Result<Settings, String> {
        let mut settings = Settings::from_env()?;
        if let Some(seconds) = self.seconds {
            settings.length = span(seconds)?;
        }
        if let Some(seconds) = self.warm_up {
            settings.warm_up = span(seconds)?;
        }
        Ok(settings)
    }
}
