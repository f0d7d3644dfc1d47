//! Dates and times of day, which spreadsheets hold as numbers of days.

use time::macros::date;
use time::{Date, Duration, Time};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A date and a time of day, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The date; `None` for a time of day alone.
    pub(super) date: Option<Date>,
    /// The time of day.
    pub(super) time: Time,
    /// Whether spreadsheet programs show different dates for it.
    pub(super) disputed: bool,
}

impl Moment {
    /// Converts a number of days (ECMA-376, 18.17.4.1). `dated` says whether the cell shows a date.
    pub(super) fn of(serial: f64, date_1904: bool, dated: bool) -> Result<Self, &'static str> {
        let last = if date_1904 { 2_957_004.0 } else { 2_958_466.0 };
        if !(0.0..last).contains(&serial) {
            return Err("is outside of the dates that spreadsheets have");
        }
        #[expect(clippy::cast_precision_loss, reason = "a day has few milliseconds")]
        let exact = serial * DAY as f64;
        #[expect(clippy::cast_possible_truncation, reason = "within the range above")]
        let milliseconds = exact.round() as i64;
        let (days, rest) = (milliseconds.div_euclid(DAY), milliseconds.rem_euclid(DAY));
        let time = Time::MIDNIGHT + Duration::milliseconds(rest);
        if days == 0 && !dated {
            return Ok(Self {
                date: None,
                time,
                disputed: false,
            });
        }
        let (epoch, disputed) = match (date_1904, days) {
            (true, _) => (date!(1904 - 01 - 01), false),
            (false, 0) => return Err("is the day 0 of January 1900, which is no date"),
            // Excel has a 29 February 1900, and one day less before it. Other programs count back from March.
            (false, 60) => return Err("is 1900-02-29, a day that did not exist"),
            (false, 1..60) => (date!(1899 - 12 - 31), true),
            (false, _) => (date!(1899 - 12 - 30), false),
        };
        let date = epoch
            .checked_add(Duration::days(days))
            .ok_or("is outside of the dates that spreadsheets have")?;
        Ok(Self {
            date: Some(date),
            time,
            disputed,
        })
    }

    /// Spells it as ISO 8601. `timed` says whether midnight is spelled out.
    pub(super) fn spelled(&self, timed: bool) -> String {
        match self.date {
            None => spelled(self.time),
            Some(date) if !timed && self.time == Time::MIDNIGHT => date.to_string(),
            Some(date) => format!("{date}T{}", spelled(self.time)),
        }
    }
}

/// Spells a time of day: `13:30:00`, or `13:30:00.250`.
pub(super) fn spelled(time: Time) -> String {
    let (hour, minute, second, milli) = time.as_hms_milli();
    let fraction = if milli == 0 {
        String::new()
    } else {
        format!(".{milli:03}")
    };
    format!("{hour:02}:{minute:02}:{second:02}{fraction}")
}

/// Spells a number of days as hours, minutes and seconds: `36:00:00`.
pub(super) fn duration(days: f64) -> Option<String> {
    if days.abs() >= 1e9 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a day has few milliseconds")]
    let exact = days * DAY as f64;
    #[expect(clippy::cast_possible_truncation, reason = "within the range above")]
    let milliseconds = exact.round() as i64;
    let sign = if milliseconds < 0 { "-" } else { "" };
    let all = Duration::milliseconds(milliseconds.abs());
    let fraction = match all.subsec_milliseconds() {
        0 => String::new(),
        milli => format!(".{milli:03}"),
    };
    let (hours, minutes, seconds) = (
        all.whole_hours(),
        all.whole_minutes() % 60,
        all.whole_seconds() % 60,
    );
    Some(format!("{sign}{hours}:{minutes:02}:{seconds:02}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(serial: f64, date_1904: bool) -> Result<String, &'static str> {
        Moment::of(serial, date_1904, true).map(|moment| moment.spelled(false))
    }

    // proves EDG-1
    #[test]
    fn both_date_systems_are_read() {
        for (serial, date_1904, spelled) in [
            (61.0, false, "1900-03-01"),
            (43_890.0, false, "2020-02-29"),
            (43_890.562_5, false, "2020-02-29T13:30:00"),
            (2_958_465.0, false, "9999-12-31"),
            (0.0, true, "1904-01-01"),
            (42_428.0, true, "2020-02-29"),
            (2_957_003.0, true, "9999-12-31"),
            // A float that misses midnight by less than a millisecond.
            (43_889.999_999_999_99, false, "2020-02-29"),
            (43_890.000_011_574_08, false, "2020-02-29T00:00:01"),
        ] {
            assert_eq!(of(serial, date_1904).as_deref(), Ok(spelled), "{serial}");
        }
    }

    // proves EDG-1
    #[test]
    fn days_before_march_1900_are_disputed_and_some_are_no_dates() {
        let first = Moment::of(1.0, false, true).unwrap();
        assert_eq!((first.date, first.disputed), (Some(date!(1900 - 01 - 01)), true));
        assert!(Moment::of(59.5, false, true).unwrap().disputed);
        assert!(!Moment::of(61.0, false, true).unwrap().disputed);
        assert!(!Moment::of(1.0, true, true).unwrap().disputed);
        for none in [0.0, 0.5, 60.0, 60.9, -1.0, 2_958_466.0, f64::INFINITY, f64::NAN] {
            assert!(of(none, false).is_err(), "{none}");
        }
        assert!(of(2_957_004.0, true).is_err());
        assert!(of(2_958_465.999_999_999_9, false).is_err());
    }

    #[test]
    fn a_time_of_day_has_no_date_and_a_duration_may_exceed_a_day() {
        let noon = Moment::of(0.5, false, false).unwrap();
        assert_eq!((noon.date, noon.spelled(true)), (None, "12:00:00".to_owned()));
        for (days, spelled) in [
            (1.5, "36:00:00"),
            (-0.25, "-6:00:00"),
            (0.000_002_9, "0:00:00.251"),
        ] {
            assert_eq!(duration(days).as_deref(), Some(spelled));
        }
        assert_eq!(duration(1e300), None);
    }
}
