//! Cron expressions in a time zone.

use std::fmt;

use bowline_events::{Text, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Zoned};

use crate::{Error, ErrorKind, Result};

/// Bytes of a cron expression, and of the name of a time zone.
pub const MAX_EXPRESSION: usize = 256;

/// The zone of an expression that names none. It is never the zone of the host.
pub const DEFAULT_ZONE: &str = "UTC";

/// A parsed cron expression, or one instant, in an IANA time zone.
///
/// # Dialect
/// Five fields (minute, hour, day of month, month, weekday), six with seconds first, seven with a year last. `*`, lists,
/// ranges, steps (`*/n`, `a-b/n`), names, `?`, `L`, `5L`, `1#2`, `MON#L`, `15W`, `LW`; 0 and 7 are Sunday. Day of month and
/// weekday are alternatives if both are given, or both have to hold with a `+` before the weekday. Nicknames such as
/// `@hourly`. An ISO date-time (`2026-05-01T00:00:00`, local in the zone unless it ends in `Z` or an offset) is one instant.
///
/// # Daylight saving
/// A pattern with one time of day fires once a day: in the first of two equal hours, and as much later as the clock was put
/// forward when its time does not exist. Every other pattern is an interval: it fires in both of two equal hours, and not at
/// times that do not exist.
///
/// # Limits
/// An expression has [`MAX_EXPRESSION`] bytes at most; nothing fires after the year 5000. Without a zone it is UTC.
/// To find out that an expression never fires again (`0 0 31 2 *`) looks at all days until then, which can take a tenth of a
/// second; such schedules are refused when they are made.
///
/// ```
/// use bowline_events::Timestamp;
/// use bowline_workflow::schedule::Cron;
/// let noon = Cron::parse("0 12 * * MON-FRI", Some("Europe/London"))?;
/// let friday = Timestamp::from_millis(1_767_355_200_000); // 2026-01-02T12:00:00Z
/// let monday = noon.next_after(friday).expect("there is a next Monday");
/// assert_eq!(monday.as_millis() - friday.as_millis(), 3 * 86_400_000);
/// # Ok::<(), bowline_workflow::Error>(())
/// ```
#[derive(Clone)]
pub struct Cron {
    expression: Text,
    zone_name: Option<Text>,
    zone: TimeZone,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Once(Timestamp),
    /// One time of day.
    Daily(Box<croner::Cron>),
    Interval(Box<croner::Cron>),
}

impl Cron {
    /// Reads `expression` for the IANA zone `timezone`, or for UTC.
    ///
    /// # Errors
    /// `InvalidInput` when either is not understood or too long.
    pub fn parse(expression: &str, timezone: Option<&str>) -> Result<Self> {
        check_length("the cron expression", expression)?;
        let zone_name = timezone.unwrap_or(DEFAULT_ZONE);
        check_length("the time zone", zone_name)?;
        let zone = TimeZone::get(zone_name).map_err(|error| {
            let message = "there is no such time zone; use an IANA name such as Europe/Stockholm";
            invalid(zone_name, message).with_source(error)
        })?;
        let rule = match parse_instant(expression, &zone)? {
            Some(instant) => Rule::Once(instant),
            None => parse_pattern(expression)?,
        };
        Ok(Self {
            expression: expression.to_owned().into(),
            zone_name: timezone.map(|name| name.to_owned().into()),
            zone,
            rule,
        })
    }

