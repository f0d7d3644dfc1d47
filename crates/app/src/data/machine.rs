//! What strangers may know of the machines behind the archive: which worker it was, and not the name of its host; which
//! file a hook was, and not where it lies.

use domain::registry::digest::hex;
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

/// Returns an image without the path of a file on this machine. Its digest says which file it was.
pub(crate) fn without_path(image: &str) -> String {
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
        assert_eq!(
            without_path("registry.example.org/lab/shape:2"),
            "registry.example.org/lab/shape:2"
        );
    }
}
