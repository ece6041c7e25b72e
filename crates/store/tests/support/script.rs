//! Random commits.

use bowline_events::Timestamp;
use bowline_store::{Blob, Commit, Expect, Index, Keep};
use proptest::prelude::*;

use super::model::{KEYS, Model, TABLES};

/// A step of a script.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit(Vec<Op>),
    Claim { table: usize, at: i64, limit: usize },
}

/// An operation whose expectation is filled in from what is there.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Put(usize, usize, Guess, i64, u8),
    Delete(usize, usize, Guess),
    Check(usize, usize, Guess),
    Append(usize, usize, Option<Guess>, Vec<u8>, Option<u64>),
    Trim(usize, usize, u64),
    DropLog(usize, usize, Option<Guess>),
    PutBlob(usize, usize, u8),
    DropBlob(usize, usize, u8),
}

/// What a writer believes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guess {
    Right,
    Absent,
    Stale,
}

pub(crate) fn blob(number: u8) -> Blob {
    Blob::new(vec![number; usize::from(number) + 1])
}

pub(crate) const BLOBS: std::ops::Range<u8> = 0..4;

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![12 => Just(Guess::Right), 1 => Just(Guess::Absent), 1 => Just(Guess::Stale)]
}

fn op() -> impl Strategy<Value = Op> {
    let table = 0..TABLES.len();
    let key = 0..KEYS.len();
    let name = (table, key);
    prop_oneof![
        6 => (name.clone(), guess(), 0..6_i64, any::<u8>()).prop_map(|((t, k), g, due, body)| Op::Put(t, k, g, due, body)),
        2 => (name.clone(), guess()).prop_map(|((t, k), g)| Op::Delete(t, k, g)),
        1 => (name.clone(), guess()).prop_map(|((t, k), g)| Op::Check(t, k, g)),
        4 => (name.clone(), proptest::option::of(guess()), proptest::collection::vec(0..9_u8, 0..4), proptest::option::of(0..20_u64))
            .prop_map(|((t, k), g, sizes, keep)| Op::Append(t, k, g, sizes, keep)),
        1 => (name.clone(), 0..12_u64).prop_map(|((t, k), before)| Op::Trim(t, k, before)),
        1 => (name.clone(), proptest::option::of(guess())).prop_map(|((t, k), g)| Op::DropLog(t, k, g)),
        2 => (name.clone(), BLOBS).prop_map(|((t, k), n)| Op::PutBlob(t, k, n)),
        1 => (name, BLOBS).prop_map(|((t, k), n)| Op::DropBlob(t, k, n)),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => proptest::collection::vec(op(), 0..5).prop_map(Step::Commit),
        1 => (0..TABLES.len(), 0..6_i64, 0..4_usize).prop_map(|(table, at, limit)| Step::Claim { table, at, limit }),
    ]
}

/// The commit of `ops` by somebody who sees `model`. A name that comes a second time is left out.
pub(crate) fn commit(ops: &[Op], model: &Model) -> Commit {
    let (mut records, mut logs) = (Vec::new(), Vec::new());
    let mut commit = Commit::new().at(Timestamp::from_millis(0));
    for op in ops {
        let (Op::Put(t, k, ..)
        | Op::Delete(t, k, ..)
        | Op::Check(t, k, ..)
        | Op::Append(t, k, ..)
        | Op::Trim(t, k, ..)
        | Op::DropLog(t, k, ..)
        | Op::PutBlob(t, k, ..)
        | Op::DropBlob(t, k, ..)) = op;
        let (table, key) = (TABLES[*t], KEYS[*k]);
        let seen = match op {
            Op::Put(..) | Op::Delete(..) | Op::Check(..) => &mut records,
            Op::Append(..) | Op::Trim(..) | Op::DropLog(..) => &mut logs,
            Op::PutBlob(..) | Op::DropBlob(..) => &mut Vec::new(),
        };
        if seen.contains(&(table, key)) {
            continue;
        }
        seen.push((table, key));
        let there = model.records.get(&(table, key.to_owned())).map(|it| it.0);
        let expect = |guess: &Guess| match (guess, there) {
            (Guess::Right, Some(version)) => Expect::Version(version),
            (Guess::Right | Guess::Absent, _) => Expect::Absent,
            (Guess::Stale, there) => Expect::Version(there.unwrap_or(7).wrapping_sub(1)),
        };
        let end = model
            .logs
            .get(&(table, key.to_owned()))
            .map_or(0, |log| log.end);
        let at_end = |guess| match guess {
            Guess::Right => end,
            Guess::Absent => 0,
            Guess::Stale => end + 1,
        };
        commit = match op {
            Op::Put(_, _, guess, due, body) => {
                let index = Index::new(Timestamp::from_millis(due * 7 % 4)).group(if *due > 2 {
                    "g"
                } else {
                    "h"
                });
                let index = index.due((*due < 5).then_some(Timestamp::from_millis(*due)));
                commit.put(table, key, expect(guess), index, vec![*body])
            }
            Op::Delete(_, _, guess) => match expect(guess) {
                Expect::Version(version) => commit.delete(table, key, version),
                Expect::Absent => commit,
            },
            Op::Check(_, _, guess) => commit.check(table, key, expect(guess)),
            Op::Append(_, _, end, sizes, keep) => {
                let entries = sizes
                    .iter()
                    .map(|size| vec![*size; usize::from(*size)].into())
                    .collect();
                let end = end.map(at_end);
                let keep = keep.map_or_else(Keep::default, |bytes| Keep::default().bytes(bytes));
                commit.with(bowline_store::Operation::Append {
                    log: table.log(key),
                    end,
                    entries,
                    keep,
                })
            }
            Op::Trim(_, _, before) => commit.trim(
                table.log(key),
                Keep::starting_at(*before).entries(20 - before),
            ),
            Op::DropLog(_, _, None) => commit.drop_log(table.log(key)),
            Op::DropLog(_, _, Some(guess)) => commit.drop_log_at(table.log(key), at_end(*guess)),
            Op::PutBlob(_, _, number) => commit.put_blob(table, key, blob(*number)),
            Op::DropBlob(_, _, number) => commit.drop_blob(table, key, blob(*number).hash()),
        };
    }
    commit
}
