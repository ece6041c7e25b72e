//! Walking through two schemas at once.

use super::document::View;
use super::leaf;
use super::mismatch::Mismatch;

/// How deep references, alternatives, members and elements are followed.
const MAX_DEPTH: usize = 64;

/// How many pairs of parts are looked at; what comes later counts as fitting.
const MAX_PAIRS: u32 = 20_000;

/// A comparison of two schemas, which ends.
pub(super) struct Comparison {
    left: u32,
}

impl Comparison {
    pub(super) fn new() -> Self {
        Self { left: MAX_PAIRS }
    }

    /// Why no value fits both; `None` when one may.
    pub(super) fn disjoint(
        &mut self,
        given: View<'_>,
        taken: View<'_>,
        depth: usize,
    ) -> Option<Mismatch> {
        if given.is_same(taken) && given.as_bool() != Some(false) {
            return None;
        }
        self.narrow(taken, Side::Taken, depth, &mut |it, taken, depth| {
            it.narrow(given, Side::Given, depth, &mut |it, given, depth| {
                leaf::mismatch(it, given, taken, depth)
            })
        })
    }

    /// Why nothing fits `schema` and what `test` is about, which is asked for every part that a value has to fit.
    pub(super) fn narrow<'a>(
        &mut self,
        schema: View<'a>,
        side: Side,
        depth: usize,
        test: &mut dyn FnMut(&mut Self, View<'a>, usize) -> Option<Mismatch>,
    ) -> Option<Mismatch> {
        if depth >= MAX_DEPTH || self.left == 0 {
            return None;
        }
        self.left -= 1;
        if schema.as_bool() == Some(false) {
            return Some(side.never());
        }
        let depth = depth + 1;
        if schema.is_reference() {
            let target = schema.target()?;
            return self.narrow(target, side, depth, test);
        }
        if let Some(found) = test(self, schema, depth) {
            return Some(found);
        }
        for part in schema.all("allOf") {
            if let Some(found) = self.narrow(part, side, depth, test) {
                return Some(found);
            }
        }
        for key in ["anyOf", "oneOf"] {
            let mut first = None;
            let fits = schema.all(key).any(|alternative| {
                let found = self.narrow(alternative, side, depth, test);
                let fits = found.is_none();
                first = first.take().or(found);
                fits
            });
            if !fits && first.is_some() {
                return first;
            }
        }
        None
    }
}

/// Which of the two schemas.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Given,
    Taken,
}

impl Side {
    /// No value fits it.
    fn never(self) -> Mismatch {
        Mismatch::because(match self {
            Self::Given => "there is never anything",
            Self::Taken => "nothing may be there",
        })
    }
}
