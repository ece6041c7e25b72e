//! The date texts of JavaScript: ISO 8601 as ECMAScript defines it, in milliseconds since the Unix
//! epoch, in the proleptic Gregorian calendar without leap seconds.

/// The greatest distance from the epoch that a JavaScript date can hold, in milliseconds.
pub const MAX_MILLIS: i64 = 8_640_000_000_000_000;

const DAY: i64 = 86_400_000;
/// The length of the longest text, `+YYYYYY-MM-DDTHH:mm:ss.sssZ`.
const LONGEST: usize = 27;
/// Days from the start of the shifted calendar (1 March of the year 0) to the epoch.
const EPOCH_SHIFT: i64 = 719_468;
const DAYS_IN_400_YEARS: i64 = 146_097;

/// Appends an instant as `YYYY-MM-DDTHH:mm:ss.sssZ`, or with a sign and six digits of the year
/// outside 0 to 9999: what `toISOString` gives.
///
/// `millis` counts from the epoch; beyond [`MAX_MILLIS`] on either side the last instant that
/// JavaScript knows is written.
pub fn write_iso(millis: i64, out: &mut Vec<u8>) {
    let millis = millis.clamp(-MAX_MILLIS, MAX_MILLIS);
    let (year, month, day) = civil(millis.div_euclid(DAY));
    let time = millis.rem_euclid(DAY);
    let mut text = *b"YYYY-MM-DDTHH:mm:ss.sssZ";
    put::<2>(&mut text, 5, month);
    put::<2>(&mut text, 8, day);
    put::<2>(&mut text, 11, time / 3_600_000);
    put::<2>(&mut text, 14, time / 60_000 % 60);
    put::<2>(&mut text, 17, time / 1000 % 60);
    put::<3>(&mut text, 20, time % 1000);
    if (0..=9999).contains(&year) {
        put::<4>(&mut text, 0, year);
        out.extend_from_slice(&text);
        return;
    }
    let mut years = *b"+YYYYYY";
    put::<6>(&mut years, 1, year.abs());
    if year < 0 {
        years[0] = b'-';
    }
    out.extend_from_slice(&years);
    out.extend_from_slice(&text[4..]);
}

/// The text that [`write_iso`] writes.
///
/// ```
/// assert_eq!(bowline_events::codec::date::format_iso(-1), "1969-12-31T23:59:59.999Z");
/// ```
#[must_use]
pub fn format_iso(millis: i64) -> String {
    let mut out = Vec::with_capacity(LONGEST);
    write_iso(millis, &mut out);
    out.into_iter().map(char::from).collect()
}

/// Reads a date text: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, optionally followed by `THH:mm` with
/// optional seconds and fraction and then `Z` or an offset `+HH:mm`. The year may also be a sign
/// and six digits. A date without a time is midnight UTC.
///
/// The fraction may have one to nine digits, as V8 allows; what is below a millisecond is cut off.
/// None for everything else, for dates that do not exist (30 February), for instants beyond
/// [`MAX_MILLIS`], and for a time without a zone, whose meaning depends on the reader's clock.
#[must_use]
pub fn parse_iso(text: &str) -> Option<i64> {
    let (millis, zoned) = parse(text)?;
    (zoned && millis.abs() <= MAX_MILLIS).then_some(millis)
}

/// Whether every JavaScript engine reads the text as a valid date, whatever its time zone.
pub(crate) fn is_date_text(text: &str) -> bool {
    let margin = |zoned| if zoned { 0 } else { DAY };
    parse(text).is_some_and(|(millis, zoned)| millis.abs() <= MAX_MILLIS - margin(zoned))
}

/// The instant, taken as UTC if the text has no zone, and whether its zone is known.
fn parse(text: &str) -> Option<(i64, bool)> {
    let mut reader = Reader(text.as_bytes());
    let year = reader.year()?;
    let mut month = 1;
    let mut day = 1;
    if reader.take(b'-') {
        month = reader.number(2, 1..=12)?;
        if reader.take(b'-') {
            day = reader.number(2, 1..=days_in_month(year, month))?;
        }
    }
    let midnight = days(year, month, day) * DAY;
    if reader.0.is_empty() {
        return Some((midnight, true));
    }
    let time = reader.time()?;
    let (offset, zoned) = reader.zone()?;
    reader
        .0
        .is_empty()
        .then_some((midnight + time - offset, zoned))
}

/// The rest of a date text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    /// Exactly `length` digits whose value is in `range`.
    fn number(&mut self, length: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(length)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + i64::from(char::from(*digit).to_digit(10)?);
        }
        self.0 = rest;
        range.contains(&value).then_some(value)
    }

    fn year(&mut self) -> Option<i64> {
        if self.take(b'+') {
            return self.number(6, 0..=999_999);
        }
        if self.take(b'-') {
            // ECMAScript has no year minus zero.
            return self.number(6, 1..=999_999).map(|year| -year);
        }
        self.number(4, 0..=9999)
    }

    /// `THH:mm`, seconds and fraction, in milliseconds.
    fn time(&mut self) -> Option<i64> {
        self.expect(b'T')?;
        let hours = self.number(2, 0..=24)?;
        self.expect(b':')?;
        let minutes = self.number(2, 0..=59)?;
        let mut seconds = 0;
        let mut millis = 0;
        if self.take(b':') {
            seconds = self.number(2, 0..=59)?;
            if self.take(b'.') {
                millis = self.fraction()?;
            }
        }
        let time = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis;
        // Hour 24 exists only as the end of the day.
        (time <= DAY).then_some(time)
    }

    fn fraction(&mut self) -> Option<i64> {
        let length = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=9).contains(&length) {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let millis = (0..3).fold(0, |value, place| {
            value * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'))
        });
        Some(millis)
    }

    /// The offset from UTC in milliseconds, and whether there is one.
    fn zone(&mut self) -> Option<(i64, bool)> {
        if self.0.is_empty() {
            return Some((0, false));
        }
        if self.take(b'Z') {
            return Some((0, true));
        }
        let sign = if self.take(b'+') {
            1
        } else {
            self.expect(b'-')?;
            -1
        };
        let hours = self.number(2, 0..=23)?;
        self.expect(b':')?;
        let minutes = self.number(2, 0..=59)?;
        Some((sign * (hours * 60 + minutes) * 60_000, true))
    }
}

/// Puts `N` decimal digits of `value`, which is not negative and has no more, at `at`.
fn put<const N: usize>(text: &mut [u8], at: usize, value: i64) {
    let mut value = value as u32;
    for place in text[at..at + N].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The number of a day, counted from the epoch. Years are taken to begin in March, so that the leap
/// day is the last one and the lengths of the months follow a line of slope 153/5.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_cycle = year * 365 + year / 4 - year / 100 + day_of_year;
    cycle * DAYS_IN_400_YEARS + day_of_cycle - EPOCH_SHIFT
}

/// Year, month and day of a day number; the inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_SHIFT;
    let (cycle, day) = (
        shifted.div_euclid(DAYS_IN_400_YEARS),
        shifted.rem_euclid(DAYS_IN_400_YEARS),
    );
    // Take out the leap days that precede, then years are even.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let january_or_later = month >= 10;
    (
        cycle * 400 + year + i64::from(january_or_later),
        if january_or_later {
            month - 9
        } else {
            month + 3
        },
        day,
    )
}
