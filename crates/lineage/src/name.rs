//! The names of entities, the same in each document, so that documents can be joined.

use domain::data::lineage::RowSet;
use domain::{
    Actor, ConventionSlug, HookName, IngestRunId, NodeDomain, RecordSrn, ReleaseId, ReleaseVersion, RunId,
    SchemaRef, TaskId,
};

use crate::text::part;

/// The space of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    /// Entities that the node's API serves: the name is the address.
    Api,
    /// Entities without an address of their own; the name is only a name.
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

    /// Returns it as a qualified name.
    pub(crate) fn qualified(&self) -> String {
        format!("{}:{}", self.prefix().0, self.local)
    }

    /// Returns it as an IRI below `base`.
    pub(crate) fn iri(&self, base: &str) -> String {
        format!("{base}{}{}", self.prefix().1, self.local)
    }
}

/// Returns `id@version`, escaped for a path.
fn schema(schema: &SchemaRef) -> String {
    format!(
        "{}@{}",
        part(schema.id.as_str()),
        part(&schema.version.to_string())
    )
}

/// Returns a record as a part of a path. A record of another node is named by its SRN, because this node does not
/// serve it.
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

/// Names the records of a schema.
pub(crate) fn records(of: &SchemaRef) -> Name {
    Name::api(format!("data/{}/records", schema(of)))
}

/// Names the rows of a table that one run computed for one record: a part of the table, so the table's address and a
/// fragment.
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

/// Names a release of which only the id is known.
pub(crate) fn bare_release(id: ReleaseId) -> Name {
    Name::id(format!("release/{id}"))
}

/// Names the release that an unknown run executed.
pub(crate) fn release_of_run(id: RunId) -> Name {
    Name::id(format!("release-of-run/{id}"))
}

/// Names the build of a release.
pub(crate) fn build(hook: &HookName, version: ReleaseVersion) -> Name {
    Name::id(format!("build/{hook}/{version}"))
}

/// Names the code that a release was built from.
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

/// Names the entity with this `source_id` at the source of a convention.
pub(crate) fn source(convention: &ConventionSlug, source_id: &str) -> Name {
    Name::id(format!("source/{convention}/{}", part(source_id)))
}

pub(crate) fn deposition(srn: &str) -> Name {
    Name::api(format!("depositions/{}", part(srn)))
}

/// Names the publication of a deposition as a record.
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

/// Names a party to a delegation that is not a principal.
pub(crate) fn party(text: &str) -> Name {
    Name::id(format!("party/{}", part(text)))
}

/// Names the exported document itself.
pub(crate) fn export() -> Name {
    Name::id("export".to_owned())
}

/// Names the terms under which the data may be used.
pub(crate) fn license() -> Name {
    Name::id("license".to_owned())
}
