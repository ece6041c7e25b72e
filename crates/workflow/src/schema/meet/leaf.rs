//! Two schemas by what they say themselves, without their references and alternatives.

use super::compare::Comparison;
use super::document::View;
use super::finite;
use super::mismatch::Mismatch;
use super::types::Types;

/// Up to here doubles tell whole numbers apart.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Why no value fits both.
pub(super) fn mismatch(
    comparison: &mut Comparison,
    given: View<'_>,
    taken: View<'_>,
    depth: usize,
) -> Option<Mismatch> {
    if let Some(found) = finite::mismatch(given, taken) {
        return Some(found);
    }
    let (from, to) = (Types::of(given), Types::of(taken));
    let shared = from.and(to);
    if shared.is_empty() {
        return Some(Mismatch::of(from, to));
    }
    let mut first = None;
    // One type of which a value may fit is enough.
    for each in shared.each() {
        let found = match each {
            Types::WHOLE | Types::BROKEN => numbers(given, taken),
            Types::STRING => counts(given, taken, "Length", "a length"),
            Types::ARRAY => arrays(comparison, given, taken, depth),
            Types::OBJECT => objects(comparison, given, taken, depth),
            _ => None,
        };
        first = Some(first.unwrap_or(found?));
    }
    first
}

fn numbers(given: View<'_>, taken: View<'_>) -> Option<Mismatch> {
    let (low, high) = (lowest(given), highest(given));
    let (least, most) = (lowest(taken), highest(taken));
    if is_between(least, high) {
        return Some(Mismatch::of(
            format_args!("at most {}", high?.0),
            format_args!("at least {}", least?.0),
        ));
    }
    if is_between(low, most) {
        return Some(Mismatch::of(
            format_args!("at least {}", low?.0),
            format_args!("at most {}", most?.0),
        ));
    }
    None
}

/// A bound, and whether a number may not be the bound itself.
type Bound = Option<(f64, bool)>;

fn lowest(schema: View<'_>) -> Bound {
    match (schema.number("minimum"), schema.number("exclusiveMinimum")) {
        (Some(bound), Some(open)) if bound > open => Some((bound, false)),
        (_, Some(open)) => Some((open, true)),
        (bound, None) => bound.map(|bound| (bound, false)),
    }
}

fn highest(schema: View<'_>) -> Bound {
    match (schema.number("maximum"), schema.number("exclusiveMaximum")) {
        (Some(bound), Some(open)) if bound < open => Some((bound, false)),
        (_, Some(open)) => Some((open, true)),
        (bound, None) => bound.map(|bound| (bound, false)),
    }
}

/// Whether there is no number between the two.
fn is_between(low: Bound, high: Bound) -> bool {
    let (Some((low, above)), Some((high, below))) = (low, high) else {
        return false;
    };
    // Bounds that are equal as doubles may differ beyond what doubles show.
    high < low || (high == low && (above || below) && high.abs() < MAX_EXACT)
}

/// Why no number of characters, elements or members is right.
fn counts(given: View<'_>, taken: View<'_>, of: &str, what: &str) -> Option<Mismatch> {
    let bound = |schema: View<'_>, which: &str| schema.number(&format!("{which}{of}"));
    let at_most = |bound: f64| format!("{what} of at most {bound}");
    let at_least = |bound: f64| format!("{what} of at least {bound}");
    if let (Some(most), Some(least)) = (bound(given, "max"), bound(taken, "min"))
        && most < least
    {
        return Some(Mismatch::of(at_most(most), at_least(least)));
    }
    if let (Some(least), Some(most)) = (bound(given, "min"), bound(taken, "max"))
        && most < least
    {
        return Some(Mismatch::of(at_least(least), at_most(most)));
    }
    None
}

fn arrays(
    comparison: &mut Comparison,
    given: View<'_>,
    taken: View<'_>,
    depth: usize,
) -> Option<Mismatch> {
    if let Some(found) = counts(given, taken, "Items", "an element count") {
        return Some(found);
    }
    // An array without elements fits whatever its elements are.
    let has_elements = |schema: View<'_>| schema.number("minItems").is_some_and(|min| min >= 1.0);
    if !has_elements(given) && !has_elements(taken) {
        return None;
    }
    let found = comparison.disjoint(given.elements(), taken.elements(), depth)?;
    Some(found.within("*"))
}

fn objects(
    comparison: &mut Comparison,
    given: View<'_>,
    taken: View<'_>,
    depth: usize,
) -> Option<Mismatch> {
    if let Some(found) = counts(given, taken, "Properties", "a member count") {
        return Some(found);
    }
    // Members that an object may do without fit by not being there.
    for name in taken.required().chain(given.required()) {
        let (from, to) = (given.member(name), taken.member(name));
        if let Some(found) = comparison.disjoint(from, to, depth) {
            return Some(found.within(name));
        }
    }
    None
}
