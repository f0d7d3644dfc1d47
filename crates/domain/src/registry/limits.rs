//! Resource limits of one execution of a release (WC-5: limits).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kind::Invalid;

/// An amount of memory in the notation of the container contract: `512m`, `1g`, `1.5Gi`, plain bytes; 1024-based.
///
/// Two texts of the same amount are the same limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemoryLimit(u64);

/// Minimum amount, in bytes: no program starts with less.
const MIN_MEMORY: u64 = 4 * 1024 * 1024;
/// Maximum amount, in bytes: no machine has more, so a larger one is a typing error.
const MAX_MEMORY: u64 = 1 << 50;

impl MemoryLimit {
    /// Returns the amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns twice the amount, for the retry after an out-of-memory kill (PRV-5).
    #[must_use]
    pub const fn doubled(self) -> Self {
        Self(self.0.saturating_mul(2))
    }
}

impl FromStr for MemoryLimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || {
            Invalid::value(
                "must be a number and an optional unit k, m or g (1024-based), such as 512m or 1.5g",
            )
        };
        let lower = text.trim().to_ascii_lowercase();
        let plain = lower.strip_suffix('i').unwrap_or(&lower);
        let (number, shift) = match plain.as_bytes().last() {
            Some(b'k') => (&plain[..plain.len() - 1], 10),
            Some(b'm') => (&plain[..plain.len() - 1], 20),
            Some(b'g') => (&plain[..plain.len() - 1], 30),
            _ => (plain, 0),
        };
        if !is_plain_decimal(number) {
            return Err(rule());
        }
        let value: f64 = number.parse().map_err(|_| rule())?;
        let bytes = (value * f64::from(1_u32 << shift)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "checked to lie in the range first"
        )]
        if bytes >= MIN_MEMORY as f64 && bytes <= MAX_MEMORY as f64 {
            Ok(Self(bytes as u64))
        } else {
            Err(Invalid::value("must be between 4m and 1048576g"))
        }
    }
}

/// Returns whether the text is a plain decimal such as `12` or `12.5`, without sign, exponent and spaces.
fn is_plain_decimal(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    !whole.is_empty()
        && !part.is_empty()
        && whole.len() + part.len() <= 24
        && whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit())
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "g"), (20, "m"), (10, "k")] {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        self.0.fmt(f)
    }
}

/// A share of processor time: `0.5` means half a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuLimit(u32);

impl CpuLimit {
    /// Returns the share in thousandths of a core.
    pub const fn millicores(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuLimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || Invalid::value("must be a number of cores such as 0.5 or 2, between 0.01 and 1024");
        let text = text.trim();
        if !is_plain_decimal(text) {
            return Err(rule());
        }
        let value: f64 = text.parse().map_err(|_| rule())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to lie in the range first"
        )]
        if (0.01..=1024.0).contains(&value) {
            Ok(Self((value * 1000.0).round() as u32))
        } else {
            Err(rule())
        }
    }
}

impl fmt::Display for CpuLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
            f.write_str(text.trim_end_matches('0'))
        }
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> { text.parse() }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String { value.to_string() }
        }
    )+};
}
as_text!(MemoryLimit, CpuLimit);

/// Resource limits of one execution of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time, in seconds, from 1 to 86 400.
    pub timeout_seconds: u32,
    /// Resident memory of all processes of the run.
    pub memory: MemoryLimit,
    /// Processor time per wall-clock time.
    pub cpu: CpuLimit,
}

impl Limits {
    /// Parses the limits, and reports every fault at once.
    pub fn parse(timeout_seconds: i64, memory: &str, cpu: &str) -> Result<Self, Invalid> {
        let mut faults = Vec::new();
        let timeout = u32::try_from(timeout_seconds)
            .ok()
            .filter(|t| (1..=86_400).contains(t));
        if timeout.is_none() {
            faults.extend(
                Invalid::value("must be between 1 and 86400 seconds (24 hours)")
                    .of_field("timeout_seconds")
                    .faults,
            );
        }
        let memory = memory
            .parse::<MemoryLimit>()
            .map_err(|e| faults.extend(e.of_field("memory").faults))
            .ok();
        let cpu = cpu
            .parse::<CpuLimit>()
            .map_err(|e| faults.extend(e.of_field("cpu").faults))
            .ok();
        match (timeout, memory, cpu) {
            (Some(timeout_seconds), Some(memory), Some(cpu)) => Ok(Self {
                timeout_seconds,
                memory,
                cpu,
            }),
            _ => Err(Invalid { faults }),
        }
    }

    /// Returns the wall-clock limit.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_is_1024_based_and_two_texts_of_one_amount_are_one_limit() {
        let m = |t: &str| t.parse::<MemoryLimit>().unwrap();
        assert_eq!(m("1g"), m("1024m"));
        assert_eq!(m(" 1.5Gi ").bytes(), 1_610_612_736);
        assert_eq!(m("8388608").to_string(), "8m");
        for bad in [
            "",
            "g",
            "-1g",
            "1e9",
            "1t",
            "1 g",
            "0",
            "1k",
            "nan",
            "inf",
            "1g1",
            "99999999999999g",
        ] {
            assert!(bad.parse::<MemoryLimit>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cpu_is_a_number_of_cores() {
        assert_eq!("0.5".parse::<CpuLimit>().unwrap().millicores(), 500);
        assert_eq!("0.25".parse::<CpuLimit>().unwrap().to_string(), "0.25");
        for bad in ["500m", "", "0", "-1", "1e2", "NaN"] {
            assert!(bad.parse::<CpuLimit>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn limits_name_every_fault() {
        let faults = Limits::parse(0, "lots", "many").unwrap_err().faults;
        assert_eq!(
            faults.iter().map(Fault::path).collect::<Vec<_>>(),
            ["timeout_seconds", "memory", "cpu"]
        );
    }
    use crate::kind::Fault;

    proptest! {
        #[test]
        fn a_limit_prints_as_text_of_the_same_amount(bytes in MIN_MEMORY..MAX_MEMORY / 4) {
            let limit = MemoryLimit(bytes);
            prop_assert_eq!(limit.to_string().parse::<MemoryLimit>().unwrap(), limit);
        }
    }
}
