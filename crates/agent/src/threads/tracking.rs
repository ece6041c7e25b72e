//! Which state a thread knows: what is kept in the metadata of the thread, as the reference keeps it. Decisions only.

use bowline_events::Text;
use serde::{Deserialize, Serialize};

use super::state_signal::StateMode;
use crate::Data;
use crate::message::Extra;

/// The state that a thread knows, of those of one id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Tracking {
    #[serde(skip_serializing_if = "Option::is_none")]
    current_cache_key: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_mode: Option<StateMode>,
    version: u64,
    /// The signal that says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_signal_id: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_snapshot_signal_id: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Text>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    active_copies: Vec<ActiveCopy>,
    /// Ours: it is not known yet whether the signal is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveCopy {
    id: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_key: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<StateMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// What the thread is known to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Box<Tracking>>,
}

/// What to do with a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The thread knows it.
    Skip,
    /// It is to be given in a signal of this id.
    Give { signal: Text, version: u64 },
}

/// A state that somebody says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) cache_key: &'a Text,
    pub(super) mode: StateMode,
    /// The id of its signal, if it is new, and when it was said.
    pub(super) signal: &'a Text,
    pub(super) now: &'a Text,
}

impl Tracking {
    /// What to do with a state. Changes what is tracked if the state is new.
    pub(super) fn say(known: &mut Option<Self>, said: Said<'_>) -> Step {
        if let Some(known) = known
            && known.current_cache_key.as_ref() == Some(said.cache_key)
            && known.current_mode == Some(said.mode)
        {
            return match (&known.pending, &known.last_signal_id) {
                // Whoever said it may have ended on the way. The id keeps it from being heard twice.
                (Some(_), Some(signal)) => Step::Give {
                    signal: signal.clone(),
                    version: known.version,
                },
                _ => Step::Skip,
            };
        }
        let before = known.take();
        let version = before.as_ref().map_or(0, |it| it.version) + 1;
        let snapshot = match said.mode {
            StateMode::Snapshot => Some(said.signal.clone()),
            StateMode::Delta => before
                .as_ref()
                .and_then(|it| it.last_snapshot_signal_id.clone()),
        };
        *known = Some(Self {
            current_cache_key: Some(said.cache_key.clone()),
            current_mode: Some(said.mode),
            version,
            last_signal_id: Some(said.signal.clone()),
            last_snapshot_signal_id: snapshot,
            updated_at: Some(said.now.clone()),
            active_copies: vec![ActiveCopy {
                id: said.signal.clone(),
                cache_key: Some(said.cache_key.clone()),
                mode: Some(said.mode),
                version: Some(version),
            }],
            pending: Some(Pending {
                before: before.and_then(Self::certain).map(Box::new),
            }),
        });
        Step::Give {
            signal: said.signal.clone(),
            version,
        }
    }

    /// What the thread is known to know.
    fn certain(self) -> Option<Self> {
        match self.pending {
            Some(pending) => pending.before.map(|it| *it),
            None => Some(self),
        }
    }

    /// The signal was taken, or was not. Whether this changes what is tracked.
    pub(super) fn settle(known: &mut Option<Self>, signal: &Text, taken: bool) -> bool {
        let ours = |it: &Self| it.pending.is_some() && it.last_signal_id.as_ref() == Some(signal);
        if !known.as_ref().is_some_and(ours) {
            return false;
        }
        match known {
            Some(known) if taken => known.pending = None,
            _ => *known = known.take().and_then(Self::certain),
        }
        true
    }

    /// What the metadata of a thread say of the state `id`.
    pub(super) fn of(metadata: Option<&Data>, id: &str) -> Option<Self> {
        let all = Extra::of(metadata?)?;
        let mastra = Extra::of(all.get("mastra")?)?;
        let states = Extra::of(mastra.get("stateSignals")?)?;
        states.get(id)?.parse().ok()
    }

