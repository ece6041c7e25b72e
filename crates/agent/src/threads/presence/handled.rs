//! Requests that were dealt with, so that one that comes again is not dealt with again.

use std::collections::{HashMap, VecDeque};

use bowline_events::{Text, Topic};

use super::record::PresenceRecord;

/// Requests that a process remembers, as in the reference.
const REMEMBERED: usize = 10_000;

/// An answer, and where it goes.
pub(super) type Reply = (Topic, PresenceRecord);

/// The requests that a process has dealt with, the last of them.
#[derive(Debug, Default)]
pub(super) struct Handled {
    order: VecDeque<Text>,
    /// With the answers that could not be given.
    lost: HashMap<Text, Option<Box<Reply>>>,
}

/// What to do with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Begun {
    /// It is new.
    New,
    /// It came before. Its answer, if that was lost.
    Again(Option<Box<Reply>>),
}

impl Handled {
    /// Takes a request in.
    pub(super) fn begin(&mut self, request: &Text) -> Begun {
        if let Some(lost) = self.lost.get_mut(request) {
            return Begun::Again(lost.take());
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.lost.remove(&oldest);
        }
        self.order.push_back(request.clone());
        self.lost.insert(request.clone(), None);
        Begun::New
    }

    /// The answer to a request could not be given. It is when the request comes again.
    pub(super) fn lost(&mut self, request: &Text, reply: Reply) {
        if let Some(lost) = self.lost.get_mut(request) {
            *lost = Some(Box::new(reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::IdleAccepted;

    fn id(n: usize) -> Text {
        format!("request-{n}").into()
    }

    #[test]
    fn a_lost_answer_is_given_when_the_request_comes_again() {
        let mut handled = Handled::default();
        let reply = || {
            let accepted = PresenceRecord::IdleAccepted(IdleAccepted {
                request_id: id(1),
                run_id: "run".into(),
                source_id: "us".into(),
            });
            (Topic::new("reply"), accepted)
        };
        assert_eq!(handled.begin(&id(1)), Begun::New);
        assert_eq!(handled.begin(&id(1)), Begun::Again(None));
        handled.lost(&id(1), reply());
        assert_eq!(handled.begin(&id(1)), Begun::Again(Some(Box::new(reply()))));
        assert_eq!(handled.begin(&id(1)), Begun::Again(None));
        handled.lost(&id(2), reply());
        assert_eq!(handled.begin(&id(2)), Begun::New, "it was never begun");
    }

    #[test]
    fn only_the_last_requests_are_remembered() {
        let mut handled = Handled::default();
        for n in 0..=REMEMBERED {
            assert_eq!(handled.begin(&id(n)), Begun::New);
        }
        assert_eq!(handled.order.len(), REMEMBERED);
        assert_eq!(handled.lost.len(), REMEMBERED);
        assert_eq!(handled.begin(&id(REMEMBERED)), Begun::Again(None));
        assert_eq!(handled.begin(&id(0)), Begun::New);
    }
}
