//! The provenance of derived data, written in formats that other tools read.
//!
//! A [`Lineage`] is a plain description of records, the feature rows computed for them, and the hook runs, hook
//! releases, tasks and principals behind those rows. Three writers convert it into documents:
//!
//! - [`prov_json`]: W3C PROV-JSON, for tools that reason about provenance;
//! - [`ro_crate`]: the `ro-crate-metadata.json` of a Process Run Crate 0.5, for archiving beside data;
//! - [`openlineage()`]: `OpenLineage` 2-0-2 run events, for catalogues that collect lineage.
//!
//! Every writer is a pure function that neither fails nor panics on any text. An entity that is referred to and not
//! described is declared with the little that is known of it, so that no document has a dangling id.
//!
//! Nothing here does I/O or reads a clock: the time of the export is part of the lineage.

mod git;
mod graph;
mod name;
mod openlineage;
mod prov;
mod rocrate;
mod text;

pub use domain::data::lineage::{
    Lineage, LineageAgent, LineageDelegation, LineageRecord, LineageRelease, LineageRun, LineageSource,
    LineageTable, LineageTask, RowSet, Subject,
};
pub use openlineage::openlineage;
pub use prov::prov_json;
pub use rocrate::ro_crate;
