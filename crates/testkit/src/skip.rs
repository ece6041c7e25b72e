//! Which tests run without their server: none silently.

use std::io::Write as _;
use std::path::PathBuf;

/// Whether the calling test has to be left out, because `BOWLINE_SKIP_REDIS=1` says that there is no server; the name of the
/// test goes to standard error then, past the capture of the test harness.
///
/// Without that variable the test runs, and fails where the server is missing.
///
/// ```
/// # fn a_test() {
/// if bowline_testkit::skips_redis() {
///     return;
/// }
/// // the test
/// # }
/// # a_test();
/// ```
pub fn skips_redis() -> bool {
    let skips = is_set("BOWLINE_SKIP_REDIS");
    if skips {
        report("BOWLINE_SKIP_REDIS=1");
    }
    skips
}

/// The Valkey server that `BOWLINE_VALKEY_SERVER` names, for the tests that run on both servers.
///
/// `None` if the variable is not set: `cargo xtask test` sets it where Valkey can be had, and says so where not.
pub fn valkey() -> Option<PathBuf> {
    let path = std::env::var_os("BOWLINE_VALKEY_SERVER").filter(|path| !path.is_empty());
    if path.is_none() {
        report("BOWLINE_VALKEY_SERVER is not set");
    }
    path.map(PathBuf::from)
}

pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

pub(crate) fn report(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "skipped {test}: {reason}");
}
