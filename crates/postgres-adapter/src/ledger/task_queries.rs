//! Reads of tasks. Every list searches a bounded number of rows of one index, so a page may be short and still have a
//! next one.

use async_trait::async_trait;
use domain::{Actor, TaskId};
use ports::ledger::{BoundedPage, TaskFilter, TaskGrant, TaskView};
use ports::{StoreError, TaskQueries};
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ledger::tasks::ids;
use crate::store::error::store_error;
use crate::store::rows::{actor, parsed};
use crate::store::tx::PgStore;

const TABLE: &str = "tasks";
/// The maximum number of tasks that one read searches, if a filter matches only some of them.
const MAX_LOOKED_AT: i64 = 2000;
/// The maximum number of grants that are read of a task.
const MAX_GRANTS: i64 = 1000;

struct Row {
    id: Uuid,
    kind: String,
    name: String,
    params: Value,
    status: String,
    status_detail: Option<String>,
    creator_user_id: Option<Uuid>,
    creator_service_account_id: Option<Uuid>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Row {
    fn view(self) -> Result<TaskView, StoreError> {
        Ok(TaskView {
            id: TaskId::from_uuid(self.id),
            kind: parsed(TABLE, &self.kind)?,
            name: self.name,
            params: self.params,
            status: parsed(TABLE, &self.status)?,
            status_detail: self.status_detail,
            creator: actor(self.creator_user_id, self.creator_service_account_id),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// A task that was searched. Its content is present only if it matches the filter.
struct Looked {
    id: Uuid,
    created_at: OffsetDateTime,
    fits: bool,
}

/// The request for a list, as its statement's arguments.
struct TableRequest<'a> {
    cursor: (Option<OffsetDateTime>, Option<Uuid>),
    kind: Option<&'a str>,
    status: Option<&'a str>,
    /// The creator or the viewer, which selects the index.
    by: (Option<Uuid>, Option<Uuid>),
    /// The viewer; none if all tasks are visible.
    viewer: (Option<Uuid>, Option<Uuid>),
    all: bool,
    /// The required creator.
    creator: (Option<Uuid>, Option<Uuid>),
    looked_at: i64,
}

/// `query_as!` of the searched tasks: where they come from. $1 and $2 are the cursor, $3 the number, $4 and $5 kind
/// and status, $6 and $7 the creator or viewer of the index, $8 and $9 the viewer, $10 whether all are visible, $11
/// and $12 the creator.
macro_rules! looked_at {
    ($from:tt, $asked:expr, $pool:expr) => {
        sqlx::query_as!(
            Looked,
            r#"select s.id as "id!", s.created_at as "created_at!",
                 coalesce(($4::text is null or t.kind = $4) and ($5::text is null or t.status = $5)
                 and ($11::uuid is null or t.creator_user_id = $11) and ($12::uuid is null or t.creator_service_account_id = $12)
                 and ($10 or t.creator_user_id = $8 or t.creator_service_account_id = $9
                   or exists (select from task_grants g where g.task_id = t.id and (g.grantee_user_id = $8 or g.grantee_service_account_id = $9))), false) as "fits!"
               from (select * from ("# + $from + r#") arms order by created_at desc, id desc limit $3) s join tasks t on t.id = s.id
               order by s.created_at desc, s.id desc"#,
            $asked.cursor.0 as Option<OffsetDateTime>,
            $asked.cursor.1 as Option<Uuid>,
            $asked.looked_at,
            $asked.kind as Option<&str>,
            $asked.status as Option<&str>,
            $asked.by.0 as Option<Uuid>,
            $asked.by.1 as Option<Uuid>,
            $asked.viewer.0 as Option<Uuid>,
            $asked.viewer.1 as Option<Uuid>,
            $asked.all,
            $asked.creator.0 as Option<Uuid>,
            $asked.creator.1 as Option<Uuid>
        )
        .fetch_all($pool)
        .await
        .map_err(store_error)
    };
}

/// Searches all tasks.
async fn of_all(asked: &TableRequest<'_>, pool: &PgPool) -> Result<Vec<Looked>, StoreError> {
    looked_at!(
        "select id, created_at from tasks where ($1::timestamptz is null or (created_at, id) < ($1, $2::uuid)) and $6::uuid is null and $7::uuid is null
         order by created_at desc, id desc limit $3",
        asked,
        pool
    )
}

/// Searches the tasks of one creator.
async fn of_creator(asked: &TableRequest<'_>, pool: &PgPool) -> Result<Vec<Looked>, StoreError> {
    looked_at!(
        "(select id, created_at from tasks where creator_user_id = $6::uuid and ($1::timestamptz is null or (created_at, id) < ($1, $2::uuid))
          order by created_at desc, id desc limit $3)
         union all
         (select id, created_at from tasks where creator_service_account_id = $7::uuid and ($1::timestamptz is null or (created_at, id) < ($1, $2::uuid))
          order by created_at desc, id desc limit $3)",
        asked,
        pool
    )
}

/// Searches the tasks that one viewer may see, as creator or by a grant.
async fn visible_to(asked: &TableRequest<'_>, pool: &PgPool) -> Result<Vec<Looked>, StoreError> {
    looked_at!(
        "(select id, created_at from tasks where creator_user_id = $6::uuid and ($1::timestamptz is null or (created_at, id) < ($1, $2::uuid))
          order by created_at desc, id desc limit $3)
         union
         (select id, created_at from tasks where creator_service_account_id = $7::uuid and ($1::timestamptz is null or (created_at, id) < ($1, $2::uuid))
          order by created_at desc, id desc limit $3)
         union
         (select task_id, task_created_at from task_grants where grantee_user_id = $6 and ($1::timestamptz is null or (task_created_at, task_id) < ($1, $2))
          order by task_created_at desc, task_id desc limit $3)
         union
         (select task_id, task_created_at from task_grants where grantee_service_account_id = $7 and ($1::timestamptz is null or (task_created_at, task_id) < ($1, $2))
          order by task_created_at desc, task_id desc limit $3)",
        asked,
        pool
    )
}

#[async_trait]
impl TaskQueries for PgStore {
    #[tracing::instrument(name = "db.task_queries.task", skip_all, fields(task = %id))]
    async fn task(&self, id: TaskId, who: &Actor) -> Result<Option<(TaskView, Option<bool>)>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            "select id, kind, name, params, status, status_detail, creator_user_id, creator_service_account_id, created_at, updated_at
             from tasks where id = $1",
            id.as_uuid()
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        let Some(row) = row else { return Ok(None) };
        let (user, account) = ids(who);
        let grant = sqlx::query_scalar!(
            "select can_operate from task_grants where task_id = $1 and (grantee_user_id = $2 or grantee_service_account_id = $3)",
            id.as_uuid(),
            user,
            account
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(Some((row.view()?, grant)))
    }

    #[tracing::instrument(name = "db.task_queries.tasks", skip_all)]
    async fn tasks(
        &self,
        filter: &TaskFilter,
        most: u32,
    ) -> Result<BoundedPage<TaskView, (OffsetDateTime, TaskId)>, StoreError> {
        let most = most as usize;
        let viewer = filter.visible_to.as_ref().map_or((None, None), ids);
        let creator = filter.creator.as_ref().map_or((None, None), ids);
        // Only rows that the viewer may see are searched, so that not even the position where a read ended reveals
        // anything else.
        let of_others = filter.visible_to.is_some() && filter.visible_to != filter.creator;
        let by = if of_others || filter.creator.is_none() {
            viewer
        } else {
            creator
        };
        let is_filtered = filter.kind.is_some() || filter.status.is_some() || filter.creator.is_some();
        let asked = TableRequest {
            cursor: (
                filter.after.map(|(at, _)| at),
                filter.after.map(|(_, id)| id.as_uuid()),
            ),
            kind: filter.kind.as_ref().map(domain::TaskKind::as_str),
            status: filter.status.map(domain::TaskStatus::as_str),
            by,
            viewer,
            all: filter.visible_to.is_none(),
            creator,
            // One more than the page shows whether there is a next one.
            looked_at: if is_filtered {
                MAX_LOOKED_AT
            } else {
                i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1)
            },
        };
        let looked = if of_others {
            visible_to(&asked, &self.pool).await?
        } else if filter.creator.is_some() {
            of_creator(&asked, &self.pool).await?
        } else {
            of_all(&asked, &self.pool).await?
        };
        let fitting: Vec<&Looked> = looked.iter().filter(|one| one.fits).take(most).collect();
        let place = |one: &Looked| (one.created_at, TaskId::from_uuid(one.id));
        let is_full = looked.len() >= usize::try_from(asked.looked_at).unwrap_or(usize::MAX);
        let more_fit = looked.iter().filter(|one| one.fits).count() > most;
        let next = if more_fit {
            fitting.last().map(|one| place(one))
        } else if is_full {
            looked.last().map(place)
        } else {
            None
        };
        let wanted: Vec<Uuid> = fitting.iter().map(|one| one.id).collect();
        let rows = sqlx::query_as!(
            Row,
            "select id, kind, name, params, status, status_detail, creator_user_id, creator_service_account_id, created_at, updated_at
             from tasks where id = any($1) order by created_at desc, id desc",
            &wanted
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(BoundedPage {
            items: rows.into_iter().map(Row::view).collect::<Result<_, _>>()?,
            next,
        })
    }

    #[tracing::instrument(name = "db.task_queries.grants", skip_all, fields(task = %id))]
    async fn grants(&self, id: TaskId) -> Result<Vec<TaskGrant>, StoreError> {
        let rows = sqlx::query!(
            "select grantee_user_id, grantee_service_account_id, can_operate, granted_by_user_id, granted_by_service_account_id, granted_at
             from task_grants where task_id = $1 order by granted_at limit $2",
            id.as_uuid(),
            MAX_GRANTS
        )
        .fetch_all(&self.pool)
        .await
        .map_err(store_error)?;
        Ok(rows
            .into_iter()
            .map(|row| TaskGrant {
                grantee: actor(row.grantee_user_id, row.grantee_service_account_id),
                can_operate: row.can_operate,
                granted_by: actor(row.granted_by_user_id, row.granted_by_service_account_id),
                granted_at: row.granted_at,
            })
            .collect())
    }
}
