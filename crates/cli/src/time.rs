//! Instants and durations, as people write and read them.

use std::str::FromStr;
use std::time::Duration;

use bowline_events::Timestamp;
use bowline_events::codec::date::format_iso;
use jiff::tz::TimeZone;

/// An instant on the command line: a date, a date with a time, or an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    At(Timestamp),
    /// Milliseconds before the present.
    Ago(i64),
}

impl When {
    /// The instant, seen from `now`.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(millis) => Timestamp::from_millis(now.as_millis().saturating_sub(millis)),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write an age such as 90s, 15m, 2h or 7d, a date such as 2026-05-01, or an instant such as 2026-05-01T12:00:00Z; without a zone it is UTC".to_owned()
        };
        match span(text) {
            Some(age) => Ok(Self::Ago(age)),
            None => moment(text).map(Self::At).ok_or_else(wrong),
        }
    }
}

/// The instant of a date, or of a date with a time.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    moment(text).ok_or_else(|| {
        "write a date such as 2026-05-01, or an instant such as 2026-05-01T12:00:00Z; without a zone it is UTC".to_owned()
    })
}

/// A time to wait: `90s`, `15m`, `2h` or `7d`.
pub(crate) fn wait(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);
    let wait = span(text).and_then(|millis| u64::try_from(millis).ok());
    wait.map(Duration::from_millis)
        .filter(|wait| *wait <= LONGEST)
        .ok_or_else(|| "write a time such as 90s, 15m, 2h or 7d, up to 36500d".to_owned())
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp::from_millis(instant.as_millisecond()));
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let instant = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

/// The milliseconds of `90s`, `15m`, `2h` or `7d`.
fn span(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    Some(i64::from(count) * seconds * 1000)
}

/// ISO text, for JSON.
pub(crate) fn iso(at: Timestamp) -> String {
    format_iso(at.as_millis())
}

/// `5s ago`, `in 3m`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let millis = at.as_millis().saturating_sub(now.as_millis());
    match millis {
        1.. => format!("in {}", rough(millis)),
        _ => format!("{} ago", rough(millis.saturating_neg())),
    }
}

/// A duration in one unit.
fn rough(millis: i64) -> String {
    match millis / 1000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A duration in at most two units.
pub(crate) fn duration(millis: i64) -> String {
    let millis = millis.max(0);
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The instant on the wall clock of an IANA zone, or of UTC.
pub(crate) fn in_zone(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.and_then(|name| TimeZone::get(name).ok());
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(instant) => {
            let zoned = instant.to_zoned(zone.unwrap_or(TimeZone::UTC));
            zoned.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
        }
        // Farther away than calendars go.
        Err(_) => iso(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn instants_and_ages_are_read() {
        for (text, expected) in [
            ("90s", Ok(When::Ago(90_000))),
            ("7d", Ok(When::Ago(7 * 86_400_000))),
            ("1970-01-02", Ok(When::At(at(86_400_000)))),
            ("1970-01-01T00:00:01", Ok(When::At(at(1000)))),
            ("1970-01-01T01:00:00.5+01:00", Ok(When::At(at(500)))),
            ("", Err(())),
            ("5", Err(())),
            ("-5m", Err(())),
            ("5y", Err(())),
            ("m", Err(())),
            ("99999999999d", Err(())),
            ("5\u{fc}", Err(())),
            ("yesterday", Err(())),
        ] {
            assert_eq!(text.parse::<When>().map_err(|_| ()), expected, "{text}");
        }
        assert_eq!(When::Ago(i64::MAX).from(at(-2)), at(i64::MIN));
    }

    #[test]
    fn instants_and_waits_are_not_mixed_up() {
        assert_eq!(instant("1970-01-02"), Ok(at(86_400_000)));
        for wrong in ["2h", "", "tomorrow", "2026-02-30"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
        assert_eq!(wait("15m"), Ok(Duration::from_secs(900)));
        assert!(wait("36500d").is_ok());
        for wrong in ["36501d", "4294967295d", "2026-05-01", "5", "-5m"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_the_unit_that_matters() {
        for (millis, text) in [
            (-5, "0ms"),
            (999, "999ms"),
            (1_250, "1.2s"),
            (61_000, "1m01s"),
            (3_660_000, "1h01m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(duration(millis), text);
        }
        for (millis, text) in [
            (0, "0s ago"),
            (-59_999, "59s ago"),
            (-60_000, "1m ago"),
            (7_200_000, "in 2h"),
            (i64::MIN, "106751991167d ago"),
        ] {
            assert_eq!(relative(at(millis), at(0)), text);
        }
    }

    #[test]
    fn a_zone_has_its_own_wall_clock() {
        let noon = at(1_767_355_200_000);
        assert_eq!(in_zone(noon, None), "2026-01-02 12:00:00 UTC");
        assert_eq!(
            in_zone(noon, Some("Europe/Stockholm")),
            "2026-01-02 13:00:00 CET"
        );
        assert_eq!(in_zone(at(i64::MAX), None), iso(at(i64::MAX)));
    }
}
