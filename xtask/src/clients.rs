//! `cargo xtask clients`: the OpenAPI document is what generators need, shown by three clients that are made of it and used.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::client::{Server, dev_token};
use crate::shell::{cargo, root, run as run_command, target};
use crate::{demo, openapi, tools};

/// A running server, as the clients' tests know it.
struct Running {
    url: String,
    token: String,
}

impl Running {
    fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("HALLMARK_URL", &self.url)
            .env("HALLMARK_TOKEN", &self.token)
            // It is on this machine.
            .env("NO_PROXY", "127.0.0.1")
    }
}

/// Generates, compiles and tries each client.
pub(crate) fn run() -> Result<()> {
    openapi::run(true)?;
    demo::build()?;
    let home = demo::home()?;
    let log = home.path().join("hallmark.log");
    let server = Server::start(&target().join("debug/hallmark"), &home.path().join("data"), &log)?;
    let running = Running {
        url: server.url.clone(),
        token: dev_token()?,
    };
    typescript(&running)
        .context("the TypeScript client")
        .and_then(|()| python(&running).context("the Python client"))
        .and_then(|()| rust(&running).context("the Rust client"))
        .inspect_err(|_| demo::show_end(&log))?;
    server.stop()
}

fn document() -> std::path::PathBuf {
    root().join("docs/api/openapi.json")
}

/// openapi-typescript and openapi-fetch; `tsc` is strict.
fn typescript(running: &Running) -> Result<()> {
    let source = root().join("clients/typescript");
    let Some(place) = tools::node("typescript", &source)? else {
        return tools::left_out("Node.js", "the TypeScript client");
    };
    for file in ["tsconfig.json", "client.test.ts"] {
        std::fs::copy(source.join(file), place.join(file))?;
    }
    let tool = |name: &str| {
        let mut command = Command::new(place.join("node_modules/.bin").join(name));
        command.current_dir(&place);
        command
    };
    run_command(tool("openapi-typescript").arg(document()).args([
        "--output",
        "api.d.ts",
        "--default-non-nullable=false",
    ]))?;
    run_command(&mut tool("tsc"))?;
    run_command(running.tell(Command::new("node").current_dir(&place).args(["--test", "out/"])))?;
    println!("clients: TypeScript passed");
    Ok(())
}

/// openapi-python-client and mypy; openapi-spec-validator is Python, too.
fn python(running: &Running) -> Result<()> {
    let source = root().join("clients/python");
    let Some(bin) = tools::python("python-client", &source.join("requirements.txt"))? else {
        return tools::left_out(
            "Python",
            "the Python client and the validation of the OpenAPI document",
        );
    };
    run_command(Command::new(bin.join("openapi-spec-validator")).arg(document()))?;
    let work = target().join("clients/python");
    std::fs::create_dir_all(&work)?;
    let package = work.join("hallmark_client");
    // It formats what it makes with ruff, which it looks for on the path.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin.clone()).chain(std::env::split_paths(&path)))?;
    run_command(
        Command::new(bin.join("openapi-python-client"))
            .env("PATH", path)
            .args(["generate", "--meta", "none", "--overwrite", "--path"])
            .arg(document())
            .arg("--config")
            .arg(source.join("config.yml"))
            .arg("--output-path")
            .arg(&package),
    )?;
    every_operation(&package)?;
    run_command(
        Command::new(bin.join("mypy"))
            .current_dir(&work)
            .env("MYPYPATH", std::env::join_paths([&work, &source])?)
            .arg("--config-file")
            .arg(source.join("mypy.ini"))
            .arg("--cache-dir")
            .arg(work.join("mypy-cache"))
            .args(["--package", "hallmark_client", "--module", "test_client"]),
    )?;
    run_command(
        running
            .tell(&mut Command::new(bin.join("python")))
            .current_dir(&source)
            .env("PYTHONPATH", &work)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["-m", "unittest", "test_client"]),
    )?;
    println!("clients: Python passed");
    Ok(())
}

/// What openapi-python-client does not understand it leaves out, and says so as a warning only.
fn every_operation(package: &Path) -> Result<()> {
    let document: Value = serde_json::from_str(&std::fs::read_to_string(document())?)?;
    let operations = document["paths"]
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::values)
        .filter_map(Value::as_object)
        .flat_map(serde_json::Map::values)
        .filter(|operation| operation.get("operationId").is_some())
        .count();
    let mut generated = 0;
    for tag in std::fs::read_dir(package.join("api"))? {
        let tag = tag?.path();
        let modules = tag.is_dir().then(|| std::fs::read_dir(tag)).transpose()?;
        for module in modules.into_iter().flatten() {
            let name = module?.file_name();
            generated += usize::from(name.to_string_lossy().ends_with(".py") && name != "__init__.py");
        }
    }
    ensure!(
        generated == operations,
        "of {operations} operations, the Python client has {generated}"
    );
    Ok(())
}

/// progenitor, in a crate that is not of the workspace.
fn rust(running: &Running) -> Result<()> {
    let crate_dir = root().join("clients/rust");
    run_command(cargo(&["fmt", "--check"]).current_dir(&crate_dir))?;
    run_command(
        running
            .tell(&mut cargo(&["test", "--locked", "--quiet"]))
            .current_dir(&crate_dir)
            .env("CARGO_TARGET_DIR", target().join("clients/rust")),
    )?;
    println!("clients: Rust passed");
    Ok(())
}
