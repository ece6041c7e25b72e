//! Finding out what was trimmed before the group had read it.
//!
//! A group that is behind reads in a transaction with a look at the positions of group and stream. Of the entries from the
//! group's position to the end of the stream, more than the stream keeps must be gone.

use super::share::Share;
use super::work::Notice;
use crate::reader::{BlockingReader, ReadFailure};
use crate::stream::{Entry, StreamInfo, parse_read};
use crate::wire::{Command, Failure, Repeat, Reply};

/// Moves the count of read entries of a group, which the server does not do when it jumps over trimmed ones.
const MOVE: &str = "\
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do \
local field = {} \
for i = 1, #group, 2 do field[group[i]] = group[i + 1] end \
if field['name'] == ARGV[1] and field['entries-read'] then \
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], field['last-delivered-id'], 'ENTRIESREAD', field['entries-read'] + ARGV[2]) \
return 1 end \
end \
return 0";

/// A read, and what is missing in front of it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) entries: Vec<Entry>,
    pub(super) gap: Option<Gap>,
}

/// Positions that a group never got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    wanted: u64,
    first: u64,
    /// Whether the server knows the new position of the group.
    known: bool,
}

impl Gap {
    pub(super) fn notice(self) -> Notice {
        Notice::Truncated {
            wanted: self.wanted,
            first: self.first,
        }
    }

    /// What is missing when a group that had read `before` entries of `stream` has now read `got` more, and the server counts
    /// `after`.
    fn find(before: u64, stream: &StreamInfo, got: u64, after: Option<u64>) -> Option<Self> {
        let first = stream.first();
        (got > 0 && first > before).then_some(Self {
            wanted: before,
            first,
            known: after != Some(before + got),
        })
    }
}

/// Sends `read`, which does not block, together with a look at the positions. `jumped` positions are missing in what the server
/// counts.
pub(super) async fn read(
    reader: &mut BlockingReader,
    share: &Share,
    read: Command,
    jumped: u64,
) -> Result<Checked, ReadFailure> {
    let stream = share.stream();
    let groups = || Command::new("XINFO GROUPS").key(stream.key());
    let all = [groups(), stream.info(), read, groups()];
    let replies = reader.run_all(&all, true).await?;
    parse(replies, &share.group, jumped).map_err(|failure| reader.failed(failure))
}

fn parse(replies: Vec<Reply>, group: &str, jumped: u64) -> Result<Checked, Failure> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or(Reply::Nil).into_result();
    // The read tells best what is wrong, so its failure comes first.
    let (before, stream, read, after) = (next(), next(), next()?, next());
    let streams = parse_read(read)?;
    let entries: Vec<Entry> = streams
        .into_iter()
        .flat_map(|(_, entries)| entries)
        .collect();
    let stream = StreamInfo::from_reply(stream?)?;
    let (before, after) = (read_entries(before?, group)?, read_entries(after?, group)?);
    let gap = before.and_then(|before| {
        let got = entries.len() as u64;
        let after = after.map(|after| after + jumped);
        Gap::find(before + jumped, &stream, got, after)
    });
    Ok(Checked { entries, gap })
}

/// How many entries the server says that `group` has read, if it knows.
fn read_entries(groups: Reply, group: &str) -> Result<Option<u64>, Failure> {
    for fields in groups.into_array()? {
        let fields = fields.into_array()?;
        let name = Reply::field(&fields, "name").unwrap_or(Reply::Nil);
        if name.into_text()? == group {
            let read = Reply::field(&fields, "entries-read").unwrap_or(Reply::Nil);
            return Ok(match read {
                Reply::Nil => None,
                read => u64::try_from(read.into_int()?).ok(),
            });
        }
    }
    Ok(None)
}

/// Tells the server of a gap; the number of positions that it has to be reminded of.
pub(super) async fn tell_server(share: &Share, gap: Gap) -> u64 {
    if gap.known {
        return 0;
    }
    let jumped = gap.first - gap.wanted;
    let stream = share.stream();
    let tell = Command::sized("EVAL", MOVE.len())
        .arg(MOVE)
        .number(1)
        .key(stream.key())
        .arg(&*share.group)
        .number(jumped);
    match share.bus.link.run(&tell, Repeat::No).await {
        Ok(_) => 0,
        Err(failure) => {
            tracing::debug!(topic = %share.topic, group = %share.group, ?failure, "the position of a group could not be corrected on the server");
            jumped
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_the_stream_no_longer_keeps() {
        let stream = |end, length| StreamInfo {
            end,
            length,
            ..StreamInfo::default()
        };
        // Read so far, ever appended, kept, got: first missing and first there.
        for (before, end, length, got, wanted) in [
            (0, 10, 10, 10, None),
            (5, 10, 10, 5, None),
            (5, 10, 5, 5, None),
            (5, 10, 4, 4, Some((5, 6))),
            (0, 20_000, 10_000, 512, Some((0, 10_000))),
            (20_000, 20_000, 10_000, 0, None),
            (5, 10, 0, 0, None),
        ] {
            let gap = Gap::find(before, &stream(end, length), got, None);
            let found = gap.map(|gap| (gap.wanted, gap.first));
            assert_eq!(found, wanted, "{before} of {end}, {length} kept");
        }
    }

    #[test]
    fn a_server_that_jumps_along_need_not_be_told() {
        let stream = StreamInfo {
            end: 10,
            length: 4,
            ..StreamInfo::default()
        };
        let known = |after| Gap::find(5, &stream, 4, Some(after)).expect("a gap").known;
        assert!(!known(9), "it counted on from where it was");
        assert!(known(10), "it counted from where the entries are");
    }
}
