//! What a reader of a thread sees: whole runs, one after the other. Decisions only; nothing here waits or reads.

use std::collections::{HashMap, VecDeque};

use bowline_events::Text;

use super::part::Ending;
use super::record::ThreadRecord;
use crate::chunk::RawChunk;

/// Bytes of pieces that wait for the run before them to end.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Runs of which the end was seen, so that what comes late of them is not taken for new.
const REMEMBERED: usize = 1000;

/// What happens in a thread.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ThreadEvent {
    /// A run begins.
    Began,
    /// A piece of its stream, in the form of [`Chunk`](crate::Chunk).
    Part(RawChunk),
    /// It waits for somebody. It goes on later.
    Suspended,
    /// It has ended by itself.
    Completed,
    /// Somebody has stopped it.
    Aborted,
    /// It has failed; the reason.
    Failed(String),
    /// What was seen of it does not count: it begins anew, or not at all.
    Discarded,
    /// Whoever tells of it is gone or silent. If it comes back, it goes on under `Began` where it was; if somebody else goes on with
    /// it, `Discarded` comes first.
    Lost,
}

impl ThreadEvent {
    /// Whether it is the last of its run, as it is told now.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Began | Self::Part(_) | Self::Suspended)
    }
}

/// Something that happens in a thread.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ThreadItem {
    /// The run.
    pub run_id: Text,
    /// Names this telling of the run.
    pub stream_id: Text,
    /// What happens.
    pub event: ThreadEvent,
}

/// One telling of a run.
#[derive(Debug)]
struct Segment {
    run: Text,
    stream: Text,
    parts: VecDeque<RawChunk>,
    bytes: usize,
    /// Whether its beginning has been shown.
    shown: bool,
    /// Whether it is not known to be more than an echo of the past.
    deferred: bool,
    end: Option<ThreadEvent>,
    /// Whether it was seen to hold the thread: some programs hold none on some buses.
    held: bool,
    /// Looks at the lease that found another owner, one after the other.
    missed: u32,
}

/// Whether the run of which something new is told holds its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    /// It does not, and what is told may be an echo of the past.
    No,
    /// It cannot be known, or does not matter, because the bus tells nothing of the past.
    Unknown,
}

/// What a reader of a thread sees.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    segments: VecDeque<Segment>,
    /// Runs whose streams are read directly, and how they are told.
    direct: HashMap<Text, Text>,
    /// Tellings that are over, and runs that were read directly.
    over: VecDeque<Text>,
    /// Tellings that were lost or wait, and may come back.
    lost: VecDeque<Text>,
    bytes: usize,
}

impl Timeline {
    /// A run that was at work before, whose stream is read from its beginning.
    pub(super) fn direct(&mut self, run: Text, stream: Text) {
        self.direct.insert(run.clone(), stream.clone());
        self.open(run, stream, Holds::Unknown);
    }

    /// Whether it has to be known who holds the thread, to take in `record`.
    pub(super) fn asks_for_owner(&self, record: &ThreadRecord) -> bool {
        match record {
            ThreadRecord::Registered(it) => !self.direct.contains_key(&it.run_id),
            ThreadRecord::Part(it) => {
                !self.direct.contains_key(&it.run_id) && self.find(&it.stream_id).is_none()
            }
            _ => false,
        }
    }

