//! Following the activity log (LED-8), as our own feed and in the shape of the Open Science Archive's changefeed (WC-1.7,
//! WC-D6, WC-D26).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::{EntryId, Invalid};
use ports::ActivityQueries;
use ports::data::{ActivityFilter, ActivityPage};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::failure::Failure;

/// The longest that a follower may wait.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// How often the log is looked at for one who waits. One look at nothing new is a look-up in an index.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many may wait at one time; whoever comes when that many wait is answered at once.
const MAX_WAITING: usize = 100;

/// What everybody may see of the changefeed: what is published, and nothing about people (WC-D6).
const PUBLIC_EVENTS: &[&str] = &["RecordPublished", "ConventionRegistered"];

/// Reads the activity log.
pub struct ReadActivity {
    activity: Arc<dyn ActivityQueries>,
    waiting: Arc<Semaphore>,
}

impl ReadActivity {
    /// A use case on these queries.
    pub fn new(activity: Arc<dyn ActivityQueries>) -> Self {
        Self {
            activity,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }

    /// At most `most` entries. Where there is none, waits for one for at most `wait`, as far as [`MAX_WAIT`].
    pub async fn follow(
        &self,
        _permit: Permit<act::ReadActivity>,
        filter: ActivityFilter,
        most: u32,
        wait: Duration,
    ) -> Result<ActivityPage, Failure> {
        self.known(filter.after, "after").await?;
        let until = Instant::now() + wait.min(MAX_WAIT);
        let mut filter = filter;
        let mut place = None;
        loop {
            let mut page = self.activity.activity(&filter, most).await?;
            // What was looked at and let through by no filter need not be looked at again.
            page.next = page.next.or(filter.after);
            if !page.entries.is_empty() || page.has_more || Instant::now() >= until {
                return Ok(page);
            }
            filter.after = page.next;
            if place.is_none() {
                let Ok(taken) = self.waiting.try_acquire() else {
                    return Ok(page);
                };
                place = Some(taken);
            }
            tokio::time::sleep_until((Instant::now() + LOOK_EVERY).min(until)).await;
        }
    }

    /// At most `most` entries for a caller who may be anybody; who is neither a curator nor has the scope sees what is public.
    pub async fn events(
        &self,
        permit: Permit<act::ReadEvents>,
        mut filter: ActivityFilter,
        most: u32,
    ) -> Result<ActivityPage, Failure> {
        if !permit.principal().may::<act::ReadAllEvents>() {
            let public = |kind: &String| PUBLIC_EVENTS.contains(&kind.as_str());
            if filter.kinds.is_empty() {
                filter.kinds = PUBLIC_EVENTS.iter().map(ToString::to_string).collect();
            } else {
                filter.kinds.retain(public);
                if filter.kinds.is_empty() {
                    self.known(filter.after, "after").await?;
                    return Ok(ActivityPage {
                        next: filter.after,
                        ..ActivityPage::default()
                    });
                }
            }
        }
        self.known(filter.after, "after").await?;
        let mut page = self.activity.activity(&filter, most).await?;
        page.next = page.next.or(filter.after);
        Ok(page)
    }

    /// A cursor that names no entry would silently skip or repeat (WC-D26).
    async fn known(&self, after: Option<EntryId>, field: &str) -> Result<(), Failure> {
        match after {
            Some(id) if !self.activity.has_entry(id).await? => {
                let rule = Invalid::value("names no entry of the activity log of this node");
                Err(rule.of_field(field).into())
            }
            _ => Ok(()),
        }
    }
}
