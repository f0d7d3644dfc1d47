//! Running a hook's function over the records of a batch.

use std::any::Any;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::environment::{Context, Environment, Record, RunError, directory_name};
use crate::outcome::{HookError, Outcome};
use crate::output::{Output, Said};

/// The maximum length of a line of `records.jsonl`, in bytes. The server writes none that is longer than a few MiB.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// How many records a run passed, rejected, and could not judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Passed, with or without rows.
    pub passed: u64,
    /// Rejected.
    pub rejected: u64,
    /// Neither.
    pub errored: u64,
}

/// A hook of an image that has several; created by [`hook`].
pub struct NamedHook {
    name: String,
    run: Box<Run>,
}

type Run = dyn Fn(&Environment) -> Result<Summary, RunError>;

/// Creates the hook `name` with this function, for [`run_named`].
pub fn hook<M, R, F>(name: impl Into<String>, function: F) -> NamedHook
where
    M: DeserializeOwned,
    R: Serialize,
    F: Fn(&Context, Record<M>) -> Result<Outcome<R>, HookError> + 'static,
{
    NamedHook {
        name: name.into(),
        run: Box::new(move |environment| run_in(environment, &function)),
    }
}

/// Runs the image's only hook, under any name, in the environment that the environment variables describe. `main`
/// returns its result: the exit status is 0 if every record was read, and 1, with a message on standard error, if the
/// run was not possible.
pub fn run<M, R, F>(function: F) -> ExitCode
where
    M: DeserializeOwned,
    R: Serialize,
    F: Fn(&Context, Record<M>) -> Result<Outcome<R>, HookError>,
{
    exit(Environment::from_variables().and_then(|environment| run_in(&environment, function)))
}

/// Runs the hook that `OSA_HOOK_NAME` names, for an image with several. `main` returns its result, as with [`run`].
///
/// ```no_run
/// # use hook_sdk::{Context, HookError, Outcome, Record, hook};
/// # type Anything = std::collections::BTreeMap<String, String>;
/// fn check(_: &Context, _: Record<Anything>) -> Result<Outcome<()>, HookError> {
///     Ok(Outcome::none())
/// }
/// fn measure(_: &Context, record: Record<Anything>) -> Result<Outcome<usize>, HookError> {
///     Ok(Outcome::pass(record.metadata.len()))
/// }
/// fn main() -> std::process::ExitCode {
///     hook_sdk::run_named([hook("check", check), hook("measure", measure)])
/// }
/// ```
pub fn run_named(hooks: impl IntoIterator<Item = NamedHook>) -> ExitCode {
    exit(Environment::from_variables().and_then(|environment| run_named_in(&environment, hooks)))
}

fn exit(result: Result<Summary, RunError>) -> ExitCode {
    let (text, code) = match result {
        Ok(Summary {
            passed,
            rejected,
            errored,
        }) => (
            format!("{passed} passed, {rejected} rejected, {errored} errored"),
            ExitCode::SUCCESS,
        ),
        Err(error) => (error.to_string(), ExitCode::FAILURE),
    };
    // Standard error may be closed; the exit status says the same.
    let _ = writeln!(io::stderr(), "{text}");
    code
}

/// Does the work of [`run_named`], in this environment. Fails as [`run_in`] does, and if no hook has the name.
pub fn run_named_in(
    environment: &Environment,
    hooks: impl IntoIterator<Item = NamedHook>,
) -> Result<Summary, RunError> {
    let hooks: Vec<NamedHook> = hooks.into_iter().collect();
    match hooks
        .iter()
        .find(|hook| Some(&hook.name) == environment.hook_name.as_ref())
    {
        Some(hook) => (hook.run)(environment),
        None => Err(RunError::UnknownHook {
            asked: environment.hook_name.clone(),
            known: hooks.into_iter().map(|hook| hook.name).collect(),
        }),
    }
}

/// Does the work of [`run`], in this environment: for tests of a whole hook. Fails if the input cannot be read or the
/// output not be written.
pub fn run_in<M, R, F>(environment: &Environment, function: F) -> Result<Summary, RunError>
where
    M: DeserializeOwned,
    R: Serialize,
    F: Fn(&Context, Record<M>) -> Result<Outcome<R>, HookError>,
{
    let path = environment.input.join("records.jsonl");
    let mut records = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) => return Err(RunError::Input(path, error)),
    };
    let context = Context::read(environment)?;
    let mut output = Output::create(environment)?;
    let mut summary = Summary::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        if !next_line(&mut records, &mut line).map_err(|e| RunError::Input(path.clone(), e))? {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let (id, outcome) = match parse(&line, environment) {
            // The function may panic: that is its record's error only, and it saw nothing that can be left broken.
            Ok((id, Ok(record))) => (
                id,
                catch_unwind(AssertUnwindSafe(|| function(&context, record)))
                    .unwrap_or_else(|panic| Err(panicked(&*panic))),
            ),
            Ok((id, Err(error))) => (id, Err(error)),
            Err(error) => (format!("line-{number}"), Err(error)),
        };
        *match output.say(&id, outcome)? {
            Said::Passed => &mut summary.passed,
            Said::Rejected => &mut summary.rejected,
            Said::Errored => &mut summary.errored,
        } += 1;
    }
    output.write()?;
    Ok(summary)
}

/// Reads the next line; returns `false` at the end. A line that is too long is truncated, which leaves it malformed.
fn next_line(records: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = records.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
    if read as u64 == MAX_LINE && !line.ends_with(b"\n") {
        records.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

#[derive(Deserialize)]
struct Line {
    id: String,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    size_hint_mb: Option<f64>,
}

type Parsed<M> = (String, Result<Record<M>, HookError>);

/// Parses the record of a line; the outer error is of a line without an id.
fn parse<M: DeserializeOwned>(line: &[u8], environment: &Environment) -> Result<Parsed<M>, HookError> {
    let line: Line = serde_json::from_slice(line)
        .map_err(|e| HookError::new(format!("the input line is malformed: {e}")))?;
    let files = environment.files.join(directory_name(&line.id));
    let record = M::deserialize(line.metadata)
        .map(|metadata| Record::new(line.id.clone(), metadata, files).with_size_hint(line.size_hint_mb))
        .map_err(|e| HookError::new(format!("the metadata does not fit the hook: {e}")));
    Ok((line.id, record))
}

fn panicked(panic: &(dyn Any + Send)) -> HookError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    HookError::new(format!("the hook panicked: {}", text.unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_the_last_needs_no_end() {
        let mut input = &b"a\n\nb"[..];
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while next_line(&mut input, &mut line).unwrap() {
            lines.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(lines, ["a\n", "\n", "b"]);
    }
}
