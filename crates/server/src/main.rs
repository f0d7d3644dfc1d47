//! `hallmark`: the server and its commands.

mod commands;
mod config;
mod database;
mod descriptors;
mod home;
mod output;
mod runners;
mod serve;
mod source;
mod streams;
mod telemetry;
mod wiring;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::source::{OSA_CONFIG_FILE, Source};
use crate::streams::StreamThreads;

/// Requests make many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An archive server for derived scientific data.
#[derive(Debug, Parser)]
#[command(name = "hallmark", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API and the workers.
    Serve(ServeArguments),
    /// Migrate the database and exit.
    Migrate(ConfigArguments),
    /// Manage the roles of the database that is configured.
    #[command(subcommand)]
    Database(DatabaseCommand),
    /// Print the OpenAPI document.
    Openapi,
    /// Manage keys of an issuer of machine credentials.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Manage tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List hooks, or the releases of one hook.
    Hooks(commands::Hooks),
    /// Release a hook. New content becomes live at once.
    Release(commands::Release),
    /// Show the live release, or make a release live.
    Live(commands::Live),
    /// Yank a release. It stays readable but cannot become live.
    Yank(commands::Yank),
    /// Unyank a release.
    Unyank(commands::Unyank),
    /// Withdraw a published record, or the records of an ingest run.
    Withdraw(commands::Withdraw),
    /// Restore a withdrawn record, or the records of an ingest run.
    Restore(commands::Restore),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create an Ed25519 key pair: private.pem, public.pem and jwks.json.
    Generate(commands::GenerateKeys),
}

#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Print the SQL that makes a database role for the server, which owns nothing; with --apply, run it.
    Roles {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        roles: commands::DatabaseRoles,
    },
    /// Print what the role of the server could do beyond what it needs. Fails if that is anything.
    Check(ConfigArguments),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Mint a token for the local administrator, or with --key for a service account. In dev mode only.
    Mint {
        #[command(flatten)]
        config: ConfigArguments,
        #[command(flatten)]
        token: commands::MintToken,
    },
}

#[derive(Debug, Args)]
struct ServeArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Address to listen on, such as 127.0.0.1:8000; port 0 selects a free port.
    #[arg(long)]
    listen: Option<String>,
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// Configuration file (TOML).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Directory of the server's files, and of its database if none is configured.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

impl ConfigArguments {
    fn read(&self, listen: Option<&str>) -> anyhow::Result<Config> {
        let mut source = Source::new();
        if let Some(file) = &self.config {
            source.read_file(file)?;
        }
        if let Some(file) = std::env::var_os(OSA_CONFIG_FILE).filter(|file| !file.is_empty()) {
            source.read_osa_file(Path::new(&file))?;
        }
        source.read_environment(std::env::vars_os());
        if let Some(directory) = &self.data_dir {
            source.set("data_dir", &directory.to_string_lossy(), "--data-dir");
        }
        if let Some(listen) = listen {
            source.set("listen", listen, "--listen");
        }
        Ok(Config::read(source)?)
    }
}

fn main() -> ExitCode {
    // The process runner starts this program again as the supervisor of each hook.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "supervise-hook")
    {
        return runner_process::supervise(std::env::args_os().skip(2));
    }
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::ReaderLeft>() => ExitCode::SUCCESS,
        Err(error) => {
            output::STDERR.put(&format!("hallmark: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match cli.command {
        Command::Serve(arguments) => {
            let config = arguments.config.read(arguments.listen.as_deref())?;
            telemetry::start(&config.log)?;
            let streams = StreamThreads::start()?;
            runtime.block_on(serve::serve(config, streams.handle()))
        }
        Command::Migrate(arguments) => {
            let config = arguments.read(None)?;
            telemetry::start(&config.log)?;
            runtime.block_on(serve::migrate(config))
        }
        Command::Database(DatabaseCommand::Roles { config, roles }) => {
            let config = config.read(None)?;
            telemetry::start(&config.log)?;
            runtime.block_on(roles.run(&config))
        }
        Command::Database(DatabaseCommand::Check(arguments)) => {
            runtime.block_on(commands::check_database(&arguments.read(None)?))
        }
        Command::Keys(KeysCommand::Generate(keys)) => keys.run(),
        Command::Token(TokenCommand::Mint { config, token }) => token.run(&config.read(None)?),
        Command::Hooks(hooks) => hooks.run(),
        Command::Release(release) => release.run(),
        Command::Live(live) => live.run(),
        Command::Yank(yank) => yank.run(),
        Command::Unyank(unyank) => unyank.run(),
        Command::Withdraw(withdraw) => withdraw.run(),
        Command::Restore(restore) => restore.run(),
        Command::Openapi => {
            let document = runtime.block_on(async { wiring::openapi_document() })?;
            output::print(&document)
        }
    }
}
