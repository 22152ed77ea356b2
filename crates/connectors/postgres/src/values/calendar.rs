//! Days, times and intervals. The server counts from 2000, the core from 1970; the calendar is the Gregorian one,
//! without a beginning, and has years before Christ.

use std::fmt::Write;
use tidewater_core::change::Value;

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
/// From 1970 to 2000.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH: i64 = EPOCH_DAYS * DAY;
/// The server's days: 4714-11-24 BC to 5874897-12-31, as days since 2000.
const DATES: std::ops::Range<i64> = -2_451_545..2_145_031_949;
/// The server's points in time: 4714-11-24 BC to the end of 294276, as microseconds since 2000.
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Year (0 is 1 BC), month and day of a day since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years are taken from March on, so that the day that some years have more is their last; 400 of them repeat.
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

/// The day since 1970 of a date, where there is one.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let march_year = if month <= 2 { year - 1 } else { year };
    let (cycle, in_cycle) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let in_year = (153 * march_month + 2) / 5 + day - 1;
    let days = cycle * 146_097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + in_year - 719_468;
    // A day that its month does not have is another one, back and forth.
    (civil(days) == (year, month, day)).then_some(days)
}

fn number(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let is_number = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Days since 1970, of `2026-01-02`, without what stands for the era.
fn day_from_text(text: &str, is_before: bool) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year = number(year, 4..=7).filter(|year| *year > 0 && parts.next().is_none())?;
    let year = if is_before { 1 - year } else { year };
    days(year, number(month, 2..=2)?, number(day, 2..=2)?)
}

/// Without what stands for the era, and whether that is before Christ.
fn day_text(days: i64) -> (String, &'static str) {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

/// The server's day as the core has it.
pub(super) fn date_value(days: i32) -> Option<i32> {
    match days {
        i32::MIN | i32::MAX => Some(days),
        _ if DATES.contains(&days.into()) => i32::try_from(i64::from(days) + EPOCH_DAYS).ok(),
        _ => None,
    }
}

/// The core's day as the server has it.
pub(super) fn server_date(days: i32) -> Option<i32> {
    match days {
        i32::MIN | i32::MAX => Some(days),
        _ => Some(i64::from(days) - EPOCH_DAYS).filter(|days| DATES.contains(days)).and_then(|v| i32::try_from(v).ok()),
    }
}

pub(super) fn date_text(days: i32) -> Option<String> {
    match days {
        i32::MIN => Some("-infinity".to_owned()),
        i32::MAX => Some("infinity".to_owned()),
        _ => server_date(days).map(|_| {
            let (text, era) = day_text(days.into());
            text + era
        }),
    }
}

pub(super) fn date_from_text(text: &str) -> Option<i32> {
    match text {
        "-infinity" => return Some(i32::MIN),
        "infinity" => return Some(i32::MAX),
        _ => {}
    }
    let (text, is_before) = without_era(text);
    let days = day_from_text(text, is_before)?;
    i32::try_from(days - EPOCH_DAYS).ok().filter(|v| DATES.contains(&i64::from(*v))).and_then(date_value)
}

fn without_era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |rest| (rest, true))
}

/// `HH:MM:SS.ffffff`, without zeros at the end. Hours may be more than a day has.
fn put_clock(micros: u64, out: &mut String) {
    let seconds = micros / 1_000_000;
    // Writing into a string does not fail.
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// Microseconds of `HH:MM:SS.ffffff`.
fn clock_from_text(text: &str, hours_length_max: usize) -> Option<i128> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let hours = number(parts.next()?, 2..=hours_length_max)?;
    let minutes = number(parts.next()?, 2..=2).filter(|minutes| *minutes < 60)?;
    let seconds = number(parts.next()?, 2..=2).filter(|seconds| *seconds < 60)?;
    if parts.next().is_some() {
        return None;
    }
    let micros = number(fraction, 1..=6)? * 10i64.pow(u32::try_from(6 - fraction.len()).ok()?);
    Some((i128::from(hours) * 3600 + i128::from(minutes * 60 + seconds)) * i128::from(SECOND) + i128::from(micros))
}