    /// Takes in what is told. `holds`: whether the run holds the thread, where it is asked for.
    pub(super) fn take(&mut self, record: ThreadRecord, holds: Holds) {
        // Of a run that was read directly nothing is new, however it is told.
        let read = |run: &Text| self.direct.contains_key(run) || self.over.contains(run);
        if record.run_id().is_some_and(read) {
            return;
        }
        match record {
            ThreadRecord::Registered(it) => match self.find(&it.stream_id) {
                Some(at) => {
                    self.segments[at].deferred &= holds == Holds::No;
                    self.segments[at].held |= holds == Holds::Yes;
                }
                None => self.open(it.run_id, it.stream_id, holds),
            },
            ThreadRecord::Part(it) => {
                if self.over.contains(&it.stream_id) {
                    return;
                }
                if self.find(&it.stream_id).is_none() {
                    let holds = match self.is_back(&it.stream_id) {
                        true => Holds::Unknown,
                        false => holds,
                    };
                    self.open(it.run_id, it.stream_id.clone(), holds);
                }
                self.push(&it.stream_id, it.part);
            }
            ThreadRecord::Suspended(it) => {
                self.prove(it.stream_id.as_ref(), true);
                self.close(&it.run_id, it.stream_id, ThreadEvent::Suspended);
            }
            ThreadRecord::Completed(it) => {
                let persisted = it.persisted.unwrap_or_else(|| {
                    let at = it.stream_id.as_ref().and_then(|it| self.find(it));
                    at.is_some_and(|at| ended_cleanly(&self.segments[at]))
                });
                self.prove(it.stream_id.as_ref(), persisted);
                self.close(&it.run_id, it.stream_id, ThreadEvent::Completed);
            }
            ThreadRecord::Aborted(it) => {
                self.close(&it.run_id, it.stream_id, ThreadEvent::Aborted);
            }
            ThreadRecord::Failed(it) => {
                self.close(&it.run_id, it.stream_id, ThreadEvent::Failed(it.error));
            }
            ThreadRecord::Discarded(it) => {
                self.close(&it.run_id, it.stream_id, ThreadEvent::Discarded);
            }
            _ => {}
        }
    }

    /// A piece of a stream that is read directly.
    pub(super) fn direct_part(&mut self, run: &Text, part: RawChunk) {
        let Some(stream) = self.direct.get(run).cloned() else {
            return;
        };
        if self.find(&stream).is_none() {
            self.open(run.clone(), stream.clone(), Holds::Unknown);
        }
        self.push(&stream, part);
    }

    /// A run whose stream is read directly waits for somebody, or has ended.
    pub(super) fn direct_end(&mut self, run: &Text, ending: Option<Ending>) {
        let event = match ending {
            None => ThreadEvent::Suspended,
            Some(Ending::Completed) => ThreadEvent::Completed,
            Some(Ending::Aborted) => ThreadEvent::Aborted,
            Some(Ending::Failed(error)) => ThreadEvent::Failed(error),
        };
        let Some(stream) = self.direct.get(run).cloned() else {
            return;
        };
        let open = self.find(&stream).map(|at| self.segments[at].end.is_none());
        if event.is_end() && open != Some(true) {
            self.open(run.clone(), stream.clone(), Holds::Unknown);
        }
        self.close(run, Some(stream), event);
    }

    /// Who holds the thread now. What is told by nobody who holds it twice in a row is lost.
    pub(super) fn held_by(&mut self, owner: Option<&Text>) {
        for segment in &mut self.segments {
            let direct = self.direct.contains_key(&segment.run);
            if segment.end.is_some() || segment.deferred || direct {
                continue;
            }
            if owner == Some(&segment.run) {
                segment.held = true;
                segment.missed = 0;
                continue;
            }
            segment.missed += u32::from(segment.held);
            if segment.missed >= 2 {
                segment.end = Some(ThreadEvent::Lost);
            }
        }
    }

    /// Whether who holds the thread matters.
    pub(super) fn wants_owner(&self) -> bool {
        let mut told = self.segments.iter();
        told.any(|it| it.end.is_none() && !it.deferred && !self.direct.contains_key(&it.run))
    }

    /// Bytes of pieces that were not shown.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The run that is shown now or next.
    pub(super) fn current(&self) -> Option<&Text> {
        let mut told = self.segments.iter();
        told.find(|it| !it.deferred).map(|it| &it.run)
    }

