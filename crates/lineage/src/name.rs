//! What every entity is called, the same in each document, so that they can be joined.

use domain::data::lineage::RowSet;
use domain::{
    Actor, ConventionSlug, HookName, IngestRunId, NodeDomain, RecordSrn, ReleaseId, ReleaseVersion, RunId,
    SchemaRef, TaskId,
};

use crate::text::part;

/// In which space a name lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    /// What the node's API serves: the name is its address.
    Api,
    /// What has no address of its own; the name is only a name.
    Id,
}

/// The spaces' prefixes, and their place below the base address.
pub(crate) const SPACES: [(&str, &str); 2] = [("api", "/api/v1/"), ("id", "/id/")];

/// The name of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    space: Space,
    local: String,
}

impl Name {
    fn api(local: String) -> Self {
        Self {
            space: Space::Api,
            local,
        }
    }

    fn id(local: String) -> Self {
        Self {
            space: Space::Id,
            local,
        }
    }

    fn prefix(&self) -> (&'static str, &'static str) {
        let [api, id] = SPACES;
        match self.space {
            Space::Api => api,
            Space::Id => id,
        }
    }

    /// As a qualified name.
    pub(crate) fn qualified(&self) -> String {
        format!("{}:{}", self.prefix().0, self.local)
    }

    /// As an IRI below `base`.
    pub(crate) fn iri(&self, base: &str) -> String {
        format!("{base}{}{}", self.prefix().1, self.local)
    }
}

/// `id@version`, with what a path cannot hold escaped.
fn schema(schema: &SchemaRef) -> String {
    format!(
        "{}@{}",
        part(schema.id.as_str()),
        part(&schema.version.to_string())
    )
}

/// A record as a part of a path. A record of another node is named by its SRN, for it is not served here.
fn record_part(srn: &RecordSrn, node: &NodeDomain) -> String {
    if srn.node == *node {
        format!("{}@{}", srn.id, srn.version)
    } else {
        part(&srn.to_string())
    }
}

pub(crate) fn record(srn: &RecordSrn, node: &NodeDomain) -> Name {
    let local = record_part(srn, node);
    if srn.node == *node {
        Name::api(format!("data/records/{local}"))
    } else {
        Name::id(format!("record/{local}"))
    }
}

pub(crate) fn table(of: &SchemaRef, hook: &HookName) -> Name {
    Name::api(format!("data/{}/{hook}", schema(of)))
}

/// The records of a schema.
pub(crate) fn records(of: &SchemaRef) -> Name {
    Name::api(format!("data/{}/records", schema(of)))
}

/// The rows of a table that one run computed for one record: a part of the table, so the table's address and a fragment.
pub(crate) fn row_set(rows: &RowSet, node: &NodeDomain) -> Name {
    Name::api(format!(
        "data/{}/{}#{}/{}",
        schema(&rows.schema),
        rows.hook,
        rows.run,
        record_part(&rows.record, node)
    ))
}

pub(crate) fn run(id: RunId) -> Name {
    Name::api(format!("hooks/runs/{id}"))
}

pub(crate) fn release(hook: &HookName, version: ReleaseVersion) -> Name {
    Name::api(format!("hooks/{hook}/releases/{version}"))
}

/// A release of which only the id is known.
pub(crate) fn bare_release(id: ReleaseId) -> Name {
    Name::id(format!("release/{id}"))
}

/// The release that a run executed, of which nothing is known.
pub(crate) fn release_of_run(id: RunId) -> Name {
    Name::id(format!("release-of-run/{id}"))
}

/// The making of a release.
pub(crate) fn build(hook: &HookName, version: ReleaseVersion) -> Name {
    Name::id(format!("build/{hook}/{version}"))
}

/// The code that a release was built from.
pub(crate) fn code(source_ref: &str) -> Name {
    Name::id(format!("code/{}", part(source_ref)))
}

pub(crate) fn image(digest: &str) -> Name {
    Name::id(format!("image/{}", part(digest)))
}

pub(crate) fn task(id: TaskId) -> Name {
    Name::api(format!("tasks/{id}"))
}

pub(crate) fn delegation(id: &str) -> Name {
    Name::api(format!("delegations/{}", part(id)))
}

pub(crate) fn ingest(run: IngestRunId) -> Name {
    Name::api(format!("ingestions/{run}"))
}

/// What the source of a convention knows by `source_id`.
pub(crate) fn source(convention: &ConventionSlug, source_id: &str) -> Name {
    Name::id(format!("source/{convention}/{}", part(source_id)))
}

pub(crate) fn deposition(srn: &str) -> Name {
    Name::api(format!("depositions/{}", part(srn)))
}

/// The deposition's becoming a record.
pub(crate) fn publication(srn: &RecordSrn, node: &NodeDomain) -> Name {
    Name::id(format!("publication/{}", record_part(srn, node)))
}

pub(crate) fn actor(actor: &Actor) -> Name {
    match actor {
        Actor::User(id) => Name::id(format!("user/{id}")),
        Actor::ServiceAccount(id) => Name::api(format!("admin/service-accounts/{id}")),
        Actor::System => Name::id("system".to_owned()),
    }
}

/// A party to a delegation that is no principal.
pub(crate) fn party(text: &str) -> Name {
    Name::id(format!("party/{}", part(text)))
}

/// The exported document itself.
pub(crate) fn export() -> Name {
    Name::id("export".to_owned())
}

/// The terms under which the data may be used.
pub(crate) fn license() -> Name {
    Name::id("license".to_owned())
}
