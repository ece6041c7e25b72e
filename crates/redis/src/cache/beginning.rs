//! Where a history begins whose records may stand in another order than that of their indices.
//!
//! Index and record are appended in two steps there, so that record 1 can be in the list before record 0 is. The same list is
//! found where the server has lost the list and kept the counter, and then nothing is on its way. Only time tells which it is.

use std::time::Duration;

use bowline_events::Timestamp;

use super::histories::Histories;
use super::layout::Keys;
use super::read::{DISORDER, Look};
use crate::wire::Failure;

/// How often a look is repeated while older records may be on their way: for about a second, and longer when we are held up
/// ourselves, as those who append may be then.
const LOOKS: u32 = 22;

/// The longest pause between two looks, as a power of two in milliseconds.
const LONGEST_PAUSE: u32 = 6;

/// Milliseconds after which nothing can be on its way that has an older index than an event created then.
const LATE: u64 = 10_000;

impl Histories {
    /// Looks at the list, and again while records may be on their way that belong before those which are there.
    pub(super) async fn first_look(
        &self,
        keys: &Keys,
        position: u64,
        step: u64,
    ) -> Result<Look, Failure> {
        let mut look = self.counted_look(keys, position, step, 1).await?;
        if !self.is_unordered() || look.tells_its_beginning() {
            return Ok(look);
        }
        for again in 0..LOOKS {
            if again > 0 {
                let pause = 1 << (again - 1).min(LONGEST_PAUSE);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            look = self.counted_look(keys, position, step, DISORDER).await?;
            if look.is_settled() {
                break;
            }
        }
        Ok(look)
    }

    /// A look that knows how many indices were given, if the list is empty.
    async fn counted_look(
        &self,
        keys: &Keys,
        position: u64,
        step: u64,
        opening: u64,
    ) -> Result<Look, Failure> {
        let look = self.look(keys, position, step, opening).await?;
        if !look.is_empty() || look.count.is_some() {
            return Ok(look);
        }
        // Asked before another look: what is appended in between is in the list.
        let count = self.count(keys).await?;
        let mut look = self.look(keys, position, step, opening).await?;
        look.count = count;
        Ok(look)
    }
}

impl Look {
    /// Whether the first element is enough to know the oldest index.
    fn tells_its_beginning(&self) -> bool {
        if self.is_empty() {
            return self.count.is_none_or(|count| count == 0);
        }
        let begun = self.head().is_none_or(|head| head.index == 0);
        begun || self.is_stamped()
    }

    /// Whether no record can be on its way that belongs before those which are there.
    fn is_settled(&self) -> bool {
        if self.tells_its_beginning() {
            return true;
        }
        let Some(head) = self.head() else {
            return false;
        };
        let age = Timestamp::now()
            .as_millis()
            .abs_diff(head.event.created_at.as_millis());
        self.first() == 0 || self.length >= DISORDER || age > LATE
    }
}