    /// The metadata of a thread with what is tracked of the state `id`.
    pub(super) fn set(metadata: Option<&Data>, id: &Text, known: Option<&Self>) -> Data {
        let object = |data: Option<&Data>| data.and_then(Extra::of).unwrap_or_default();
        let mut all = object(metadata);
        let mut mastra = object(all.get("mastra"));
        let mut states = object(mastra.get("stateSignals"));
        match known {
            // Texts and numbers: nothing of it can fail to be written.
            Some(known) => states.insert(id.clone(), Data::of(known).unwrap_or_default()),
            None => drop(states.remove(id)),
        }
        mastra.insert("stateSignals", states.to_data());
        all.insert("mastra", mastra.to_data());
        all.to_data()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    const PROCESSES: usize = 3;

    fn said<'a>(key: &'a Text, mode: StateMode, signal: &'a Text) -> Said<'a> {
        static NOW: LazyLock<Text> = LazyLock::new(|| "2026-11-20T03:12:35.110Z".into());
        Said {
            cache_key: key,
            mode,
            signal,
            now: &NOW,
        }
    }

    #[test]
    fn it_is_kept_as_the_reference_keeps_it() {
        let mut known = None;
        let (key, signal) = ("open".into(), "signal-1".into());
        let step = Tracking::say(&mut known, said(&key, StateMode::Snapshot, &signal));
        let given = Step::Give { signal, version: 1 };
        assert_eq!(step, given);
        assert!(Tracking::settle(&mut known, &"signal-1".into(), true));
        let metadata = Data::from_json(r#"{"mine":1,"mastra":{"om":{}}}"#).unwrap();
        let metadata = Tracking::set(Some(&metadata), &"gate".into(), known.as_ref());
        assert_eq!(
            metadata.as_str(),
            concat!(
                r#"{"mine":1,"mastra":{"om":{},"stateSignals":{"gate":{"currentCacheKey":"open","#,
                r#""currentMode":"snapshot","version":1,"lastSignalId":"signal-1","#,
                r#""lastSnapshotSignalId":"signal-1","updatedAt":"2026-11-20T03:12:35.110Z","#,
                r#""activeCopies":[{"id":"signal-1","cacheKey":"open","mode":"snapshot","version":1}]}}}}"#,
            )
        );
        assert_eq!(Tracking::of(Some(&metadata), "gate"), known);
        assert_eq!(Tracking::of(Some(&metadata), "door"), None);
        let odd = Data::from_json(r#"{"mastra":{"stateSignals":{"gate":7}}}"#).unwrap();
        assert_eq!(Tracking::of(Some(&odd), "gate"), None);
    }

    #[test]
    fn a_change_keeps_the_snapshot_that_it_changes() {
        let mut known = None;
        let (key, next) = ("open".into(), "wider".into());
        for (key, mode, signal) in [
            (&key, StateMode::Snapshot, "1"),
            (&next, StateMode::Delta, "2"),
        ] {
            let signal = signal.into();
            Tracking::say(&mut known, said(key, mode, &signal));
            Tracking::settle(&mut known, &signal, true);
        }
        let tracking = known.unwrap();
        assert_eq!(tracking.last_snapshot_signal_id.unwrap(), "1");
        assert_eq!(
            (tracking.version, tracking.last_signal_id.unwrap()),
            (2, "2".into())
        );
    }

    /// What a process does next: says a state, gives its signal, notes what became of it, or forgets everything.
    #[derive(Debug, Clone)]
    enum Act {
        Say(u8),
        Give,
        Refuse,
        Settle,
        Crash,
    }

    proptest! {
        #[test]
        fn what_is_known_was_given_and_nothing_is_given_twice(
            acts in prop::collection::vec((0..PROCESSES, prop_oneof![
                3 => (0..3_u8).prop_map(Act::Say),
                3 => Just(Act::Give),
                1 => Just(Act::Refuse),
                3 => Just(Act::Settle),
                1 => Just(Act::Crash),
            ]), 0..80)
        ) {
            let mut known: Option<Tracking> = None;
            let mut given = HashSet::new();
            // By process, the signal that it is about to give, and whether it is taken.
            let mut doing: [Option<(Text, Option<bool>)>; PROCESSES] = Default::default();
            for (n, (process, act)) in acts.into_iter().enumerate() {
                let doing = &mut doing[process];
                match act {
                    Act::Say(key) => {
                        let (key, signal) = (key.to_string().into(), n.to_string().into());
                        let step = Tracking::say(&mut known, said(&key, StateMode::Snapshot, &signal));
                        *doing = match step {
                            Step::Give { signal, .. } => Some((signal, None)),
                            Step::Skip => {
                                let tracking = known.as_ref().unwrap();
                                assert!(given.contains(tracking.last_signal_id.as_ref().unwrap()));
                                None
                            }
                        };
                    }
                    // The ledger of the thread gives what it is given again only once.
                    Act::Give => if let Some((signal, taken)) = doing {
                        given.insert(signal.clone());
                        *taken = Some(true);
                    },
                    Act::Refuse => if let Some((signal, taken)) = doing {
                        *taken = Some(given.contains(signal));
                    },
                    Act::Settle => if let Some((signal, Some(taken))) = doing.take() {
                        Tracking::settle(&mut known, &signal, taken);
                    },
                    Act::Crash => *doing = None,
                }
                let json = serde_json::to_string(&known).unwrap();
                assert_eq!(serde_json::from_str::<Option<Tracking>>(&json).unwrap(), known);
            }
        }
    }
}
