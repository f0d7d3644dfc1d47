//! The product, tested from outside: the built binary, over HTTP, on a real PostgreSQL. One program, so that it is linked once.
#![expect(
    clippy::unwrap_used,
    reason = "tests and their helpers; a panic is their verdict"
)]

mod accounts;
mod activity;
mod activity_restored;
mod background_loops;
mod bad_input;
mod below_a_path;
mod bodies;
mod broken_output;
mod callees;
mod callers;
mod commands;
mod crash;
mod databases;
mod delegations;
mod delegations_lost;
mod delegations_nested;
mod depositions;
mod depositions_curation;
mod exactness;
mod exports;
mod fairness;
mod faults;
mod forged_tokens;
mod full_disk;
mod gates;
mod hook_faults;
mod isolation;
mod ledger_storm;
mod main_job;
mod many;
mod middleware;
mod outputs;
mod power_cut;
mod pull_storm;
mod pulls;
mod quakes;
mod reading;
mod reading_streams;
mod recall;
mod refusals;
mod registry;
mod release_locations;
mod serve;
mod short_breaks;
mod sign_in;
mod sign_in_devices;
mod site;
mod storm;
mod tasks;
mod two_roles;
mod two_roles_trace;
mod unread_bodies;
mod wire;
mod withdrawals;
mod withdrawals_of_runs;
mod without_postgres;
