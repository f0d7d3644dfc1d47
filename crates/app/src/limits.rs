//! How much one caller may ask for, so that none takes the place of all others.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use auth::{Principal, Role, Who};
use domain::Actor;

/// Limits of each caller; `None` means no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerLimits {
    /// New tasks, and as many new delegations, per minute, on each server.
    pub ledger_per_minute: Option<NonZeroU32>,
    /// New tasks, and as many new delegations, per day, of a user without a role.
    pub visitor_per_day: Option<NonZeroU32>,
    /// Drafts of depositions.
    pub drafts: Option<NonZeroU32>,
    /// Active ingest runs.
    pub open_runs: Option<NonZeroU32>,
}

/// Returns whether this is a user without any role: everyone who can sign in may become one.
pub(crate) fn is_visitor(principal: &Principal) -> bool {
    matches!(principal.who(), Who::User { roles, .. } if roles.iter().all(|role| *role == Role::Public))
}

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(60);
/// From how many callers on those with a past window are dropped.
const MANY: usize = 1000;

/// Counts what each caller does in a minute.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    most: Option<NonZeroU32>,
    /// When the window of a caller began, and what they did in it.
    windows: Mutex<HashMap<Actor, (Instant, u32)>>,
}

impl Rate {
    pub(crate) fn new(most: Option<NonZeroU32>) -> Self {
        Self {
            most,
            windows: Mutex::default(),
        }
    }

    /// Counts one more of this caller, or returns the maximum if they did as much in this minute.
    pub(crate) fn take(&self, caller: &Actor) -> Result<(), u32> {
        self.take_at(caller, Instant::now())
    }

    fn take_at(&self, caller: &Actor, now: Instant) -> Result<(), u32> {
        let Some(most) = self.most.map(NonZeroU32::get) else {
            return Ok(());
        };
        let is_past = |begun: Instant| now.saturating_duration_since(begun) >= WINDOW;
        // No holder can leave it half changed.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MANY {
            windows.retain(|_, (begun, _)| !is_past(*begun));
        }
        let (begun, count) = windows.entry(caller.clone()).or_insert((now, 0));
        if is_past(*begun) {
            (*begun, *count) = (now, 0);
        }
        if *count >= most {
            return Err(most);
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::UserId;
    use uuid::Uuid;

    // proves ISO-5
    #[test]
    fn each_caller_has_a_minute_of_its_own() {
        let rate = Rate::new(NonZeroU32::new(2));
        let (a, b) = (Actor::User(UserId::from_uuid(Uuid::nil())), Actor::System);
        let now = Instant::now();
        assert_eq!(rate.take_at(&a, now), Ok(()));
        assert_eq!(rate.take_at(&a, now), Ok(()));
        assert_eq!(rate.take_at(&a, now + Duration::from_secs(59)), Err(2));
        assert_eq!(rate.take_at(&b, now), Ok(()));
        assert_eq!(rate.take_at(&a, now + Duration::from_secs(60)), Ok(()));
        let none = Rate::new(None);
        assert!((0..1000).all(|_| none.take_at(&a, now).is_ok()));
    }
}
