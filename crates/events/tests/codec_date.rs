//! The contract of the date texts, with the values that V8 gives.

use bowline_events::codec::date::{MAX_MILLIS, format_iso, parse_iso, write_iso};
use proptest::prelude::*;

#[test]
fn instants_are_written_as_to_iso_string_writes_them() {
    for (millis, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        (MAX_MILLIS, "+275760-09-13T00:00:00.000Z"),
        (-MAX_MILLIS, "-271821-04-20T00:00:00.000Z"),
    ] {
        assert_eq!(format_iso(millis), text);
        assert_eq!(parse_iso(text), Some(millis), "{text}");
    }
}

#[test]
fn beyond_the_range_the_last_instant_is_written() {
    assert_eq!(format_iso(i64::MAX), format_iso(MAX_MILLIS));
    assert_eq!(format_iso(i64::MIN), format_iso(-MAX_MILLIS));
}

#[test]
fn writing_appends() {
    let mut out = b"at ".to_vec();
    write_iso(0, &mut out);
    assert_eq!(out, b"at 1970-01-01T00:00:00.000Z");
}

#[test]
fn every_form_of_the_standard_is_read() {
    for (text, millis) in [
        ("2026", 1_767_225_600_000),
        ("2026-01", 1_767_225_600_000),
        ("2026-01-02", 1_767_312_000_000),
        ("2026T00:00Z", 1_767_225_600_000),
        ("2026-01T00:00Z", 1_767_225_600_000),
        ("2026-01-02T24:00Z", 1_767_398_400_000),
        ("2026-01-02T03:04Z", 1_767_323_040_000),
        ("2026-01-02T03:04:05Z", 1_767_323_045_000),
        ("2026-01-02T03:04:05.1Z", 1_767_323_045_100),
        ("2026-01-02T03:04:05.123456789Z", 1_767_323_045_123),
        ("2026-01-02T03:04:05+23:59", 1_767_236_705_000),
        ("2026-01-02T03:04:05-00:00", 1_767_323_045_000),
        ("-000001-01-01T00:00Z", -62_198_755_200_000),
        ("+002026-01-02", 1_767_312_000_000),
        ("2024-02-29", 1_709_164_800_000),
        ("2000-02-29", 951_782_400_000),
    ] {
        assert_eq!(parse_iso(text), Some(millis), "{text}");
    }
}

#[test]
fn everything_else_is_not_a_date() {
    for text in [
        "",
        "not a date",
        "202",
        "20261",
        "26-01-02",
        "2026-1-2",
        "2026-13",
        "2026-00",
        "2026-01-00",
        "2026-01-32",
        "2026-02-29",
        "2100-02-29",
        "2026-04-31",
        "2026-01-02T",
        "2026-01-02T03",
        "2026-01-02T03Z",
        "2026-01-02T25:00Z",
        "2026-01-02T24:00:01Z",
        "2026-01-02T24:00:00.001Z",
        "2026-01-02T03:60Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05.1234567890Z",
        "2026-01-02T03:04:05,1Z",
        "2026-01-02 03:04:05Z",
        "2026-01-02t03:04:05z",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05Z ",
        " 2026-01-02",
        "2026-01-02Z",
        "-000000-01-01",
        "+2026-01-02",
        "2026-01-02T03:04:05+1",
        "+275760-09-13T00:00:00.001Z",
        "-271821-04-19T23:59:59.999Z",
        "+999999-01-01",
        "2026-01-02T03:04:05é",
        // Without a zone the instant depends on the reader.
        "2026-01-02T03:04:05",
    ] {
        assert_eq!(parse_iso(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn reading_undoes_writing(millis in -MAX_MILLIS..=MAX_MILLIS) {
        prop_assert_eq!(parse_iso(&format_iso(millis)), Some(millis));
    }

    #[test]
    fn later_instants_have_greater_texts(a in 0..253_402_300_800_000i64, b in 0..253_402_300_800_000i64) {
        prop_assert_eq!(a.cmp(&b), format_iso(a).cmp(&format_iso(b)));
    }

    #[test]
    fn an_offset_moves_the_instant(millis in -MAX_MILLIS / 2..MAX_MILLIS / 2, hours in 0..24i64, minutes in 0..60i64) {
        let utc = format_iso(millis);
        let local = utc.trim_end_matches('Z');
        let offset = (hours * 60 + minutes) * 60_000;
        prop_assert_eq!(parse_iso(&format!("{local}+{hours:02}:{minutes:02}")), Some(millis - offset));
        prop_assert_eq!(parse_iso(&format!("{local}-{hours:02}:{minutes:02}")), Some(millis + offset));
    }

    #[test]
    fn nothing_panics(text in "[0-9TZ:.+é-]{0,30}") {
        let _ = parse_iso(&text);
    }
}
