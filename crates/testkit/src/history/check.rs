//! The rules that a history is held against.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Audience, Delivery, Events, Message, Outcome, Report, Violation};

/// Deliveries of one message to one audience, as they were taken.
type Copies<'a> = BTreeMap<(&'a Audience, &'a Message), Vec<&'a Delivery>>;

pub(super) fn check(events: &Events) -> Report {
    let mut report = Report::default();
    let outcomes = outcomes(events);
    let mut copies = Copies::new();
    for delivery in &events.deliveries {
        copies
            .entry((&delivery.audience, &delivery.message))
            .or_default()
            .push(delivery);
    }
    let repeatable: HashSet<&Message> = events
        .publishes
        .iter()
        .filter(|publish| publish.outcome == Outcome::Unknown)
        .map(|publish| &publish.message)
        .collect();
    phantoms(events, &outcomes, &mut report);
    arrival(events, &outcomes, &copies, &mut report);
    order(events, &outcomes, &mut report);
    for copies in copies.values() {
        report.doubled += copies.len() as u64 - 1;
        if !events.allows_duplicates {
            duplicates(copies, &repeatable, &mut report);
        }
        two_hands(copies, &mut report);
    }
    report
}

/// The best outcome of each message: a repeated publish may fail at first.
fn outcomes(events: &Events) -> HashMap<&Message, Outcome> {
    let mut outcomes = HashMap::new();
    for publish in &events.publishes {
        let known = outcomes.entry(&publish.message).or_insert(publish.outcome);
        match (*known, publish.outcome) {
            (Outcome::Resolved, _) | (_, Outcome::Failed) => {}
            (_, better) => *known = better,
        }
    }
    outcomes
}

fn phantoms(events: &Events, outcomes: &HashMap<&Message, Outcome>, report: &mut Report) {
    for delivery in &events.deliveries {
        match outcomes.get(&delivery.message) {
            Some(Outcome::Resolved | Outcome::Unknown) => {}
            Some(Outcome::Failed) | None => report.violations.push(Violation::Phantom {
                message: delivery.message.clone(),
                reader: delivery.reader.clone(),
            }),
        }
    }
}

/// What was resolved came to everybody who expected it, and groups were done with it.
fn arrival(
    events: &Events,
    outcomes: &HashMap<&Message, Outcome>,
    copies: &Copies<'_>,
    report: &mut Report,
) {
    let mut resolved: Vec<&Message> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Resolved)
        .map(|(message, _)| *message)
        .collect();
    resolved.sort_unstable();
    for (topic, audience) in &events.expectations {
        for message in resolved.iter().filter(|message| message.topic == *topic) {
            report.expected += 1;
            let (message, audience) = ((*message).clone(), audience.clone());
            match copies.get(&(&audience, &message)) {
                None => {
                    report.lost += 1;
                    if !events.allows_losses {
                        report
                            .violations
                            .push(Violation::Lost { message, audience });
                    }
                }
                Some(copies) => {
                    let done = copies.iter().any(|copy| copy.acked);
                    if matches!(audience, Audience::Group(_)) && !done {
                        report
                            .violations
                            .push(Violation::Unsettled { message, audience });
                    }
                }
            }
        }
    }
}

/// Each reader sees the first attempts of a publisher on a topic in their order; what it has seen already does not count, and
/// nor does what may have been published at any later time.
fn order(events: &Events, outcomes: &HashMap<&Message, Outcome>, report: &mut Report) {
    let mut latest: HashMap<(&str, &Audience, &str, &str), u64> = HashMap::new();
    let mut seen = HashSet::new();
    for delivery in &events.deliveries {
        let message = &delivery.message;
        let first = seen.insert((&delivery.reader, &delivery.audience, message));
        let certain = outcomes.get(message) == Some(&Outcome::Resolved);
        if delivery.attempt > 1 || !first || !certain {
            continue;
        }
        let latest = latest
            .entry((
                &delivery.reader,
                &delivery.audience,
                &message.topic,
                &message.publisher,
            ))
            .or_insert(message.n);
        if message.n < *latest {
            report.violations.push(Violation::OutOfOrder {
                message: message.clone(),
                after: *latest,
                reader: delivery.reader.clone(),
            });
        }
        *latest = message.n.max(*latest);
    }
}

/// The first attempt comes once; a publish of unknown outcome may have been carried out, and several times.
fn duplicates(copies: &[&Delivery], repeatable: &HashSet<&Message>, report: &mut Report) {
    let first = copies.iter().filter(|copy| copy.attempt == 1);
    for copy in first.skip(1) {
        if !repeatable.contains(&copy.message) {
            report.violations.push(Violation::Duplicate {
                message: copy.message.clone(),
                audience: copy.audience.clone(),
            });
        }
    }
}

/// A group has one live hand for a message.
fn two_hands(copies: &[&Delivery], report: &mut Report) {
    // They were taken in this order, so a hold reaches into a later one if it has not ended when that begins.
    let mut longest: Option<&Delivery> = None;
    for &copy in copies {
        if !matches!(copy.audience, Audience::Group(_)) {
            return;
        }
        if let Some(holder) = longest
            && holder.settled.is_none_or(|settled| settled > copy.taken)
        {
            report.violations.push(Violation::TwoHands {
                message: copy.message.clone(),
                audience: copy.audience.clone(),
                readers: [holder.reader.clone(), copy.reader.clone()],
            });
        }
        let end = |delivery: &Delivery| delivery.settled.unwrap_or(u64::MAX);
        if longest.is_none_or(|holder| end(copy) > end(holder)) {
            longest = Some(copy);
        }
    }
}
