//! When gathered events are handed over, and which may be dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Event;

/// Decides whether an event must not wait.
pub type IsImmediate = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// Chooses which of the gathered events to hand over. It returns elements of its input, in the order of delivery.
pub type Coalesce = Arc<dyn Fn(&[Arc<Event>]) -> Vec<Arc<Event>> + Send + Sync>;

/// What happens when a slow subscriber leaves more events waiting than the buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// They wait in the log of the topic, within its limits. Nothing is dropped.
    #[default]
    Wait,
    /// The oldest are dropped, after coalescing. Immediate events are never dropped.
    DropOldest,
    /// The newest are dropped, after coalescing. Immediate events are never dropped.
    DropNewest,
}

/// Gathers events and hands them over together, as the batching of the reference (core 1.71) does.
///
/// With none of `max_size`, `max_wait`, `min_interval` and `is_immediate` set, only a full buffer hands events over.
/// Dropped events are acked. Where the reference drops the oldest events of a slow subscriber by default, they wait here unless
/// [`Overflow`] says otherwise.
///
/// ```
/// use std::time::Duration;
/// use bowline_events::BatchPolicy;
/// let policy = BatchPolicy::new().max_size(50).max_wait(Duration::from_millis(20));
/// assert_eq!(policy.max_buffer, 256);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct BatchPolicy {
    /// Hand over when this many events are gathered.
    pub max_size: Option<usize>,
    /// Hand over when the oldest event has waited this long.
    pub max_wait: Option<Duration>,
    /// Leave at least this much time between two batches. A full buffer overrules it.
    pub min_interval: Option<Duration>,
    /// Events gathered at most, 256 unless set; at least 1.
    pub max_buffer: usize,
    /// What happens when a slow subscriber leaves more than `max_buffer` events waiting.
    pub overflow: Overflow,
    /// Events that are handed over at once, with all that was gathered before them.
    pub is_immediate: Option<IsImmediate>,
    /// Reduces a batch before it is handed over.
    pub coalesce: Option<Coalesce>,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            max_size: None,
            max_wait: None,
            min_interval: None,
            max_buffer: 256,
            overflow: Overflow::default(),
            is_immediate: None,
            coalesce: None,
        }
    }
}

impl BatchPolicy {
    /// Gathers until the buffer of 256 is full.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hand over at `size` events.
    #[must_use]
    pub fn max_size(mut self, size: usize) -> Self {
        self.max_size = Some(size.max(1));
        self
    }

    /// Hand over when the oldest event has waited for `wait`.
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// Leave at least `interval` between two batches.
    #[must_use]
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = Some(interval);
        self
    }

    /// Gather at most `events`.
    #[must_use]
    pub fn max_buffer(mut self, events: usize) -> Self {
        self.max_buffer = events.max(1);
        self
    }

    /// What to drop when the buffer overflows.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Hand events over at once for which `test` holds.
    #[must_use]
    pub fn immediate_if(mut self, test: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.is_immediate = Some(Arc::new(test));
        self
    }

    /// Reduce each batch by `choose`.
    #[must_use]
    pub fn coalesce(
        mut self,
        choose: impl Fn(&[Arc<Event>]) -> Vec<Arc<Event>> + Send + Sync + 'static,
    ) -> Self {
        self.coalesce = Some(Arc::new(choose));
        self
    }
}

impl fmt::Debug for BatchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchPolicy")
            .field("max_size", &self.max_size)
            .field("max_wait", &self.max_wait)
            .field("min_interval", &self.min_interval)
            .field("max_buffer", &self.max_buffer)
            .field("overflow", &self.overflow)
            .field("is_immediate", &self.is_immediate.is_some())
            .field("coalesce", &self.coalesce.is_some())
            .finish()
    }
}
