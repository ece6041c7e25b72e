#!/bin/sh
# Measures the reference and Bowline in turns and prints a table of ratios:
#   bench/compare.sh [--rounds 3] [--seconds 2] [--failovers 20] [--raw lines.jsonl] [part…] > bench/RESULTS.md
# Parts: w1 w2 w3 w4.throughput w4.latency w4.failover w4.mixed w5.publish w5.group w5.fanout w5.latency w5.stream w6 w7 w9,
# all by default.
set -eu
cd "$(dirname "$0")/.."
[ -d interop/node_modules ] || (cd interop && npm ci >&2)
if [ -z "${BOWLINE_BENCH:-}" ]; then
    cargo build --release --quiet --package bowline-cli >&2
    BOWLINE_BENCH="[\"${CARGO_TARGET_DIR:-target}/release/bowline\",\"bench\"]"
fi
export BOWLINE_BENCH
exec node bench/compare/main.mjs "$@"
