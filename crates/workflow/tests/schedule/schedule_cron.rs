//! The dialect of cron expressions, held to what the reference answers, and to what it promises.

use bowline_events::Timestamp;
use bowline_workflow::schedule::{Cron, MAX_EXPRESSION};
use proptest::prelude::*;
use serde::Deserialize;

/// One answer of the reference.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    cron: String,
    timezone: String,
    after: String,
    next: Option<String>,
    validate_error: Option<String>,
}

/// Where we mean to differ: expression, reference instant, our answer, why.
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    (
        "*/30 * * * *",
        "2026-11-01T05:30:00Z",
        "2026-11-01T06:00:00Z",
        "an interval fires in the second of two equal hours, too",
    ),
    (
        "*/30 * * * *",
        "2026-11-01T06:00:00Z",
        "2026-11-01T06:30:00Z",
        "next is later, never in the past",
    ),
];

fn instant(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(instant.as_millisecond())
}

fn lines() -> Vec<Line> {
    let table = include_str!("../data/cron.ndjson");
    let lines = table.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn cron_answers_as_the_reference_does() {
    let mut differences = 0;
    for line in lines() {
        let name = format!("{} in {} after {}", line.cron, line.timezone, line.after);
        let parsed = Cron::parse(&line.cron, Some(&line.timezone));
        assert_eq!(
            parsed.is_err(),
            line.validate_error.is_some(),
            "{name}: {parsed:?}"
        );
        let Ok(cron) = parsed else { continue };
        let mut wanted = line.next.as_deref();
        let different = DIFFERENCES.iter().find(|(expression, after, ..)| {
            *expression == line.cron && *after == line.after && line.timezone == "America/New_York"
        });
        if let Some((_, _, ours, why)) = different {
            differences += 1;
            assert_ne!(
                wanted.map(instant),
                Some(instant(ours)),
                "{name}: no difference: {why}"
            );
            wanted = Some(ours);
        }
        assert_eq!(
            cron.next_after(instant(&line.after)),
            wanted.map(instant),
            "{name}"
        );
    }
    assert_eq!(
        differences,
        DIFFERENCES.len(),
        "a difference is not in the table"
    );
}

/// Expression, zone, from, until, the instants that are expected, why.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
);

#[test]
fn cron_keeps_its_promises_when_the_clock_is_changed() {
    let fires = |expression: &str, zone: &str, from: &str, until: &str| {
        let cron = Cron::parse(expression, Some(zone)).unwrap();
        let mut fires = Vec::new();
        let mut at = instant(from);
        while let Some(next) = cron.next_after(at).filter(|next| *next <= instant(until)) {
            fires.push(
                jiff::Timestamp::from_millisecond(next.as_millis())
                    .unwrap()
                    .to_string(),
            );
            at = next;
        }
        fires
    };
    let cases: &[Case] = &[
        (
            "*/30 1 * * *",
            "America/New_York",
            "2026-11-01T00:00:00Z",
            "2026-11-01T12:00:00Z",
            &[
                "2026-11-01T05:00:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:00:00Z",
                "2026-11-01T06:30:00Z",
            ],
            "an interval fires in both hours",
        ),
        (
            "15 1 * * *",
            "America/New_York",
            "2026-11-01T00:00:00Z",
            "2026-11-02T12:00:00Z",
            &["2026-11-01T05:15:00Z", "2026-11-02T06:15:00Z"],
            "a time of day fires once",
        ),
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-08T07:10:00Z",
            "2026-03-09T12:00:00Z",
            &["2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"],
            "a time that does not exist comes later, also when asked after the change",
        ),
        (
            "*/15 2 * * *",
            "America/New_York",
            "2026-03-08T00:00:00Z",
            "2026-03-09T06:10:00Z",
            &["2026-03-09T06:00:00Z"],
            "an interval does not make up for times that do not exist",
        ),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            "2026-10-04T12:00:00Z",
            &["2026-10-03T15:45:00Z"],
            "a change of half an hour",
        ),
        (
            "0 10 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            "2011-12-31T21:00:00Z",
            &[
                "2011-12-29T20:00:00Z",
                "2011-12-30T20:00:00Z",
                "2011-12-31T20:00:00Z",
            ],
            "a day that was left out",
        ),
    ];
    for (expression, zone, from, until, wanted, why) in cases {
        assert_eq!(fires(expression, zone, from, until), *wanted, "{why}");
    }
}

