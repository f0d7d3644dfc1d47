//! A bounded HTTP client.

use std::time::Duration;

/// The timeout of a call, connecting included.
const MAX_TIME: Duration = Duration::from_secs(5);
/// The maximum size of a response, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Creates a client that follows no redirects: keys and tokens come only from the configured addresses.
pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(MAX_TIME))
        .max_redirects(0)
        .build()
        .into()
}

/// Returns status and body of a response.
pub(crate) fn read(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, String), String> {
    let mut answer = answer.map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(MAX_BYTES)
        .read_to_string()
        .map_err(|e| e.to_string())?;
    Ok((status, text))
}

/// Runs a call on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|e| e.to_string())?
}