pub(super) fn time_text(micros: i64) -> Option<String> {
    let mut text = String::new();
    put_clock(u64::try_from(micros).ok().filter(|_| micros <= DAY)?, &mut text);
    Some(text)
}

pub(super) fn time_from_text(text: &str) -> Option<i64> {
    clock_from_text(text, 2).and_then(|micros| i64::try_from(micros).ok()).filter(|micros| *micros <= DAY)
}

/// Whether the server can hold it.
pub(super) fn is_timestamp(at: i64) -> bool {
    matches!(at, i64::MIN | i64::MAX) || TIMESTAMPS.contains(&at)
}

/// The server's point in time as the core has it. The last 29 years that the server knows lie beyond what can be
/// counted from 1970: they are carried as the server writes them.
pub(super) fn timestamp_value(at: i64, has_zone: bool) -> Value<'static> {
    let value = if has_zone { Value::TimestampTz } else { Value::Timestamp };
    match at {
        i64::MIN | i64::MAX => value(at),
        _ => match at.checked_add(EPOCH).filter(|v| *v != i64::MAX) {
            Some(v) => value(v),
            None => Value::Text(timestamp_text(at, has_zone).into()),
        },
    }
}

/// The core's point in time as the server has it.
pub(super) fn server_time(at: i64) -> Option<i64> {
    match at {
        i64::MIN | i64::MAX => Some(at),
        _ => at.checked_sub(EPOCH).filter(|at| TIMESTAMPS.contains(at)),
    }
}

/// The server's point in time as it writes it, in UTC.
pub(super) fn timestamp_text(at: i64, has_zone: bool) -> String {
    match at {
        i64::MIN => return "-infinity".to_owned(),
        i64::MAX => return "infinity".to_owned(),
        _ => {}
    }
    let (mut text, era) = day_text(at.div_euclid(DAY) + EPOCH_DAYS);
    text.push(' ');
    put_clock(at.rem_euclid(DAY).unsigned_abs(), &mut text);
    if has_zone {
        text.push_str("+00");
    }
    text + era
}

/// The server's point in time, from what it writes.
pub(super) fn timestamp_from_text(text: &str, has_zone: bool) -> Option<i64> {
    match text {
        "-infinity" => return Some(i64::MIN),
        "infinity" => return Some(i64::MAX),
        _ => {}
    }
    let (text, is_before) = without_era(text);
    let (day, clock) = text.split_once(' ')?;
    let (clock, zone) = match clock.find(['+', '-']) {
        Some(at) if has_zone => (&clock[..at], zone_from_text(&clock[at..])?),
        None if !has_zone => (clock, 0),
        _ => return None,
    };
    let micros = clock_from_text(clock, 2).filter(|micros| *micros <= i128::from(DAY))?;
    let days = day_from_text(day, is_before)? - EPOCH_DAYS;
    let at = i128::from(days) * i128::from(DAY) + micros - i128::from(zone);
    i64::try_from(at).ok().filter(|at| TIMESTAMPS.contains(at))
}

/// Microseconds east of Greenwich, of `+05:45`.
fn zone_from_text(text: &str) -> Option<i64> {
    let (sign, text) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let mut seconds = 0;
    let mut parts = text.split(':');
    for unit in [3600, 60, 1] {
        let Some(part) = parts.next() else { break };
        seconds += number(part, 2..=2)? * unit;
    }
    if parts.next().is_some() { None } else { Some(sign * seconds * SECOND) }
}

pub(super) fn interval_from_binary(bytes: &[u8]) -> Option<Value<'static>> {
    let (micros, rest) = bytes.split_first_chunk()?;
    let (days, months) = rest.split_first_chunk()?;
    let months = i32::from_be_bytes(months.try_into().ok()?);
    Some(Value::Interval { months, days: i32::from_be_bytes(*days), micros: i64::from_be_bytes(*micros) })
}