#[test]
fn cron_fires_once_for_an_instant() {
    for (text, zone, wanted) in [
        ("2026-05-01T00:00:00", "UTC", "2026-05-01T00:00:00Z"),
        ("2026-05-01T09:30", "Europe/Paris", "2026-05-01T07:30:00Z"),
        (
            "2026-05-01T00:00:00Z",
            "Europe/Paris",
            "2026-05-01T00:00:00Z",
        ),
        ("2026-05-01T00:00:00+02:00", "UTC", "2026-04-30T22:00:00Z"),
        (
            " 2026-05-01T00:00:00.250Z ",
            "UTC",
            "2026-05-01T00:00:00.250Z",
        ),
    ] {
        let cron = Cron::parse(text, Some(zone)).unwrap();
        let at = instant(wanted);
        assert_eq!(
            cron.next_after(Timestamp::from_millis(0)),
            Some(at),
            "{text}"
        );
        assert_eq!(cron.next_after(at), None, "{text}: it fires again");
    }
}

#[test]
fn cron_is_in_utc_without_a_zone() {
    let cron = Cron::parse("0 9 * * *", None).unwrap();
    assert_eq!(
        cron.next_after(instant("2026-07-01T00:00:00Z")),
        Some(instant("2026-07-01T09:00:00Z"))
    );
}

#[test]
fn cron_has_a_last_occurrence() {
    let cron = Cron::parse("0 0 0 1 1,7 * 2030", None).unwrap();
    let first = cron.next_after(instant("2026-01-01T00:00:00Z"));
    assert_eq!(first, Some(instant("2030-01-01T00:00:00Z")));
    let last = cron.next_after(first.unwrap());
    assert_eq!(last, Some(instant("2030-07-01T00:00:00Z")));
    assert_eq!(cron.next_after(last.unwrap()), None);
    let new_year = |year: u32| Cron::parse(&format!("0 0 0 1 1 * {year}"), None);
    let last = new_year(5000)
        .unwrap()
        .next_after(Timestamp::from_millis(0));
    assert_eq!(last, Some(instant("5000-01-01T00:00:00Z")));
    assert!(new_year(5001).is_err());
    let daily = Cron::parse("@daily", None).unwrap();
    assert_eq!(daily.next_after(instant("5000-12-31T00:00:00Z")), None);
}

#[test]
fn cron_has_a_limit_and_says_so() {
    let long = format!("{} * * * *", vec!["1"; MAX_EXPRESSION / 2].join(","));
    let error = Cron::parse(&long, None).unwrap_err();
    assert!(error.to_string().contains("the limit is 256"), "{error}");
    let exact = format!("{}* * * * *", " ".repeat(MAX_EXPRESSION - 9));
    assert_eq!(exact.len(), MAX_EXPRESSION);
    assert!(Cron::parse(&exact, None).is_ok());
    let error = Cron::parse("61 * * * *", None).unwrap_err();
    assert!(error.to_string().contains("61 * * * *"), "{error}");
    let error = Cron::parse("0 0 * * *", Some("Mars/Phobos")).unwrap_err();
    assert!(error.to_string().contains("IANA"), "{error}");
}

