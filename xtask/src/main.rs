//! Chores of the workspace: `cargo xtask demo`, `cargo xtask ci` and their parts.

mod bench;
mod cargo_tools;
mod ci;
mod client;
mod clients;
mod demo;
mod dependencies;
mod engine;
mod exports;
mod fuzz;
mod layers;
mod migrations;
mod openapi;
mod packages;
mod shell;
mod sqlx;
mod tests;
mod tidy;
mod tools;
mod tree;

use clap::{Parser, Subcommand};

/// Chores of the Hallmark workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the main job: deploy the penguins, push their records, trace a row.
    Demo {
        /// Leave the server up and print its URLs.
        #[arg(long)]
        keep: bool,
    },
    /// Run every check that CI runs, or one part of them.
    Ci {
        /// One part; all of them, if none is named.
        part: Option<ci::Part>,
    },
    /// Run the tests, with the database and the container engine that they need started for them.
    Test {
        /// Only tests whose names contain one of these, such as `pulls::`.
        filters: Vec<String>,
        /// Only those of this crate; the black-box tests are `blackbox`.
        #[arg(long)]
        package: Option<String>,
        /// `never`: hooks run without bubblewrap where it is installed.
        #[arg(long)]
        sandbox: Option<String>,
    },
    /// Check that no crate or context crosses its layer, and that no files name each other in a circle.
    Layers,
    /// Check the texts: words, references to requirements, contracts and files.
    Tidy,
    /// Check licences, sources and bans of dependencies, and that none is unused; or the advisories about them.
    Dependencies {
        /// Look at the advisories instead, with their database from GitHub.
        #[arg(long)]
        advisories: bool,
    },
    /// Write docs/api/openapi.json; with --check, only say whether it is up to date.
    Openapi {
        /// Change nothing.
        #[arg(long)]
        check: bool,
    },
    /// Generate clients from docs/api/openapi.json in TypeScript, Python and Rust, and use each on a server.
    Clients,
    /// Export provenance of the example in every form, and ask other people's validators about it.
    Exports,
    /// Send generated requests to every operation, and hold the answers against the OpenAPI document.
    Fuzz {
        /// As CI does it: the same requests each time, and no more than take a minute or so.
        #[arg(long)]
        short: bool,
    },
    /// Lint the migrations, and check them on a throwaway database; or one part of it.
    #[command(args_conflicts_with_subcommands = true)]
    Migrations {
        #[command(subcommand)]
        part: Option<migrations::Part>,
        /// Write migrations/schema.sql and migrations/HISTORY anew.
        #[arg(long)]
        write: bool,
    },
    /// Check the SQL of the code against the migrations (`cargo sqlx prepare`); with --write, write .sqlx.
    Sqlx {
        /// Write .sqlx.
        #[arg(long)]
        write: bool,
    },
    /// Measure, in ratios against something run beside it.
    Bench {
        /// One part; all of them, if none is named.
        part: Option<bench::Part>,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Demo { keep } => demo::run(keep),
        Command::Ci { part } => ci::run(part),
        Command::Test {
            filters,
            package,
            sandbox,
        } => tests::run(&filters, sandbox.as_deref(), package.as_deref()),
        Command::Layers => layers::check(),
        Command::Tidy => tidy::check(),
        Command::Dependencies { advisories: true } => dependencies::advisories(),
        Command::Dependencies { advisories: false } => dependencies::check(),
        Command::Openapi { check } => openapi::run(check),
        Command::Clients => clients::run(),
        Command::Exports => exports::run(),
        Command::Fuzz { short } => fuzz::run(short),
        Command::Migrations { part, write } => migrations::run(part.as_ref(), write),
        Command::Sqlx { write } => sqlx::prepare(write),
        Command::Bench { part } => bench::run(part),
    }
}