pub(super) fn interval_text(months: i32, days: i32, micros: i64) -> String {
    match (months, days, micros) {
        (i32::MIN, i32::MIN, i64::MIN) => return "-infinity".to_owned(),
        (i32::MAX, i32::MAX, i64::MAX) => return "infinity".to_owned(),
        _ => {}
    }
    let mut text = String::new();
    // A part after a negative one says its sign.
    let mut is_signed = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let plus = if is_signed && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        let _ = write!(text, "{space}{plus}{count} {unit}{plural}");
        is_signed = count < 0;
    }
    if micros != 0 || text.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(if micros < 0 {
            "-"
        } else if is_signed {
            "+"
        } else {
            ""
        });
        put_clock(micros.unsigned_abs(), &mut text);
    }
    text
}

pub(super) fn interval_from_text(text: &str) -> Option<Value<'static>> {
    match text {
        "-infinity" => return Some(Value::Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN }),
        "infinity" => return Some(Value::Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX }),
        _ => {}
    }
    let (mut months, mut days, mut micros) = (0i64, 0i64, 0i64);
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (sign, clock) = match word.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, word.strip_prefix('+').unwrap_or(word)),
            };
            micros = i64::try_from(sign * clock_from_text(clock, 10)?).ok()?;
            if words.next().is_some() {
                return None;
            }
            break;
        }
        let count: i64 = word.parse::<i32>().ok()?.into();
        match words.next()?.trim_end_matches('s') {
            "year" => months += count * 12,
            "mon" => months += count,
            "day" => days += count,
            _ => return None,
        }
    }
    Some(Value::Interval { months: months.try_into().ok()?, days: days.try_into().ok()?, micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_goes_back_and_forth() {
        for (text, day) in [
            ("1970-01-01", 0),
            ("2000-01-01", 10_957),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("2000-02-29", 11_016),
            ("5874897-12-31", 2_145_042_905),
            ("4714-11-24 BC", -2_440_588),
            ("infinity", i32::MAX),
            ("-infinity", i32::MIN),
        ] {
            assert_eq!((date_from_text(text), date_text(day).as_deref()), (Some(day), Some(text)));
        }
        for day in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), Some(day));
        }
        for wrong in
            ["", "2026-02-29", "2026-13-01", "2026-00-01", "0000-01-01", "2026-1-1", "2026-01-01-01", "+026-01-01"]
        {
            assert_eq!(date_from_text(wrong), None, "{wrong}");
        }
        assert_eq!((date_value(2_145_031_949), server_date(i32::MAX - 1)), (None, None));
    }

    #[test]
    fn points_in_time_beyond_the_count_stay_text() {
        let text = "294276-12-31 23:59:59.999999+00";
        let at = timestamp_from_text(text, true).unwrap();
        assert_eq!(timestamp_value(at, true), Value::Text(text.into()));
        assert_eq!(timestamp_value(i64::MAX, true), Value::TimestampTz(i64::MAX));
        let zone = timestamp_from_text("2026-01-02 03:04:05.6+05:45", true).unwrap();
        assert_eq!(timestamp_text(zone, true), "2026-01-01 21:19:05.6+00");
        for wrong in [
            "2026-01-02",
            "2026-01-02 03:04:05",
            "2026-01-02 24:00:01+00",
            "2026-01-02 03:04:05+",
            "294277-01-01 00:00:00+00",
        ] {
            assert_eq!(timestamp_from_text(wrong, true), None, "{wrong}");
        }
    }

    #[test]
    fn intervals_are_written_as_the_server_does() {
        for (months, days, micros, text) in [
            (0, 0, 0, "00:00:00"),
            (14, -3, 14_706_789_000, "1 year 2 mons -3 days +04:05:06.789"),
            (-13, 1, -1, "-1 years -1 mons +1 day -00:00:00.000001"),
            (0, 0, i64::MIN, "-2562047788:00:54.775808"),
            (i32::MIN, i32::MAX, 0, "-178956970 years -8 mons +2147483647 days"),
        ] {
            assert_eq!(interval_text(months, days, micros), text);
            assert_eq!(interval_from_text(text), Some(Value::Interval { months, days, micros }), "{text}");
        }
        for wrong in ["", "1", "1 week", "1 day 2", "04:05", "1 day 04:05:06 1 day", "3000000000 days", "00:60:00"] {
            assert_eq!(interval_from_text(wrong), None, "{wrong}");
        }
    }
}
