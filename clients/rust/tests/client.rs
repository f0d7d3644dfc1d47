//! The client against a running server, whose address and token are in the environment. `cargo xtask clients` runs this.

use anyhow::{Context as _, Result, bail};
use hallmark_rust_client::{Client, Error, ResponseValue, types};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::json;

const HOOK: &str = "rust_hook";
const IMAGE: &str = "file:/nowhere/rust_hook";

fn stranger() -> Result<Client> {
    Ok(Client::new(&std::env::var("HALLMARK_URL")?))
}

fn lab() -> Result<Client> {
    let token = format!("Bearer {}", std::env::var("HALLMARK_TOKEN")?);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, token.parse()?)]);
    let client = reqwest::Client::builder().default_headers(headers).build()?;
    Ok(Client::new_with_client(&std::env::var("HALLMARK_URL")?, client))
}

fn digest() -> String {
    format!("sha256:{}", "c".repeat(64))
}

// Bodies are read from JSON: a literal of a generated type would have to name every field that is ever added to it.
fn convention() -> Result<types::DeployBody> {
    Ok(serde_json::from_value(json!({
        "title": "Rust client",
        "description": "What the generated Rust client deploys.",
        "file_requirements": {"accepted_types": [], "max_count": 0},
        "schema": {
            "id": "rust-client",
            "version": "1.0.0",
            "fields": [{"name": "mass", "type": "number", "required": true, "cardinality": "exactly_one"}],
        },
        "hooks": [{
            "name": HOOK,
            "feature": {
                "cardinality": "one",
                "columns": [{"name": "heavy", "json_type": "boolean", "required": true}],
            },
            "config": config(1),
            "release": {"image": IMAGE, "digest": digest(), "source_ref": "git:0"},
        }],
        "docs": {
            "purpose": "To test the generated client.",
            "example_questions": ["Does it deploy?", "Does it read?", "Does it tell faults?"],
            "examples": [{"question": "Does it read?", "query": "GET /api/v1/hooks", "interpretation": "It does."}],
        },
    }))?)
}

fn config(most: i64) -> serde_json::Map<String, serde_json::Value> {
    serde_json::Map::from_iter([("most".to_owned(), json!(most))])
}

/// The problem that an answer must be.
fn problem<T>(answer: Result<ResponseValue<T>, Error<types::Problem>>) -> Result<types::Problem> {
    match answer {
        Ok(_) => bail!("it was answered"),
        Err(Error::ErrorResponse(problem)) => Ok(problem.into_inner()),
        Err(other) => Err(other).context("it is no problem of the document"),
    }
}

#[tokio::test]
async fn a_lab_deploys_releases_rolls_back_and_reads() -> Result<()> {
    let (lab, stranger) = (lab()?, stranger()?);
    let deployed = lab
        .deploy_convention(Some(false), &convention()?)
        .await?
        .into_inner();
    assert_eq!(deployed.slug, "rust-client");
    assert_eq!(deployed.releases[0].live_version, Some(1));

    let body: types::NewReleaseBody = serde_json::from_value(
        json!({"image": IMAGE, "digest": digest(), "config": config(2), "source_ref": "git:1"}),
    )?;
    let made = lab.create_hook_release(HOOK, Some(false), &body).await?;
    assert_eq!((made.status(), made.version), (StatusCode::CREATED, 2));
    let again = lab.create_hook_release(HOOK, Some(false), &body).await?;
    assert_eq!((again.status(), &again.id), (StatusCode::OK, &made.id));
    let back: types::LiveBody = serde_json::from_value(json!({"version": 1}))?;
    let live = lab.set_live_release(HOOK, &back).await?;
    assert_eq!(live.live_version, 1);

    let conventions = stranger.list_conventions().await?;
    assert!(conventions.items.iter().any(|item| item.id == deployed.slug));
    let read = stranger.get_convention(&deployed.slug).await?;
    assert_eq!(read.hooks, [HOOK]);
    assert!(read.ingester.is_none());
    let hooks = stranger.list_hooks().await?;
    let item = hooks
        .items
        .iter()
        .find(|item| item.name == HOOK)
        .context("the hook")?;
    assert_eq!(item.live_release.as_ref().map(|live| live.version), Some(1));
    assert_eq!(item.feature.columns[0].json_type, types::JsonType::Boolean);
    let history = stranger.list_hook_releases(HOOK).await?;
    assert!(history.releases.iter().map(|release| release.version).eq([2, 1]));
    let release = stranger.get_hook_release(HOOK, "2").await?;
    assert_eq!((&release.config, release.live), (&config(2), false));
    Ok(())
}

#[tokio::test]
async fn faults_are_problems() -> Result<()> {
    let missing = problem(stranger()?.get_convention("no-such-convention").await)?;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.detail, json!(missing.message));
    let refused = problem(stranger()?.list_ingestions().await)?;
    assert_eq!((refused.status, &*refused.code), (401, "missing_token"));
    Ok(())
}