    /// What to show next.
    pub(super) fn next(&mut self) -> Option<ThreadItem> {
        let at = self.segments.iter().position(|it| !it.deferred)?;
        let segment = &mut self.segments[at];
        let item = |segment: &Segment, event| ThreadItem {
            run_id: segment.run.clone(),
            stream_id: segment.stream.clone(),
            event,
        };
        if !segment.shown {
            segment.shown = true;
            return Some(item(segment, ThreadEvent::Began));
        }
        if let Some(part) = segment.parts.pop_front() {
            let bytes = part.as_str().len();
            segment.bytes -= bytes;
            self.bytes -= bytes;
            return Some(item(segment, ThreadEvent::Part(part)));
        }
        let end = segment.end.clone()?;
        let ended = item(segment, end);
        self.segments.remove(at);
        if matches!(ended.event, ThreadEvent::Lost | ThreadEvent::Suspended) {
            if self.lost.len() >= REMEMBERED {
                self.lost.pop_front();
            }
            self.lost.push_back(ended.stream_id.clone());
        } else if ended.event.is_end() {
            if self.direct.remove(&ended.run_id).is_some() {
                self.remember(ended.run_id.clone());
            }
            self.remember(ended.stream_id.clone());
        }
        Some(ended)
    }

    fn find(&self, stream: &str) -> Option<usize> {
        // Of a run that waited and goes on, the last.
        self.segments.iter().rposition(|it| it.stream == stream)
    }

    fn open(&mut self, run: Text, stream: Text, holds: Holds) {
        self.segments.push_back(Segment {
            run,
            stream,
            parts: VecDeque::new(),
            bytes: 0,
            shown: false,
            deferred: holds == Holds::No,
            held: holds == Holds::Yes,
            end: None,
            missed: 0,
        });
    }

    fn push(&mut self, stream: &str, part: RawChunk) {
        let Some(at) = self.find(stream) else { return };
        if self.segments[at].end.is_some() {
            // It waited, and goes on.
            let (run, stream) = (self.segments[at].run.clone(), stream.to_owned().into());
            let pauses = [Some(ThreadEvent::Suspended), Some(ThreadEvent::Lost)];
            if !pauses.contains(&self.segments[at].end) {
                return;
            }
            self.open(run, stream, Holds::Unknown);
            let last = self.segments.len() - 1;
            self.push_at(last, part);
            return;
        }
        self.push_at(at, part);
    }

    fn push_at(&mut self, at: usize, part: RawChunk) {
        let bytes = part.as_str().len();
        let segment = &mut self.segments[at];
        segment.bytes += bytes;
        segment.missed = 0;
        segment.parts.push_back(part);
        self.bytes += bytes;
    }

    /// What was not known to be more than an echo is, or is not.
    fn prove(&mut self, stream: Option<&Text>, real: bool) {
        if let Some(at) = stream.and_then(|stream| self.find(stream))
            && real
        {
            self.segments[at].deferred = false;
        }
    }

    fn close(&mut self, run: &Text, stream: Option<Text>, event: ThreadEvent) {
        // Old senders do not say which telling.
        let stream = stream.unwrap_or_else(|| run.clone());
        let Some(at) = self.find(&stream) else {
            // Nothing was told of it that this reader has not shown; it fails without having begun.
            let fails = matches!(event, ThreadEvent::Failed(_)) && !self.over.contains(&stream);
            if self.is_back(&stream) || fails {
                self.open(run.clone(), stream, Holds::Unknown);
                if let Some(segment) = self.segments.back_mut() {
                    segment.shown = event == ThreadEvent::Discarded;
                    segment.end = Some(event);
                }
            }
            return;
        };
        let segment = &mut self.segments[at];
        if segment.deferred || (event == ThreadEvent::Discarded && !segment.shown) {
            self.bytes -= segment.bytes;
            self.segments.remove(at);
            if event.is_end() {
                self.remember(stream);
            }
        } else if event == ThreadEvent::Discarded {
            self.bytes -= segment.bytes;
            segment.bytes = 0;
            segment.parts.clear();
            segment.end = Some(event);
        } else if segment.end.is_none() {
            segment.end = Some(event);
        }
    }

    /// Whether something is told again that was lost or did wait.
    fn is_back(&mut self, stream: &Text) -> bool {
        let at = self.lost.iter().position(|it| it == stream);
        at.and_then(|at| self.lost.remove(at)).is_some()
    }

