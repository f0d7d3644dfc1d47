//! How much one caller may ask for.

use std::num::NonZeroU32;

use app::CallerLimits;

use crate::source::Source;

/// Reads the limits of callers.
pub(crate) fn read(s: &mut Source) -> CallerLimits {
    let mut most = |key: &str, usual: u32| {
        let given = s.parsed::<u32>(key, "must be a non-negative integer; 0 means no limit");
        NonZeroU32::new(given.unwrap_or(usual))
    };
    CallerLimits {
        ledger_per_minute: most("limits.ledger_per_minute", 6000),
        visitor_per_day: most("limits.visitor_per_day", 200),
        drafts: most("limits.drafts_per_user", 200),
        open_runs: most("limits.ingest_runs_per_caller", 100),
    }
}
