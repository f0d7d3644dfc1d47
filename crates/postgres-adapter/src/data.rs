//! Reads of tables, provenance, lineage and statistics, the activity log, and withdrawals.

pub(crate) mod activity;
pub(crate) mod activity_queries;
pub(crate) mod cells;
mod json_text;
pub(crate) mod lineage;
mod log_epochs;
pub(crate) mod provenance;
pub(crate) mod queries;
pub(crate) mod recall;
pub(crate) mod stats;
mod withdrawals;
