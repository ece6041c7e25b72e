//! The workloads as a program of its own; `bowline bench` is the same.

use std::env;
use std::process::ExitCode;

use bowline_bench::BenchArgs;
use clap::Parser;

/// Measures Bowline.
#[derive(Debug, Parser)]
#[command(name = "bowline-bench", version)]
struct Cli {
    #[command(flatten)]
    args: BenchArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let program = env::current_exe().map_or_else(|_| "bowline-bench".into(), Into::into);
    bowline_bench::run(&cli.args, &[program])
}
