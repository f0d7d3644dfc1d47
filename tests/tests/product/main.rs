//! The product, tested from outside: the built binary, over HTTP, on a real PostgreSQL. One program, so that it is linked once.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers; a panic is their verdict"
)]

mod accounts;
mod activity;
mod bad_input;
mod commands;
mod crash;
mod delegations;
mod delegations_lost;
mod delegations_nested;
mod depositions;
mod depositions_curation;
mod exactness;
mod exports;
mod faults;
mod forged_tokens;
mod gates;
mod ledger_storm;
mod main_job;
mod manners;
mod many;
mod pull_storm;
mod pulls;
mod quakes;
mod reading;
mod reading_streams;
mod recall;
mod registry;
mod serve;
mod sign_in;
mod sign_in_devices;
mod site;
mod storm;
mod tasks;
