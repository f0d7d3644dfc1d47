//! Refusals by the registry.

use crate::kind::{Coded, Fault, Invalid, Kind};
use crate::names::{HookName, NameError};
use crate::registry::hook::locations::MAX_LOCATIONS;
use crate::registry::version::ReleaseVersion;

/// Reason for a refusal by the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The name is not valid for a hook.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The hook does not exist.
    #[error("there is no hook {0}")]
    UnknownHook(HookName),
    /// The hook has no such release.
    #[error("hook {hook} has no release {version}")]
    UnknownVersion {
        /// The hook.
        hook: HookName,
        /// Version in the request.
        version: u32,
    },
    /// The hook exists with another contract (REG-1).
    #[error("hook {hook} already exists with another output contract, which cannot change: {}", .differences.join("; "))]
    ContractDiffers {
        /// The hook.
        hook: HookName,
        /// Each difference, relative to the existing contract.
        differences: Vec<String>,
    },
    /// A yanked release cannot become live.
    #[error("release {version} of hook {hook} is yanked and cannot become live: {reason}")]
    Yanked {
        /// The hook.
        hook: HookName,
        /// The release.
        version: ReleaseVersion,
        /// Reason for the yank.
        reason: String,
    },
    /// The live release can only be yanked together with a replacement.
    #[error("release {version} of hook {hook} is live; specify its replacement in fallback_version")]
    YankedLive {
        /// The hook.
        hook: HookName,
        /// The release.
        version: ReleaseVersion,
    },
    /// All numbers that PostgreSQL's `integer` can represent are used up.
    #[error("hook {0} has used up its version numbers")]
    VersionsExhausted(HookName),
    /// The release has as many locations as a release may have.
    #[error(
        "release {version} of hook {hook} has had {} locations, the maximum; submit the location in use, {in_use}, or another config, which is a new release",
        MAX_LOCATIONS
    )]
    LocationsExhausted {
        /// The hook.
        hook: HookName,
        /// The release.
        version: ReleaseVersion,
        /// The location that is in use.
        in_use: String,
    },
}

impl Coded for HookError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::Name(e) => e.kind(),
            Self::UnknownHook(_) | Self::UnknownVersion { .. } => Kind::NotFound,
            Self::ContractDiffers { .. }
            | Self::VersionsExhausted(_)
            | Self::LocationsExhausted { .. }
            | Self::Yanked { .. }
            | Self::YankedLive { .. } => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::Name(e) => e.code(),
            Self::UnknownHook(_) => "hook_not_found",
            Self::UnknownVersion { .. } => "release_not_found",
            Self::ContractDiffers { .. } => "ConflictError",
            Self::Yanked { .. } => "release_yanked",
            Self::YankedLive { .. } => "release_is_live",
            Self::VersionsExhausted(_) => "versions_exhausted",
            Self::LocationsExhausted { .. } => "locations_exhausted",
        }
    }
    fn faults(&self) -> &[Fault] {
        match self {
            Self::Invalid(e) => e.faults(),
            Self::Name(e) => e.faults(),
            _ => &[],
        }
    }
}
