//! What strangers may know of the machines behind the archive: which worker it was, and not the name of its host; which
//! file a hook was, and not where it lies.

use auth::{Action, Permit, act};
use domain::registry::digest::hex;
use domain::registry::hook::HookRelease;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Returns a worker's name without its host: the same for the same worker. A server's worker ends with a random part, in
/// a run followed by how the hook was isolated; other workers name themselves as they like.
pub(crate) fn without_host(worker: &str) -> String {
    const DIGITS: usize = 12;
    let (name, isolation) = worker.find(" (").map_or((worker, ""), |at| worker.split_at(at));
    let last = name.rsplit('-').next().unwrap_or_default();
    let own = last.len() == DIGITS && last.bytes().all(|b| b.is_ascii_hexdigit());
    let ours = |b: u8| b.is_ascii_lowercase() || matches!(b, b' ' | b'(' | b')' | b'+' | b'-');
    if own && isolation.bytes().all(ours) {
        return format!("worker-{last}{isolation}");
    }
    let hash = hex(&Sha256::digest(worker.as_bytes()));
    format!("worker-{}", hash.get(..DIGITS).unwrap_or(&hash))
}

/// What a reader may know of the places of images that are files: who may register them sees them, and all others see
/// the file's name. Every use case that shows an image to callers asks this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    shown: bool,
}

impl Places {
    pub(crate) fn of<A: Action>(permit: &Permit<A>) -> Self {
        Self {
            shown: permit.principal().may::<act::WriteHooks>(),
        }
    }

    /// Returns whether the reader sees where files are.
    pub(crate) const fn are_shown(self) -> bool {
        self.shown
    }

    /// Removes the path of a file from an image if the reader may not see it.
    pub(crate) fn redact(self, image: &mut String) {
        if !self.shown {
            *image = without_path(image);
        }
    }

    /// Removes the paths of files from the images of a release if the reader may not see them.
    pub(crate) fn redact_release(self, release: &mut HookRelease) {
        self.redact(&mut release.release.image);
        for image in release.locations.images_mut() {
            self.redact(image);
        }
    }

    /// Removes the paths of files from the payload of an entry of the activity log if the reader may not see them.
    pub(crate) fn redact_payload(self, payload: &mut Value) {
        for key in ["image", "previous_image"] {
            if let Some(Value::String(image)) = payload.get_mut(key) {
                self.redact(image);
            }
        }
    }
}

/// Returns an image without the path of a file on this machine. Its digest says which file it was.
fn without_path(image: &str) -> String {
    match image.strip_prefix("file:") {
        Some(path) => format!("file:{}", path.rsplit('/').next().unwrap_or_default()),
        None => image.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-4
    #[test]
    fn neither_host_nor_path_is_left_and_workers_stay_apart() {
        assert_eq!(without_host("lab-7.example-0123456789ab"), "worker-0123456789ab");
        assert_eq!(
            without_host("lab-7-0123456789ab (process+no-sandbox)"),
            "worker-0123456789ab (process+no-sandbox)"
        );
        assert!(!without_host("x-0123456789ab (at lab-7)").contains("lab"));
        let (a, b) = (without_host("lab-7"), without_host("lab-8"));
        assert!(
            a != b && a == without_host("lab-7") && !a.contains("lab"),
            "{a} {b}"
        );
        assert_eq!(without_path("file:/home/ana/hooks/shape"), "file:shape");
        assert_eq!(without_path("file:/home/ana/hooks/"), "file:");
        assert_eq!(
            without_path("registry.example.org/lab/shape:2"),
            "registry.example.org/lab/shape:2"
        );
    }

    // proves ISO-4, ISO-5
    #[test]
    fn the_log_shows_places_only_to_who_may_register_them() {
        let whole = serde_json::json!({"hook_name": "shape", "image": "file:/home/ana/b/shape", "previous_image": "file:/home/ana/a/shape"});
        let mut payload = whole.clone();
        Places { shown: true }.redact_payload(&mut payload);
        assert_eq!(payload, whole);
        Places { shown: false }.redact_payload(&mut payload);
        assert_eq!(
            payload,
            serde_json::json!({"hook_name": "shape", "image": "file:shape", "previous_image": "file:shape"})
        );
        let mut other = serde_json::json!({"image": 7});
        Places { shown: false }.redact_payload(&mut other);
        assert_eq!(other, serde_json::json!({"image": 7}));
    }
}
