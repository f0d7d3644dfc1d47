//! Reads of single releases, of which many are concurrent: a release is cached as it was read, and reads of whether it
//! is live, yanked or has more locations since are coalesced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::registry::hook::{HookRelease, Yank};
use domain::{HookName, ReleaseVersion};
use moka::sync::Cache;
use ports::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::store::error::store_error;
use crate::store::read_batcher::ReadBatcher;
use crate::store::rows::{ReleaseRow, actor, releases};

/// The maximum size of the cached releases, roughly, in bytes.
const MAX_BYTES: u64 = 32 << 20;

/// A hook and a version.
type Key = (String, i32);
/// A release and whether it is live.
type Read = Option<(HookRelease, bool)>;

/// Reads of single releases.
pub(crate) struct ReleaseReads {
    /// What the database does not let change, without yanks. Locations are only added, so their number tells whether
    /// those that are cached are all.
    known: Cache<Key, Arc<HookRelease>>,
    waiting: Arc<ReadBatcher<Key, Read>>,
}

impl std::fmt::Debug for ReleaseReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReleaseReads").finish_non_exhaustive()
    }
}

impl Default for ReleaseReads {
    fn default() -> Self {
        let size = |_: &Key, release: &Arc<HookRelease>| {
            let config = serde_json::to_string(&release.release.content.config).map_or(0, |text| text.len());
            let locations: usize = release.locations.all().map(|l| 100 + l.image.len()).sum();
            // A map in memory takes several times the size of its text.
            u32::try_from(1000 + locations + 4 * config).unwrap_or(u32::MAX)
        };
        Self {
            known: Cache::builder().max_capacity(MAX_BYTES).weigher(size).build(),
            waiting: Arc::default(),
        }
    }
}

impl ReleaseReads {
    /// Returns a release, and whether it is live, both as they are now.
    pub(crate) async fn read(
        &self,
        pool: &PgPool,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Read, StoreError> {
        let key = (name.to_string(), version.get().cast_signed());
        let (own_pool, known) = (pool.clone(), self.known.clone());
        // Held from statement to statement while callers wait: taking a connection and returning it costs round
        // trips, too.
        let held: Arc<Mutex<Option<PoolConnection<Postgres>>>> = Arc::default();
        let read = move |keys: Vec<Key>| {
            let (pool, known, held) = (own_pool.clone(), known.clone(), Arc::clone(&held));
            async move {
                let mut held = held.lock().await;
                let mut connection = match held.take() {
                    Some(connection) => connection,
                    None => pool.acquire().await.ok()?,
                };
                let read = read_all(&mut connection, &known, keys).await.ok()?;
                // A failed connection is not used again.
                *held = Some(connection);
                Some(read)
            }
        };
        match self.waiting.get(key.clone(), read).await {
            Some(read) => Ok(read),
            // What failed for many is queried once more for this one, which yields the reason.
            None => {
                let mut connection = pool.acquire().await.map_err(store_error)?;
                Ok(read_all(&mut connection, &self.known, vec![key])
                    .await?
                    .pop()
                    .flatten())
            }
        }
    }
}

/// Returns the releases with these keys, in their order.
async fn read_all(
    connection: &mut PgConnection,
    known: &Cache<Key, Arc<HookRelease>>,
    keys: Vec<Key>,
) -> Result<Vec<Read>, StoreError> {
    let mut reads: Vec<Read> = Vec::new();
    reads.resize_with(keys.len(), || None);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (place, key) in keys.iter().enumerate() {
        match known.get(key) {
            Some(release) => old.push((place, release)),
            None => new.push((place, key)),
        }
    }
    if !old.is_empty() {
        let hooks: BTreeSet<String> = old.iter().map(|(_, r)| r.hook.to_string()).collect();
        let ids: BTreeSet<Uuid> = old.iter().map(|(_, r)| r.id.as_uuid()).collect();
        let states = states(
            connection,
            &hooks.into_iter().collect::<Vec<_>>(),
            &ids.into_iter().collect::<Vec<_>>(),
        )
        .await?;
        for (place, release) in old {
            let all = states.locations.get(&release.id.as_uuid()).copied().unwrap_or(1);
            if i64::from(release.locations.number()) != all {
                new.push((place, &keys[place]));
                continue;
            }
            let mut release = HookRelease::clone(&release);
            release.yanked = states.yanks.get(&release.id.as_uuid()).cloned();
            let live = states.live.get(release.hook.as_str()) == Some(&release.id.as_uuid());
            reads[place] = Some((release, live));
        }
    }
    if !new.is_empty() {
        let (hooks, versions): (Vec<String>, Vec<i32>) = new.iter().map(|(_, key)| (*key).clone()).unzip();
        let rows = releases!(
            "where (r.hook_name, r.version) in (select * from unnest($1::text[], $2::int[]))",
            &hooks,
            &versions
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(store_error)?;
        for row in rows {
            let live = row.live;
            let release = ReleaseRow::release(row)?;
            let key = (release.hook.to_string(), release.version.get().cast_signed());
            for (place, _) in new.iter().filter(|(_, asked)| **asked == key) {
                reads[*place] = Some((release.clone(), live));
            }
            let forever = HookRelease {
                yanked: None,
                ..release
            };
            known.insert(key, Arc::new(forever));
        }
    }
    Ok(reads)
}

/// What may have changed of releases, of one snapshot.
#[derive(Default)]
struct States {
    /// The live release of each hook.
    live: BTreeMap<String, Uuid>,
    /// The releases that are yanked.
    yanks: BTreeMap<Uuid, Yank>,
    /// How many locations there are, of releases that have more than one.
    locations: BTreeMap<Uuid, i64>,
}

async fn states(
    connection: &mut PgConnection,
    hooks: &[String],
    releases: &[Uuid],
) -> Result<States, StoreError> {
    // Three look-ups by primary key in one statement, so that all are of one snapshot.
    let rows = sqlx::query!(
        r#"select name as "hook?", live_release_id as "release_id?", null::text as "reason?", null::uuid as "user_id?",
             null::uuid as "service_account_id?", null::timestamptz as "at?", null::bigint as "locations?"
           from hooks where name = any($1)
           union all
           select null, y.release_id, y.reason, y.changed_by_user_id, y.changed_by_service_account_id, y.changed_at, null
           from hook_release_yanks y where y.release_id = any($2) and y.yanked
             and not exists (select 1 from hook_release_yanks later where later.release_id = y.release_id and later.change > y.change)
           union all
           select null, release_id, null, null, null, null, max(position) from hook_release_locations where release_id = any($2) group by release_id"#,
        hooks,
        releases
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(store_error)?;
    let mut states = States::default();
    for row in rows {
        match (row.hook, row.release_id, row.at, row.locations) {
            (Some(hook), Some(id), ..) => drop(states.live.insert(hook, id)),
            (None, Some(id), None, Some(number)) => drop(states.locations.insert(id, number)),
            (None, Some(id), Some(at), _) => {
                let by = actor(row.user_id, row.service_account_id);
                let reason = row.reason.unwrap_or_default();
                states.yanks.insert(id, Yank { reason, by, at });
            }
            _ => {}
        }
    }
    Ok(states)
}
