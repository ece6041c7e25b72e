//! Settings of the server that a bus can run into.

use bowline_redis::inspect::Limits;

use super::{Finding, Report, Wanted};

/// Percent of the connections from which on there are too few.
const NEARLY_ALL: u64 = 90;

/// A stream may be longer than it should be by this part of its length before it is worth a word.
const MUCH_LONGER: u64 = 10;

pub(super) fn judge(report: &Report, wanted: &Wanted) -> Vec<Finding> {
    let limits = &report.limits;
    let findings = [
        judge_timeout(limits),
        judge_nodes(limits, wanted),
        judge_buffers(limits),
        judge_values(limits, wanted),
        judge_clients(limits),
    ];
    findings.into_iter().flatten().collect()
}

fn judge_timeout(limits: &Limits) -> Option<Finding> {
    let timeout = limits.idle_timeout.as_ref().ok()?;
    if timeout.is_zero() {
        return None;
    }
    let seconds = timeout.as_secs();
    Some(Finding::warning(
        format!(
            "the server closes connections that were idle for {seconds} s (timeout): a publisher that was silent connects \
             anew, and a publish at that moment may fail although it was written"
        ),
        "CONFIG SET timeout 0; connections that died are found by keep-alive all the same",
    ))
}

fn judge_nodes(limits: &Limits, wanted: &Wanted) -> Option<Finding> {
    let length = wanted.max_stream_length?;
    let entries = *limits.node_entries.as_ref().ok()?;
    if entries == 0 {
        return Some(Finding::warning(
            "stream-node-max-entries is 0: only its bytes bound a node of a stream, and as trimming removes whole nodes, topics \
             may keep many more events than max_stream_length",
            "CONFIG SET stream-node-max-entries 100",
        ));
    }
    (entries > length / MUCH_LONGER).then(|| {
        Finding::warning(
            format!(
                "trimming removes nodes of {entries} entries (stream-node-max-entries): a topic may keep {} events, where \
                 max_stream_length is {length}",
                length.saturating_add(entries)
            ),
            "CONFIG SET stream-node-max-entries 100, or reckon with the memory",
        )
    })
}

fn judge_buffers(limits: &Limits) -> Option<Finding> {
    let memory = limits.client_memory.as_ref().ok()?;
    (memory != "0").then(|| {
        Finding::warning(
            format!(
                "the server disconnects the greediest clients when their buffers take more than {memory} bytes (maxmemory-clients): a \
                 reader of large events may be cut off, and what it had not acknowledged comes again"
            ),
            "CONFIG SET maxmemory-clients 0, or lower read_batch",
        )
    })
}

fn judge_values(limits: &Limits, wanted: &Wanted) -> Option<Finding> {
    let bytes = *limits.value_bytes.as_ref().ok()?;
    let wanted = wanted.max_event_bytes;
    (bytes < wanted as u64).then(|| {
        Finding::warning(
            format!(
                "the server takes values of {bytes} bytes (proto-max-bulk-len), and max_event_bytes is {wanted}: a larger event \
                 costs the connection instead of being refused"
            ),
            format!("add max_event_bytes={bytes} to the bus URL, or raise proto-max-bulk-len"),
        )
    })
}

fn judge_clients(limits: &Limits) -> Option<Finding> {
    let (open, most) = (
        *limits.clients.as_ref().ok()?,
        *limits.max_clients.as_ref().ok()?,
    );
    (open.saturating_mul(100) >= most.saturating_mul(NEARLY_ALL)).then(|| {
        Finding::warning(
            format!(
                "{open} of {most} connections are in use (maxclients); a bus takes one, one more for its ungrouped subscribers, and \
                 one for each topic and group that it is a member of"
            ),
            "CONFIG SET maxclients to more, or find out who holds them: redis-cli client list",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{bus, healthy, refused, worst};
    use super::*;
    use crate::doctor::finding::Level;

    fn changed(change: impl FnOnce(&mut Limits)) -> Report {
        let mut report = healthy();
        change(&mut report.limits);
        report
    }

    #[test]
    fn what_a_bus_can_run_into_is_a_warning() {
        let table = [
            (
                changed(|limits| limits.idle_timeout = Ok(Duration::from_secs(60))),
                "idle for 60 s",
            ),
            (
                changed(|limits| limits.node_entries = Ok(0)),
                "only its bytes",
            ),
            (
                changed(|limits| limits.node_entries = Ok(4_000)),
                "may keep 14000",
            ),
            (
                changed(|limits| limits.client_memory = Ok("5%".to_owned())),
                "more than 5%",
            ),
            (
                changed(|limits| limits.value_bytes = Ok(1_048_576)),
                "values of 1048576",
            ),
            (
                changed(|limits| limits.clients = Ok(9_500)),
                "9500 of 10000",
            ),
        ];
        for (report, part) in table {
            let (level, text) = worst(&judge(&report, &bus()));
            assert_eq!(level, Level::Warning, "{part}");
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn defaults_and_silence_are_no_findings() {
        let silent = changed(|limits| {
            limits.idle_timeout = Err(refused("CONFIG GET"));
            limits.node_entries = Err(refused("CONFIG GET"));
            limits.client_memory = Err(refused("CONFIG GET"));
            limits.value_bytes = Err(refused("CONFIG GET"));
            limits.clients = Err(refused("INFO"));
        });
        let untrimmed = Wanted {
            max_stream_length: None,
            ..bus()
        };
        let large = changed(|limits| limits.node_entries = Ok(0));
        for (report, wanted) in [(healthy(), bus()), (silent, bus()), (large, untrimmed)] {
            assert_eq!(judge(&report, &wanted), []);
        }
    }
}
