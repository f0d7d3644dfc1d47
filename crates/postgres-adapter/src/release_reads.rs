//! Reading single releases, which many do at one time: what never changes of a release is remembered, and whether it is live or yanked
//! is asked for those who wait together.

use std::sync::Arc;

use domain::hook::{HookRelease, Yank};
use domain::{HookName, ReleaseId, ReleaseVersion};
use moka::sync::Cache;
use ports::StoreError;
use sqlx::PgPool;

use crate::error::store_error;
use crate::rows::{ReleaseRow, actor, releases};
use crate::together::Together;

/// The most bytes of releases that are remembered, roughly.
const MOST_BYTES: u64 = 32 << 20;

/// A hook and a version.
type Key = (String, i32);
/// A release and whether it is live.
type Read = Option<(HookRelease, bool)>;

/// Reads of single releases.
pub(crate) struct ReleaseReads {
    /// What can never change (the database refuses it), without yanks.
    known: Cache<Key, Arc<HookRelease>>,
    waiting: Arc<Together<Key, Read>>,
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
            // A map in memory takes some times its text.
            u32::try_from(1000 + 4 * config).unwrap_or(u32::MAX)
        };
        Self {
            known: Cache::builder().max_capacity(MOST_BYTES).weigher(size).build(),
            waiting: Arc::default(),
        }
    }
}

impl ReleaseReads {
    /// A release, and whether it is live, both as they are now.
    pub(crate) async fn read(
        &self,
        pool: &PgPool,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Read, StoreError> {
        let key = (name.to_string(), version.get().cast_signed());
        let (own_pool, known) = (pool.clone(), self.known.clone());
        let read = move |keys: Vec<Key>| {
            let (pool, known) = (own_pool.clone(), known.clone());
            async move { read_all(&pool, &known, keys).await.ok() }
        };
        match self.waiting.get(key.clone(), read).await {
            Some(read) => Ok(read),
            // What failed for many is asked once more for this one, which tells why.
            None => Ok(read_all(pool, &self.known, vec![key]).await?.pop().flatten()),
        }
    }
}

/// The releases with these keys, in their order.
async fn read_all(
    pool: &PgPool,
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
        let hooks: Vec<String> = old.iter().map(|(_, r)| r.hook.to_string()).collect();
        let ids: Vec<_> = old.iter().map(|(_, r)| ReleaseId::as_uuid(r.id)).collect();
        let states = sqlx::query!(
            r#"select w.place as "place!", (h.live_release_id is not distinct from w.id) as "live!", y.reason as "reason?",
                 y.changed_by_user_id as "user_id?", y.changed_by_service_account_id as "service_account_id?", y.changed_at as "at?"
               from unnest($1::text[], $2::uuid[]) with ordinality as w (hook, id, place) join hooks h on h.name = w.hook
               left join lateral (select yanked, reason, changed_by_user_id, changed_by_service_account_id, changed_at
                                  from hook_release_yanks where release_id = w.id order by change desc limit 1) y on y.yanked"#,
            &hooks,
            &ids
        )
        .fetch_all(pool)
        .await
        .map_err(store_error)?;
        for state in states {
            let asked = usize::try_from(state.place - 1).ok().and_then(|n| old.get(n));
            let Some((place, release)) = asked else { continue };
            let mut release = HookRelease::clone(release);
            release.yanked = state.at.map(|at| Yank {
                reason: state.reason.unwrap_or_default(),
                by: actor(state.user_id, state.service_account_id),
                at,
            });
            reads[*place] = Some((release, state.live));
        }
    }
    if !new.is_empty() {
        let (hooks, versions): (Vec<String>, Vec<i32>) = new.iter().map(|(_, key)| (*key).clone()).unzip();
        let rows = releases!(
            "where (r.hook_name, r.version) in (select * from unnest($1::text[], $2::int[]))",
            &hooks,
            &versions
        )
        .fetch_all(pool)
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
