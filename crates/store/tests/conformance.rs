//! Every backend fulfils every clause.

mod support;

use bowline_store::conformance::assert_fulfilled;
use support::backends::Memory;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    assert_fulfilled(&Memory).await;
}
