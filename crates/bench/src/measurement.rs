//! A measurement: what it will print, and how it is made.

use crate::Result;
use crate::line::{Outcome, Subject};
use crate::settings::Settings;

/// Takes a line when it is measured.
pub(crate) type Print<'a> = dyn FnMut(&Subject, Outcome) -> Result<()> + 'a;

type Run = Box<dyn Fn(&Settings, &mut Print<'_>) -> Result<()>>;

/// One or several lines that are measured together, in a process of their own.
pub(crate) struct Measurement {
    pub(crate) subjects: Vec<Subject>,
    run: Run,
}

impl Measurement {
    pub(crate) fn new(
        subjects: Vec<Subject>,
        run: impl Fn(&Settings, &mut Print<'_>) -> Result<()> + 'static,
    ) -> Self {
        Self {
            subjects,
            run: Box::new(run),
        }
    }

    /// A measurement of one line.
    pub(crate) fn one(
        subject: Subject,
        run: impl Fn(&Settings) -> Result<Outcome> + 'static,
    ) -> Self {
        let printed = subject.clone();
        Self::new(vec![subject], move |settings, print| {
            print(&printed, run(settings)?)
        })
    }

    pub(crate) fn run(&self, settings: &Settings, print: &mut Print<'_>) -> Result<()> {
        (self.run)(settings, print)
    }
}
