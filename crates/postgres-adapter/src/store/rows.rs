//! From stored values to domain types: a value that cannot be decoded is reported with its table.

use std::str::FromStr;

use domain::registry::hook::{HookRelease, ImageLocation, Locations, NewRelease, ReleaseContent, Yank};
use domain::{Actor, Limits, ReleaseId, ReleaseVersion, ServiceAccountId, UserId};
use ports::StoreError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

/// Parses a stored text.
pub(crate) fn parsed<T>(table: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e: T::Err| StoreError::corrupt(table, e))
}

/// Decodes a stored document.
pub(crate) fn document<T: DeserializeOwned>(table: &'static str, value: Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|e| StoreError::corrupt(table, e))
}

/// Returns a stored object.
pub(crate) fn object(table: &'static str, value: Value) -> Result<Map<String, Value>, StoreError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(StoreError::corrupt(table, "not an object")),
    }
}

/// Converts a number that cannot be negative.
pub(crate) fn count(table: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|e| StoreError::corrupt(table, e))
}

/// Converts a small number that cannot be negative.
pub(crate) fn small(table: &'static str, number: impl Into<i64>) -> Result<u32, StoreError> {
    u32::try_from(number.into()).map_err(|e| StoreError::corrupt(table, e))
}

/// Converts a SHA-256.
pub(crate) fn hash(table: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|e: std::array::TryFromSliceError| StoreError::corrupt(table, e))
}

/// Converts a version number.
pub(crate) fn release_version(number: i32) -> Result<ReleaseVersion, StoreError> {
    u32::try_from(number)
        .ok()
        .and_then(ReleaseVersion::new)
        .ok_or_else(|| StoreError::corrupt("hook_releases", "version below 1"))
}

/// Converts a count to PostgreSQL's type, whose range no count reaches.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn actor(user: Option<Uuid>, service_account: Option<Uuid>) -> Actor {
    Actor::from_ids(
        user.map(UserId::from_uuid),
        service_account.map(ServiceAccountId::from_uuid),
    )
}

/// `query_as!` of releases: what follows `FROM hook_releases r`, and its arguments. Every read of a release goes
/// through here, so that none can omit a yank, or use a location of before.
macro_rules! releases {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::store::rows::ReleaseRow,
            r#"select r.id, r.hook_name, r.version, r.image, r.digest, r.config, r.limits, r.source_ref,
                 r.built_by_user_id, r.built_by_service_account_id, r.built_at,
                 y.reason as "yank_reason?", y.changed_by_user_id as "yanked_by_user_id?",
                 y.changed_by_service_account_id as "yanked_by_service_account_id?", y.changed_at as "yanked_at?",
                 (select jsonb_agg(jsonb_build_object('image', l.image, 'user', l.registered_by_user_id,
                                                      'service_account', l.registered_by_service_account_id, 'at', l.registered_at) order by l.position)
                  from hook_release_locations l where l.release_id = r.id) as "later_locations?",
                 exists (select 1 from hooks where name = r.hook_name and live_release_id = r.id) as "live!"
               from hook_releases r
               left join lateral (select yanked, reason, changed_by_user_id, changed_by_service_account_id, changed_at
                                  from hook_release_yanks where release_id = r.id order by change desc limit 1) y on y.yanked "#
                + $tail
            $(, $argument)*
        )
    };
}
pub(crate) use releases;

/// An element of `later_locations`.
#[derive(serde::Deserialize)]
struct LaterLocation {
    image: String,
    user: Option<Uuid>,
    service_account: Option<Uuid>,
    at: String,
}

impl LaterLocation {
    fn location(self) -> Result<ImageLocation, StoreError> {
        let at = OffsetDateTime::parse(&self.at, &Rfc3339)
            .map_err(|e| StoreError::corrupt("hook_release_locations", e))?;
        Ok(ImageLocation {
            image: self.image,
            by: actor(self.user, self.service_account),
            at: at.to_offset(UtcOffset::UTC),
        })
    }
}

/// A row of `hook_releases`, with its locations and its yank.
pub(crate) struct ReleaseRow {
    pub(crate) id: Uuid,
    pub(crate) hook_name: String,
    pub(crate) version: i32,
    /// The first location of its image.
    pub(crate) image: String,
    pub(crate) digest: String,
    pub(crate) config: Value,
    pub(crate) limits: Value,
    pub(crate) source_ref: String,
    pub(crate) built_by_user_id: Option<Uuid>,
    pub(crate) built_by_service_account_id: Option<Uuid>,
    pub(crate) built_at: OffsetDateTime,
    pub(crate) yank_reason: Option<String>,
    pub(crate) yanked_by_user_id: Option<Uuid>,
    pub(crate) yanked_by_service_account_id: Option<Uuid>,
    pub(crate) yanked_at: Option<OffsetDateTime>,
    /// The locations after the first, in order; `None` if there is none.
    pub(crate) later_locations: Option<Value>,
    /// Whether it is live, in the snapshot of the read.
    pub(crate) live: bool,
}

impl ReleaseRow {
    pub(crate) fn release(self) -> Result<HookRelease, StoreError> {
        const TABLE: &str = "hook_releases";
        let built_by = actor(self.built_by_user_id, self.built_by_service_account_id);
        let mut locations = Locations::new(ImageLocation {
            image: self.image,
            by: built_by.clone(),
            at: self.built_at,
        });
        if let Some(later) = self.later_locations {
            for location in document::<Vec<LaterLocation>>("hook_release_locations", later)? {
                locations.push(location.location()?);
            }
        }
        Ok(HookRelease {
            id: ReleaseId::from_uuid(self.id),
            hook: parsed(TABLE, &self.hook_name)?,
            version: release_version(self.version)?,
            release: NewRelease {
                image: locations.in_use().image.clone(),
                content: ReleaseContent {
                    digest: parsed(TABLE, &self.digest)?,
                    config: object(TABLE, self.config)?,
                    limits: document::<Limits>(TABLE, self.limits)?,
                },
                source_ref: self.source_ref,
            },
            locations,
            built_by,
            built_at: self.built_at,
            yanked: self.yanked_at.map(|at| Yank {
                reason: self.yank_reason.unwrap_or_default(),
                by: actor(self.yanked_by_user_id, self.yanked_by_service_account_id),
                at,
            }),
        })
    }
}

/// Encodes a document for a `jsonb` column.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|e| StoreError::Internal(e.into()))
}
