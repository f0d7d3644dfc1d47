//! `hallmark`: the server and its commands.

mod commands;
mod config;
mod database;
mod home;
mod runners;
mod serve;
mod source;
mod telemetry;
mod wiring;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::source::{OSA_CONFIG_FILE, Source};

/// Requests are made of many small allocations.
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
    /// Run the API and workers.
    Serve(ServeArguments),
    /// Bring the database up to date, and end.
    Migrate(ConfigArguments),
    /// Print the OpenAPI document.
    Openapi,
    /// Keys of an issuer of machine credentials.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List hooks, or the releases of one.
    Hooks(commands::Hooks),
    /// Release a hook; new content is live at once.
    Release(commands::Release),
    /// Show which release is live, or make one live.
    Live(commands::Live),
    /// Withdraw a release: it stays readable and cannot be made live.
    Yank(commands::Yank),
    /// Take the withdrawal of a release back.
    Unyank(commands::Unyank),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make an Ed25519 key pair: private.pem, public.pem and jwks.json.
    Generate(commands::GenerateKeys),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print a token: of the local administrator, or with --key of a service account. In dev mode only.
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
    /// Where to listen, such as 127.0.0.1:8000; port 0 takes a free one.
    #[arg(long)]
    listen: Option<String>,
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// A configuration file (TOML).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where the server keeps its files, and its database if none is given.
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
    // The process runner starts this program again as the keeper of each hook.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "supervise-hook")
    {
        return runner_process::supervise(std::env::args_os().skip(2));
    }
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hallmark: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not start")?;
    match cli.command {
        Command::Serve(arguments) => {
            let config = arguments.config.read(arguments.listen.as_deref())?;
            telemetry::start(&config.log)?;
            runtime.block_on(serve::serve(config))
        }
        Command::Migrate(arguments) => {
            let config = arguments.read(None)?;
            telemetry::start(&config.log)?;
            runtime.block_on(serve::migrate(config))
        }
        Command::Keys(KeysCommand::Generate(keys)) => keys.run(),
        Command::Token(TokenCommand::Mint { config, token }) => token.run(&config.read(None)?),
        Command::Hooks(hooks) => hooks.run(),
        Command::Release(release) => release.run(),
        Command::Live(live) => live.run(),
        Command::Yank(yank) => yank.run(),
        Command::Unyank(unyank) => unyank.run(),
        Command::Openapi => {
            let document = runtime.block_on(async { wiring::openapi_document() })?;
            print!("{document}");
            Ok(())
        }
    }
}