    fn remember(&mut self, stream: Text) {
        if self.over.len() >= REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(stream);
    }
}

/// Whether the last piece says that the run ended as it should.
fn ended_cleanly(segment: &Segment) -> bool {
    let last = segment.parts.back();
    last.is_some_and(|part| part.kind() == "finish")
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::record::{RunCompleted, RunFailed, RunRef, RunRegistered, StreamPart};

    fn registered(run: &str, stream: &str) -> ThreadRecord {
        ThreadRecord::Registered(RunRegistered {
            run_id: run.to_owned().into(),
            stream_id: stream.to_owned().into(),
            stream_seq: 1,
            source_id: None,
        })
    }

    fn part(run: &str, stream: &str, text: &str) -> ThreadRecord {
        ThreadRecord::Part(StreamPart {
            run_id: run.to_owned().into(),
            stream_id: stream.to_owned().into(),
            part: RawChunk::read(format!(r#"{{"type":"{text}"}}"#)).unwrap(),
            source_id: None,
        })
    }

    fn this(run: &str, stream: &str) -> RunRef {
        RunRef {
            run_id: run.to_owned().into(),
            stream_id: Some(stream.to_owned().into()),
        }
    }

    fn completed(run: &str, stream: &str, persisted: Option<bool>) -> ThreadRecord {
        let RunRef { run_id, stream_id } = this(run, stream);
        ThreadRecord::Completed(RunCompleted {
            run_id,
            stream_id,
            persisted,
        })
    }

    fn shown(timeline: &mut Timeline) -> Vec<String> {
        std::iter::from_fn(|| timeline.next())
            .map(|it| match it.event {
                ThreadEvent::Part(part) => format!("{} {}", it.run_id, part.kind()),
                event => format!("{} {event:?}", it.run_id),
            })
            .collect()
    }

    #[test]
    fn runs_are_shown_whole_and_in_the_order_in_which_they_began() {
        let mut it = Timeline::default();
        for record in [
            registered("a", "1"),
            part("a", "1", "x"),
            registered("b", "2"),
            part("b", "2", "y"),
            completed("b", "2", Some(true)),
            part("a", "1", "z"),
        ] {
            it.take(record, Holds::Yes);
        }
        assert_eq!(shown(&mut it), ["a Began", "a x", "a z"]);
        it.take(completed("a", "1", Some(true)), Holds::Yes);
        let rest = ["a Completed", "b Began", "b y", "b Completed"];
        assert_eq!(shown(&mut it), rest);
        assert_eq!(it.bytes(), 0);
        it.take(part("a", "1", "late"), Holds::Yes);
        assert_eq!(shown(&mut it), [""; 0]);
    }

    #[test]
    fn an_echo_of_the_past_is_shown_only_when_it_is_proved() {
        for (persisted, last, proved) in [
            (Some(true), "x", true),
            (Some(false), "finish", false),
            (None, "finish", true),
            (None, "x", false),
        ] {
            let mut it = Timeline::default();
            it.take(registered("a", "1"), Holds::No);
            it.take(part("a", "1", last), Holds::No);
            assert_eq!(shown(&mut it), [""; 0]);
            it.take(completed("a", "1", persisted), Holds::No);
            assert_eq!(!shown(&mut it).is_empty(), proved, "{persisted:?} {last}");
            assert_eq!(it.bytes(), 0);
        }
    }

    #[test]
    fn a_run_that_waited_goes_on_in_the_same_telling() {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::Yes);
        it.take(part("a", "1", "x"), Holds::Yes);
        it.take(ThreadRecord::Suspended(this("a", "1")), Holds::Yes);
        it.take(part("a", "1", "y"), Holds::Yes);
        it.take(completed("a", "1", Some(true)), Holds::Yes);
        let all = [
            "a Began",
            "a x",
            "a Suspended",
            "a Began",
            "a y",
            "a Completed",
        ];
        assert_eq!(shown(&mut it), all);
    }

    #[test]
    fn the_end_of_a_run_that_waited_is_shown_though_it_holds_the_thread_no_more() {
        for with_part in [true, false] {
            let mut it = Timeline::default();
            it.take(registered("a", "1"), Holds::Yes);
            it.take(ThreadRecord::Suspended(this("a", "1")), Holds::Yes);
            assert_eq!(shown(&mut it), ["a Began", "a Suspended"]);
            if with_part {
                it.take(part("a", "1", "finish"), Holds::No);
            }
            it.take(ThreadRecord::Aborted(this("a", "1")), Holds::No);
            let told = shown(&mut it);
            assert_eq!(
                told.first().map(String::as_str),
                Some("a Began"),
                "{told:?}"
            );
            assert_eq!(
                told.last().map(String::as_str),
                Some("a Aborted"),
                "{told:?}"
            );
        }
    }

    #[test]
    fn what_is_discarded_is_not_shown_or_taken_back() {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::Yes);
        it.take(part("a", "1", "x"), Holds::Yes);
        it.take(ThreadRecord::Discarded(this("a", "1")), Holds::Yes);
        assert_eq!(shown(&mut it), [""; 0]);
        it.take(registered("a", "2"), Holds::Yes);
        it.take(part("a", "2", "x"), Holds::Yes);
        assert_eq!(shown(&mut it), ["a Began", "a x"]);
        it.take(ThreadRecord::Discarded(this("a", "2")), Holds::Yes);
        assert_eq!(shown(&mut it), ["a Discarded"]);
    }

    #[test]
    fn a_run_whose_lease_is_gone_twice_in_a_row_is_lost() {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::Yes);
        it.held_by(None);
        it.take(part("a", "1", "x"), Holds::Yes);
        it.held_by(None);
        it.held_by(Some(&"a".into()));
        it.held_by(Some(&"b".into()));
        assert_eq!(shown(&mut it), ["a Began", "a x"]);
        it.held_by(None);
        assert_eq!(shown(&mut it), ["a Lost"]);
        assert!(!it.wants_owner());
    }

    #[test]
    fn a_run_that_was_lost_goes_on_when_it_is_told_again() {
        let lost = || {
            let mut it = Timeline::default();
            it.take(registered("a", "1"), Holds::Yes);
            it.take(part("a", "1", "x"), Holds::Yes);
            it.held_by(None);
            it.held_by(None);
            it
        };
        let mut it = lost();
        assert_eq!(shown(&mut it), ["a Began", "a x", "a Lost"]);
        it.take(part("a", "1", "y"), Holds::No);
        it.take(completed("a", "1", Some(true)), Holds::No);
        assert_eq!(shown(&mut it), ["a Began", "a y", "a Completed"]);
        // It comes back before its loss was read.
        let mut it = lost();
        it.take(part("a", "1", "y"), Holds::Yes);
        let all = ["a Began", "a x", "a Lost", "a Began", "a y"];
        assert_eq!(shown(&mut it), all);
        let mut it = lost();
        shown(&mut it);
        it.take(ThreadRecord::Discarded(this("a", "1")), Holds::No);
        it.take(part("a", "1", "late"), Holds::No);
        assert_eq!(shown(&mut it), ["a Discarded"]);
    }

    #[test]
    fn a_run_that_never_held_a_lease_is_not_lost() {
        let mut it = Timeline::default();
        it.take(registered("a", "1"), Holds::Unknown);
        for _ in 0..3 {
            it.held_by(None);
        }
        assert_eq!(shown(&mut it), ["a Began"]);
    }

    #[test]
    fn a_run_that_fails_before_it_is_told_is_shown() {
        let mut it = Timeline::default();
        let RunRef { run_id, stream_id } = this("a", "1");
        it.take(
            ThreadRecord::Failed(RunFailed {
                run_id,
                stream_id,
                error: "no".into(),
            }),
            Holds::Yes,
        );
        assert_eq!(shown(&mut it), ["a Began", "a Failed(\"no\")"]);
    }
}