const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Asia/Kathmandu",
    "Africa/Casablanca",
];

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("*".to_owned()),
        3 => (low..=high).prop_map(|n| n.to_string()),
        2 => (1..=high).prop_map(|n| format!("*/{n}")),
        2 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let day =
        prop_oneof![4 => field(1, 28), 1 => Just("L".to_owned()), 1 => Just("15W".to_owned())];
    let weekday =
        prop_oneof![4 => field(0, 7), 1 => Just("5L".to_owned()), 1 => Just("+MON".to_owned())];
    (
        field(0, 59),
        field(0, 59),
        field(0, 23),
        day,
        field(1, 12),
        weekday,
    )
        .prop_map(|(s, m, h, d, month, w)| format!("{s} {m} {h} {d} {month} {w}"))
}

/// Days on which a clock was or will be changed, and the day after.
const CHANGES: &[(&str, &str)] = &[
    ("America/New_York", "2026-03-08T00:00:00Z"),
    ("America/New_York", "2026-11-01T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
    ("Europe/Dublin", "2026-10-25T00:00:00Z"),
    ("America/Santiago", "2026-04-04T12:00:00Z"),
    ("Pacific/Apia", "2011-12-29T12:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn cron_is_later_and_monotone(
        expression in expression(),
        zone in prop::sample::select(ZONES),
        from in 0_i64..4_000_000_000_000,
        step in 1_i64..100_000_000,
    ) {
        let Ok(cron) = Cron::parse(&expression, Some(zone)) else { return Ok(()) };
        let from = Timestamp::from_millis(from);
        let Some(next) = cron.next_after(from) else { return Ok(()) };
        prop_assert!(next > from);
        // Whoever asks between here and the next occurrence gets the same one; whoever asks later, a later one.
        let between = Timestamp::from_millis((from.as_millis() + step).min(next.as_millis() - 1));
        prop_assert_eq!(cron.next_after(between), Some(next));
        let later = Timestamp::from_millis(from.as_millis() + step);
        if let Some(after) = cron.next_after(later) {
            prop_assert!(after >= next);
        }
    }

    /// An interval fires at the instants at which the clock on the wall shows what it says, minute by minute.
    #[test]
    fn cron_intervals_fire_when_the_wall_says_so(
        (zone, from) in prop::sample::select(CHANGES),
        step in 1_i8..40,
        hours in (0_i8..24, 0_i8..24),
    ) {
        let (low, high) = (hours.0.min(hours.1), hours.0.max(hours.1));
        let cron = Cron::parse(&format!("*/{step} {low}-{high} * * *"), Some(zone)).unwrap();
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let from = instant(from);
        let (mut wanted, mut found) = (Vec::new(), Vec::new());
        for minute in 1..=48 * 60 {
            let at = from.as_millis() + minute * 60_000;
            let wall = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone());
            if wall.minute() % step == 0 && (low..=high).contains(&wall.hour()) {
                wanted.push(at);
            }
        }
        let until = Timestamp::from_millis(from.as_millis() + 48 * 60 * 60_000);
        let mut at = from;
        while let Some(next) = cron.next_after(at).filter(|next| *next <= until) {
            found.push(next.as_millis());
            at = next;
        }
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn cron_survives_any_text(text in "\\PC{0,80}", zone in "\\PC{0,20}", at in any::<i64>()) {
        let _ = Cron::parse(&text, Some(&zone));
        if let Ok(cron) = Cron::parse(&text, None) {
            let at = Timestamp::from_millis(at);
            prop_assert!(cron.next_after(at).is_none_or(|next| next > at));
        }
    }

    #[test]
    fn cron_survives_text_that_is_nearly_right(
        text in "[0-9*/,?LW#+a-z@-]{0,6}( [0-9*/,?LW#+A-Z@-]{0,6}){3,7}",
        at in any::<i64>(),
    ) {
        if let Ok(cron) = Cron::parse(&text, Some("America/New_York")) {
            let at = Timestamp::from_millis(at);
            prop_assert!(cron.next_after(at).is_none_or(|next| next > at));
        }
    }
}
