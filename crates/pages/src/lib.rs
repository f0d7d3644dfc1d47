//! Hallmark's texts for readers: HTML pages for people, markdown for agents.
//!
//! Plain structs in, text out: nothing here does I/O, reads a clock or queries a database. The caller has gathered
//! what a reader may see. The pages need no script and keep to the content security policy
//! [`CONTENT_SECURITY_POLICY`]; their stylesheet is [`STYLESHEET`], served as [`paths::STYLE`].
//!
//! ```
//! let page = pages::error_page(&pages::ErrorPage {
//!     base: "https://archive.example.org".parse().unwrap(),
//!     status: 404,
//!     title: "No such record".to_owned(),
//!     detail: "There is no record <x>.".to_owned(),
//! });
//! assert!(page.contains("There is no record &lt;x&gt;."));
//! ```

mod base;
mod documents;
mod error;
mod front;
mod graph;
mod markdown;
mod model;
mod parts;
pub mod paths;
mod picture;
mod provenance;
mod record;
mod schema_doc;
mod skill;
mod table;
mod text;
mod trace;

pub use base::{BaseUrl, NotABaseUrl};
pub use documents::{
    Sample, SchemaDoc, SchemaExample, SchemaFeature, Skill, SkillConvention, SkillDataset, SkillFeature,
};
pub use error::error_page;
pub use front::front_page;
pub use model::{
    Column, ConventionEntry, Count, ErrorPage, FieldValue, FrontPage, HookEntry, LiveRelease, Node,
    RecordFeature, RecordPage, RowOf, SchemaEntry, Source, TableEntry, TableKind, TablePage, TableRow,
    Totals, Who,
};
pub use parts::{CONTENT_SECURITY_POLICY, HTML, MARKDOWN, STYLESHEET};
pub use provenance::{
    TracePage, TracedDelegation, TracedLocation, TracedRecord, TracedRelease, TracedRow, TracedRun,
    TracedTask, Yanked,
};
pub use record::record_page;
pub use schema_doc::schema_md;
pub use skill::skill_md;
pub use table::table_page;
pub use trace::trace_page;

#[cfg(test)]
extern crate self as pages;
#[cfg(test)]
mod graph_tests;
#[cfg(test)]
#[path = "../samples/mod.rs"]
#[expect(dead_code, reason = "the layout's tests want the traces only")]
mod samples;
