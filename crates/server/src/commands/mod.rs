//! Commands that are no server: they talk to a running one, or make keys and tokens.

mod client;
mod keys;
mod registry;
mod token;

use clap::Args;

pub(crate) use client::{SERVER, TOKEN};
pub(crate) use keys::GenerateKeys;
pub(crate) use registry::{Hooks, Live, Release, Unyank, Yank};
pub(crate) use token::MintToken;

/// Which server, and how the answer is printed. The token comes from the environment: `HALLMARK_TOKEN`, or `OSA_TOKEN`.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// The server's address [default: `$HALLMARK_SERVER`, `$OSA_SERVER`, or port 8000 of this machine].
    #[arg(long)]
    server: Option<String>,
    /// Print the answer as JSON, as the server gave it.
    #[arg(long)]
    json: bool,
}
