//! Models that stand in for each other.

use std::sync::Arc;

use super::{Attempts, ChatModel};

/// Models that are asked one after the other, each several times, until one answers.
///
/// ```
/// use bowline_agent::model::Fallback;
/// use bowline_agent::scripted::{Answer, ScriptedModel};
///
/// let good = ScriptedModel::always(Answer::says("Good answer."));
/// let cheap = ScriptedModel::always(Answer::says("Cheap answer."));
/// let models = Fallback::new(good).retries(3).or(cheap).retries(1);
/// assert_eq!(models.candidates().len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct Fallback {
    candidates: Vec<Candidate>,
}

/// One of several models.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// The model.
    pub model: Arc<dyn ChatModel>,
    /// Attempts after the first, before the next model is asked.
    pub max_retries: u32,
}

impl Fallback {
    /// Only this model, once.
    pub fn new(model: impl ChatModel) -> Self {
        Self {
            candidates: vec![Candidate::new(Arc::new(model))],
        }
    }

    /// This model when the ones before do not answer, once.
    #[must_use]
    pub fn or(mut self, model: impl ChatModel) -> Self {
        self.candidates.push(Candidate::new(Arc::new(model)));
        self
    }

    /// Asks the last model that was named up to `max_retries` times more, when it cannot be reached or breaks off.
    #[must_use]
    pub fn retries(mut self, max_retries: u32) -> Self {
        if let Some(last) = self.candidates.last_mut() {
            last.max_retries = max_retries;
        }
        self
    }

    /// The models, in the order in which they are asked; at least one.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    pub(crate) fn into_candidates(self) -> Vec<Candidate> {
        self.candidates
    }

    /// The attempts of one request.
    pub fn attempts(&self) -> Attempts {
        Attempts::new(
            self.candidates
                .iter()
                .map(|candidate| candidate.max_retries),
        )
    }
}

impl Candidate {
    /// `model`, once.
    pub(crate) fn new(model: Arc<dyn ChatModel>) -> Self {
        Self {
            model,
            max_retries: 0,
        }
    }
}

impl<M: ChatModel> From<M> for Fallback {
    fn from(model: M) -> Self {
        Self::new(model)
    }
}
