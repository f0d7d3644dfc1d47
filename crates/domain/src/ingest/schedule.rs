//! Schedules of automatic ingester runs: cron expressions (crontab(5) of POSIX systems; `@daily` and the like), in UTC.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use time::OffsetDateTime;

use crate::kind::Invalid;

/// A cron expression of five fields: minute, hour, day of month, month, day of week.
#[derive(Clone, Debug)]
pub struct Schedule(Cron);

impl Schedule {
    /// Parses a cron expression.
    pub fn parse(expression: &str) -> Result<Self, Invalid> {
        if expression.len() > 200 {
            return Err(Invalid::value("must have at most 200 bytes"));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(expression).map_err(|e| {
            Invalid::value(format!(
                "must be a cron expression of five fields such as \"30 2 * * *\": {e}"
            ))
        })?;
        Ok(Self(cron))
    }

    /// Returns the newest scheduled time after `after` and not after `now`. Several missed times result in one run.
    pub fn due(&self, after: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let now: DateTime<Utc> = DateTime::from_timestamp(now.unix_timestamp(), 0)?;
        // An expression such as "0 0 30 2 *" never matches, which the search reports as an error.
        let last = self.0.find_previous_occurrence(&now, true).ok()?;
        let last = OffsetDateTime::from_unix_timestamp(last.timestamp()).ok()?;
        (last > after).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    // proves PIP-2
    #[test]
    fn what_was_due_is_returned_once_with_its_newest_time() {
        let nightly = Schedule::parse("30 2 * * *").unwrap();
        let deployed = datetime!(2026-01-01 12:00 UTC);
        assert_eq!(nightly.due(deployed, datetime!(2026-01-02 02:29:59 UTC)), None);
        let first = datetime!(2026-01-02 02:30 UTC);
        assert_eq!(nightly.due(deployed, first), Some(first));
        assert_eq!(nightly.due(first, datetime!(2026-01-02 23:00 UTC)), None);
        // The server was down for three nights.
        assert_eq!(
            nightly.due(first, datetime!(2026-01-05 03:00 UTC)),
            Some(datetime!(2026-01-05 02:30 UTC))
        );
        assert!(Schedule::parse("@hourly").unwrap().due(deployed, first).is_some());
    }

    #[test]
    fn what_is_no_schedule_is_refused_and_what_never_comes_is_never_due() {
        for bad in [
            "",
            "every night",
            "61 * * * *",
            "* * * *",
            "0 0 0 * * * *",
            &"*".repeat(300),
        ] {
            assert!(Schedule::parse(bad).is_err(), "{bad:?}");
        }
        let never = Schedule::parse("0 0 30 2 *");
        if let Ok(never) = never {
            assert_eq!(
                never.due(datetime!(2000-01-01 0:00 UTC), datetime!(2026-01-01 0:00 UTC)),
                None
            );
        }
    }
}