    /// The first occurrence later than `after`; `None` if there is none. Whole seconds, and always strictly later.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let next = match &self.rule {
            Rule::Once(instant) => Some(*instant),
            Rule::Daily(pattern) => self.next_daily(pattern, after),
            Rule::Interval(pattern) => self.next_interval(pattern, after),
        };
        next.filter(|next| *next > after)
    }

    /// The expression as it was given.
    pub fn expression(&self) -> &Text {
        &self.expression
    }

    /// The zone as it was given.
    pub fn timezone(&self) -> Option<&Text> {
        self.zone_name.as_ref()
    }

    /// Walks the days on the wall clock and puts each on the time line. It begins early, as an occurrence that was put off by
    /// a change of the clock can still be to come when its time on the wall clock has passed.
    fn next_daily(&self, pattern: &croner::Cron, after: Timestamp) -> Option<Timestamp> {
        const LARGEST_SHIFT: SignedDuration = SignedDuration::from_hours(25);
        const FEW: usize = 8;
        let start = self.zoned(after)?.datetime();
        let mut wall: DateTime = start.checked_sub(LARGEST_SHIFT).unwrap_or(start);
        for _ in 0..FEW {
            wall = pattern.find_next_occurrence(&wall, false).ok()?;
            let instant = self.zone.to_ambiguous_timestamp(wall).compatible().ok()?;
            let instant = Timestamp::from_millis(instant.as_millisecond());
            if instant > after {
                return Some(instant);
            }
        }
        None
    }

    fn next_interval(&self, pattern: &croner::Cron, after: Timestamp) -> Option<Timestamp> {
        const FEW: usize = 4;
        let mut from = self.zoned(after)?;
        for _ in 0..FEW {
            let next = pattern.find_next_occurrence(&from, false).ok()?;
            let instant = Timestamp::from_millis(next.timestamp().as_millisecond());
            if instant > after {
                return Some(instant);
            }
            from = from.checked_add(Span::new().seconds(1)).ok()?;
        }
        None
    }

    fn zoned(&self, at: Timestamp) -> Option<Zoned> {
        let instant = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
        Some(instant.to_zoned(self.zone.clone()))
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.zone_name == other.zone_name
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cron")
            .field("expression", &self.expression)
            .field("timezone", &self.zone_name)
            .finish()
    }
}

fn check_length(what: &str, text: &str) -> Result<()> {
    if text.len() <= MAX_EXPRESSION {
        return Ok(());
    }
    let length = text.len();
    let message = format!("{what} has {length} bytes, the limit is {MAX_EXPRESSION}; shorten it");
    Err(invalid(text, message))
}

/// An ISO date-time; `None` for what does not look like one.
fn parse_instant(expression: &str, zone: &TimeZone) -> Result<Option<Timestamp>> {
    let bytes = expression.trim().as_bytes();
    let looks = bytes.len() > 10
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && matches!(bytes[10], b'T' | b't');
    if !looks {
        return Ok(None);
    }
    let text = expression.trim();
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Ok(instant),
        Err(_) => text
            .parse::<DateTime>()
            .and_then(|wall| zone.to_ambiguous_timestamp(wall).compatible()),
    };
    let instant = instant.map_err(|error| {
        let message = "it is not a date-time; write one such as 2026-05-01T09:00:00";
        invalid(expression, message).with_source(error)
    })?;
    Ok(Some(Timestamp::from_millis(instant.as_millisecond())))
}

fn parse_pattern(expression: &str) -> Result<Rule> {
    // The one nickname of the reference that the library does not know.
    let known = match expression.trim() {
        name if name.eq_ignore_ascii_case("@midnight") => "@daily",
        other => other,
    };
    let pattern: croner::Cron = known.parse().map_err(|error: croner::errors::CronError| {
        let message =
            format!("it is not a cron expression ({error}); write one such as 0 9 * * MON-FRI");
        invalid(expression, message).with_source(error)
    })?;
    let pattern = Box::new(pattern);
    Ok(match pattern.determine_job_type() {
        croner::JobType::FixedTime => Rule::Daily(pattern),
        croner::JobType::IntervalWildcard => Rule::Interval(pattern),
    })
}

fn invalid(subject: &str, message: impl Into<Text>) -> Error {
    const SHOWN: usize = 64;
    let shown: String = subject.chars().take(SHOWN).collect();
    Error::new(ErrorKind::InvalidInput, "parse cron", message).with_subject(shown)
}
