//! Following the activity log (LED-8), as Hallmark's own feed and in the shape of the Open Science Archive's
//! changefeed (WC-1.7, WC-D6, WC-D26).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::{EntryId, Invalid, RecordSrn};
use ports::data::{ActivityEntry, ActivityFilter, ActivityPage};
use ports::{ActivityQueries, DataQueries};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::withdrawal::{RECORD_RESTORED, RECORD_WITHDRAWN, RUN_RESTORED, RUN_WITHDRAWN};
use crate::failure::Failure;
use crate::machine::Places;

/// The maximum wait of a follower.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// The interval at which the log is polled for a waiting follower. One poll without news is a look-up in an index.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The maximum number of waiting followers. Further requests are answered at once.
const MAX_WAITING: usize = 100;

/// The kind of the entries that contain a record's metadata.
const PUBLISHED: &str = "RecordPublished";
/// The kind of the entries that name the locations of an image.
const LOCATED: &str = "HookReleaseLocated";
/// The public kinds of the changefeed: publications and withdrawals, and nothing about people (WC-D6).
const PUBLIC_EVENTS: &[&str] = &[
    PUBLISHED,
    "ConventionRegistered",
    RECORD_WITHDRAWN,
    RECORD_RESTORED,
    RUN_WITHDRAWN,
    RUN_RESTORED,
];

/// Reads the activity log.
pub struct ReadActivity {
    activity: Arc<dyn ActivityQueries>,
    data: Arc<dyn DataQueries>,
    stopping: CancellationToken,
    waiting: Arc<Semaphore>,
}

impl ReadActivity {
    /// Creates the use case over these queries. When the server is `stopping`, every wait ends.
    pub fn new(
        activity: Arc<dyn ActivityQueries>,
        data: Arc<dyn DataQueries>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            activity,
            data,
            stopping,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }

    /// Returns at most `most` entries. If there are none, waits for one for at most `wait`, limited to [`MAX_WAIT`].
    #[tracing::instrument(name = "app.read_activity.follow", skip_all)]
    pub async fn follow(
        &self,
        permit: Permit<act::ReadActivity>,
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
            // What was searched without a match need not be searched again.
            page.next = page.next.or(filter.after);
            let over = Instant::now() >= until || self.stopping.is_cancelled();
            if !page.entries.is_empty() || page.has_more || over {
                redact_places(Places::of(&permit), &mut page);
                return Ok(page);
            }
            filter.after = page.next;
            if place.is_none() {
                let Ok(taken) = self.waiting.try_acquire() else {
                    return Ok(page);
                };
                place = Some(taken);
            }
            tokio::select! {
                () = tokio::time::sleep_until((Instant::now() + LOOK_EVERY).min(until)) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// Returns at most `most` entries for any caller. Without the role curator and without the scope, a caller sees
    /// only public kinds, and no metadata of withdrawn records.
    #[tracing::instrument(name = "app.read_activity.events", skip_all)]
    pub async fn events(
        &self,
        permit: Permit<act::ReadEvents>,
        mut filter: ActivityFilter,
        most: u32,
    ) -> Result<ActivityPage, Failure> {
        let sees_all = permit.principal().may::<act::ReadAllEvents>();
        if !sees_all {
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
        if !sees_all {
            self.leave_out_withdrawn(&mut page).await?;
        }
        redact_places(Places::of(&permit), &mut page);
        Ok(page)
    }

    /// Removes the metadata of withdrawn records. The log itself never changes.
    async fn leave_out_withdrawn(&self, page: &mut ActivityPage) -> Result<(), Failure> {
        let srns: Vec<RecordSrn> = page.entries.iter().filter_map(published).collect();
        if srns.is_empty() {
            return Ok(());
        }
        let withdrawn = self.data.withdrawn(&srns).await?;
        for entry in &mut page.entries {
            let srn = published(entry);
            if withdrawn.iter().any(|(one, _)| srn.as_ref() == Some(one))
                && let Some(metadata) = entry.payload.get_mut("metadata")
            {
                *metadata = Value::Null;
            }
        }
        Ok(())
    }

    /// Checks that a cursor names an entry: otherwise pages would silently skip or repeat entries (WC-D26).
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

/// Removes the paths of files if the reader may not see them. The log itself never changes.
fn redact_places(places: Places, page: &mut ActivityPage) {
    for entry in page.entries.iter_mut().filter(|entry| entry.kind == LOCATED) {
        places.redact_payload(&mut entry.payload);
    }
}

/// Returns the record version whose publication an entry announces.
fn published(entry: &ActivityEntry) -> Option<RecordSrn> {
    let srn = entry
        .payload
        .get("record_srn")
        .filter(|_| entry.kind == PUBLISHED)?;
    srn.as_str()?.parse().ok()
}
