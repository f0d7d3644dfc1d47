//! Bounds on what hooks and callers may make the server hold.

use std::ops::RangeInclusive;

use crate::source::Source;

const MIB: u64 = 1024 * 1024;

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The maximum number of bytes that one hook may write for one batch.
    pub(crate) output_bytes: u64,
    /// The maximum number of rows that one hook may compute for one batch.
    pub(crate) rows: u64,
    /// The number of servers that may end while they work on a task; then it is given up.
    pub(crate) crashes: u32,
    /// The maximum memory, in bytes, for the bodies of requests and what they are read into.
    pub(crate) body_memory: u64,
}

impl Bounds {
    /// Reads the bounds.
    pub(crate) fn read(s: &mut Source) -> Self {
        let crashes = number(s, "worker.max_crashes", 3, 1..=1000);
        Self {
            output_bytes: number(s, "runner.max_output_bytes", 256 * MIB, 1024..=1024 * 1024 * MIB),
            rows: number(s, "runner.max_rows", 1_000_000, 1..=1_000_000_000),
            crashes: u32::try_from(crashes).unwrap_or(u32::MAX),
            body_memory: number(
                s,
                "http.max_body_memory_bytes",
                256 * MIB,
                64 * MIB..=1024 * 1024 * MIB,
            ),
        }
    }
}

fn number(s: &mut Source, key: &str, usual: u64, allowed: RangeInclusive<u64>) -> u64 {
    let rule = format!("must be a number from {} to {}", allowed.start(), allowed.end());
    let number = s.parsed(key, &rule).unwrap_or(usual);
    if !allowed.contains(&number) {
        s.fault(format!("{key}: {rule}"));
    }
    number
}
