//! How a run is.

/// The status of a run, by its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunStatus {
    /// Made and not begun, or given back: whoever has room goes on with it.
    Pending,
    /// Steps run.
    Running,
    /// It sleeps.
    Waiting,
    /// At least one step waits for somebody, and nothing else can be done.
    Suspended,
    /// It stopped after one entry, as it was told to.
    Paused,
    /// It ended with a result.
    Success,
    /// It ended with an error.
    Failed,
    /// A tripwire stopped it.
    Tripwire,
    /// It was cancelled.
    Canceled,
}

impl RunStatus {
    const ALL: [Self; 9] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Suspended,
        Self::Paused,
        Self::Success,
        Self::Failed,
        Self::Tripwire,
        Self::Canceled,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Tripwire => "tripwire",
            Self::Canceled => "canceled",
        }
    }

    /// The status called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the run has ended. A failed run may still be tried again.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failed | Self::Tripwire | Self::Canceled
        )
    }

    /// Whether a process works on the run, or will when it can.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Waiting)
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
