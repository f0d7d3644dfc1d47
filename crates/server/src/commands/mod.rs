//! Commands besides the server: they call a running one, make the roles of its database, or create keys and tokens.

mod client;
mod database;
mod keys;
mod registry;
mod token;
mod withdrawals;

use clap::Args;

pub(crate) use client::{SERVER, TOKEN};
pub(crate) use database::{DatabaseRoles, check as check_database};
pub(crate) use keys::GenerateKeys;
pub(crate) use registry::{Hooks, Live, Release, Unyank, Yank};
pub(crate) use token::MintToken;
pub(crate) use withdrawals::{Restore, Withdraw};

/// The server, and the output format. The token comes from the environment: `HALLMARK_TOKEN`, or `OSA_TOKEN`.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Address of the server [default: `$HALLMARK_SERVER`, `$OSA_SERVER`, or port 8000 of this machine].
    #[arg(long)]
    server: Option<String>,
    /// Print the response as the server's JSON.
    #[arg(long)]
    json: bool,
}
