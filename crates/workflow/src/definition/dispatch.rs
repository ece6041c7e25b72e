//! How much of a run a worker takes at a time.

/// How much of a run a worker takes at a time. Whatever it is, a run is worked on by one process at any moment, what was committed is
/// never executed again, and watchers are told the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dispatch {
    /// The whole run: the process that takes it works on it until it ends, halts, sleeps for long, or the process goes.
    #[default]
    Run,
    /// A step, or those that run side by side: when it has ended, the run is given back in the commit of its result, and whoever
    /// hears of it first and has room takes it from there. What lies between steps (conditions, maps, short pauses) stays where
    /// the step before was.
    ///
    /// That costs a second commit and a message on the bus for each step, and every process that takes one reads the journal; in
    /// return the load of long runs spreads over all processes.
    Step,
}
