//! Records, their withdrawals, table cells, filters, orders, pages, lineage and the activity log.

pub mod activity;
pub mod cell;
pub mod filter;
pub mod lineage;
pub mod page;
pub mod record;
pub mod sort;
pub mod withdrawal;
