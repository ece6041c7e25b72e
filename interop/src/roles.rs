//! Who plays which part, and whether Node peers are there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// The language of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The real package in a Node process.
    Node,
    /// This project in a process of its own.
    Rust,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Rust => "rust",
        })
    }
}

use Kind::{Node, Rust};

/// Broker and client: every pair with Rust in it.
pub fn pairs() -> Vec<[Kind; 2]> {
    with_peers(&[[Node, Rust], [Rust, Node], [Rust, Rust]])
}

/// Two parts: every pair, that of two Node peers included, which tells whether the scenario is one of the reference.
pub fn all_pairs() -> Vec<[Kind; 2]> {
    with_peers(&[[Node, Node], [Node, Rust], [Rust, Node], [Rust, Rust]])
}

/// Broker and two clients: every trio with both languages in it.
pub fn trios() -> Vec<[Kind; 3]> {
    with_peers(&[
        [Node, Rust, Node],
        [Rust, Node, Rust],
        [Rust, Rust, Node],
        [Node, Rust, Rust],
        [Rust, Node, Node],
        [Rust, Rust, Rust],
    ])
}

/// Each language alone, for what a raw socket asks of it.
pub fn both() -> Vec<Kind> {
    with_peers(&[[Node], [Rust]])
        .into_iter()
        .map(|[kind]| kind)
        .collect()
}

/// The rows that can run: all of them, or with `BOWLINE_SKIP_NODE=1` those of Rust alone.
pub fn with_peers<const N: usize>(rows: &[[Kind; N]]) -> Vec<[Kind; N]> {
    if have_node() {
        return rows.to_vec();
    }
    rows.iter()
        .filter(|row| !row.contains(&Node))
        .copied()
        .collect()
}

/// Whether tests with Node peers are to run; says so once when not.
///
/// # Panics
/// When they are to run and the packages are not installed.
pub fn have_node() -> bool {
    static SAID: Once = Once::new();
    if std::env::var("BOWLINE_SKIP_NODE").is_ok_and(|value| value == "1") {
        SAID.call_once(|| eprintln!("skipped: no Node peers"));
        return false;
    }
    assert!(
        project().join("node_modules/@mastra/core").is_dir(),
        "the packages of the Node peers are not installed: run `cargo xtask install`, or set BOWLINE_SKIP_NODE=1 to skip their tests"
    );
    true
}

/// How often a scenario with chance in it is repeated: `BOWLINE_ROUNDS`, else `default`.
pub fn rounds(default: usize) -> usize {
    std::env::var("BOWLINE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Where random scenarios begin: `BOWLINE_SEED`, else the time.
pub fn seed() -> u64 {
    let fresh = || {
        std::time::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .as_secs()
    };
    std::env::var("BOWLINE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(fresh)
}

/// The folder of the Node project.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
