//! The ears of a process: one for each run that it works on.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_events::Text;
use tokio::time::Instant;

use super::stop::Ear;
use super::workflow::Services;
use crate::{Result, Strategy};

/// Ears from which number on those are given up that nobody has used for a while.
const MANY: usize = 64;
/// How long that is.
const IDLE: Duration = Duration::from_secs(60);

/// The ears of a process. A run that was suspended, or went on elsewhere, may leave one behind; it goes when there are many.
#[derive(Debug, Default)]
pub(crate) struct Ears(Mutex<HashMap<Text, (Ear, Instant)>>);

impl Ears {
    fn lock(&self) -> MutexGuard<'_, HashMap<Text, (Ear, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, run_id: &Text) -> Option<Ear> {
        let mut ears = self.lock();
        let (ear, used) = ears.get_mut(run_id)?;
        *used = Instant::now();
        Some(ear.clone())
    }

    fn put(&self, run_id: &Text, ear: &Ear) {
        let mut ears = self.lock();
        if ears.len() >= MANY {
            ears.retain(|_, (_, used)| used.elapsed() < IDLE);
        }
        ears.insert(run_id.clone(), (ear.clone(), Instant::now()));
    }

    /// The run has ended.
    pub(crate) fn forget(&self, run_id: &Text) {
        self.lock().remove(run_id);
    }
}

impl Services {
    /// The ear for a run, which has heard of what was said before now.
    ///
    /// # Errors
    /// When neither bus nor store can be asked.
    pub(crate) async fn fresh_ear(&self, run_id: &Text) -> Result<Ear> {
        match self.ears.get(run_id) {
            Some(ear) => {
                // A word may have been lost on its way, a fact is not.
                ear.look(&*self.store, run_id).await?;
                Ok(ear)
            }
            None => self.ear(run_id).await,
        }
    }

    /// The ear for a run. It has heard of what was said before it was opened.
    ///
    /// # Errors
    /// When neither bus nor store can be asked.
    pub(crate) async fn ear(&self, run_id: &Text) -> Result<Ear> {
        if let Some(ear) = self.ears.get(run_id) {
            return Ok(ear);
        }
        let ear = Ear::open(&self.store, &self.bus, run_id).await?;
        // Where the next step is somebody else's, the ear is for this one.
        if self.strategy == Strategy::Durable {
            self.ears.put(run_id, &ear);
        }
        Ok(ear)
    }
}
