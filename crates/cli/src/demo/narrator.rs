//! Who tells what happens in a demo.

use std::io;
use std::time::Instant;

use crate::colour::{Colour, Painter};
use crate::outcome::Failure;
use crate::output;

/// Says what happens, with the time since the start.
pub(super) struct Narrator {
    start: Instant,
    silent: bool,
    pub(super) painter: Painter,
}

impl Narrator {
    /// One that begins to count now; a silent one says nothing.
    pub(super) fn new(silent: bool) -> Self {
        Self {
            start: Instant::now(),
            silent,
            painter: Painter::for_stream(&io::stdout()),
        }
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        self.line(&format!(
            "{}\n",
            self.painter.paint(Colour::Bold, text.trim_end())
        ))
    }

    pub(super) fn tell(&self, text: &str) -> Result<(), Failure> {
        self.line(&format!("{} {text}", self.time()))
    }

    pub(super) fn alarm(&self, text: &str) -> Result<(), Failure> {
        self.line(&format!(
            "{} {}",
            self.time(),
            self.painter.paint(Colour::Red, text)
        ))
    }

    fn time(&self) -> String {
        let time = format!("{:5.2} s ", self.seconds());
        self.painter.paint(Colour::Dim, &time)
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        if self.silent {
            return Ok(());
        }
        output::print(&format!("{text}\n"))
    }
}
