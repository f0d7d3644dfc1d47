//! Compiled patterns: bounded in size, compiled once, and shared by all that check records.
//!
//! A pattern of a few characters can compile to a MiB, and what matches with it takes a cache of its own for each
//! thread. Both are bounded: the former for all patterns of a schema together, when it is deployed, and the latter by
//! the number of patterns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::RegexBuilder;
use regex_automata::meta::Regex;

/// Maximum size of one part of a compiled pattern, in bytes.
const MAX_SIZE: usize = 1024 * 1024;
/// Size of the kept patterns, in bytes.
const MAX_KEPT: usize = 64 * 1024 * 1024;
/// What the caches of one thread for all patterns of a schema take, in bytes.
const CACHES: usize = 16 * 1024 * 1024;
/// Minimum and maximum size of the cache of one pattern, in bytes.
const CACHE: (usize, usize) = (64 * 1024, 2 * 1024 * 1024);

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Returns whether some part of a text matches.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns the pattern as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the memory that it takes, in bytes, without caches.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.regex.memory_usage()
    }
}

/// The patterns that were compiled last.
#[derive(Default)]
struct Kept {
    found: HashMap<(String, usize), Arc<Pattern>>,
    order: VecDeque<(String, usize)>,
    size: usize,
}

impl Kept {
    /// Keeps a pattern, and at most so many bytes of patterns.
    fn keep(&mut self, key: (String, usize), pattern: &Arc<Pattern>, most: usize) {
        if self.found.insert(key.clone(), Arc::clone(pattern)).is_some() {
            // Another thread compiled it meanwhile; it has the same size.
            return;
        }
        self.order.push_back(key);
        self.size += pattern.size();
        while self.size > most
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some(gone) = self.found.remove(&oldest) {
                self.size = self.size.saturating_sub(gone.size());
            }
        }
    }
}

/// Returns a pattern of a schema that has so many. `Err` is what is wrong with it.
pub(super) fn compiled(text: &str, patterns: usize) -> Result<Arc<Pattern>, String> {
    static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = (CACHES / patterns.max(1)).clamp(CACHE.0, CACHE.1);
    // Few sizes, so that schemas share their patterns.
    let key = (text.to_owned(), 1 << cache.ilog2());
    if let Some(found) = kept().found.get(&key) {
        return Ok(Arc::clone(found));
    }
    let pattern = Arc::new(compile(text, key.1)?);
    kept().keep(key, &pattern, MAX_KEPT);
    Ok(pattern)
}

fn compile(text: &str, cache: usize) -> Result<Pattern, String> {
    // It says best what is wrong with a pattern.
    RegexBuilder::new(text)
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|e| format!("is not a valid regular expression: {e}"))?;
    let bounded = Regex::config()
        .nfa_size_limit(Some(MAX_SIZE))
        // They make it faster where groups are wanted, and are large.
        .onepass(false)
        .dfa(false)
        .hybrid_cache_capacity(cache);
    let regex = Regex::builder()
        .configure(bounded)
        .build(text)
        .map_err(|e| format!("is not a valid regular expression: {e}"))?;
    Ok(Pattern {
        text: text.to_owned(),
        regex,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_some_part_as_the_crate_regex_does() {
        for (pattern, text) in [
            ("^[A-Z]+$", "ABC"),
            ("^[A-Z]+$", "ABc"),
            (r"\d{4}", "in 2007"),
            (r"\bé", "été"),
            ("(a|b)*c", "xxabac"),
            ("", ""),
            ("(?i)straße", "STRASSE"),
        ] {
            let expected = regex::Regex::new(pattern).unwrap().is_match(text);
            let found = compiled(pattern, 1).unwrap();
            assert_eq!(found.is_match(text), expected, "{pattern} {text}");
            assert_eq!(found.as_str(), pattern);
        }
        assert!(
            compiled("(", 1)
                .unwrap_err()
                .contains("not a valid regular expression")
        );
        assert!(compiled(r"\w{1000}", 1).unwrap_err().contains("size limit"));
    }

    // proves ISO-3
    #[test]
    fn a_pattern_is_compiled_once() {
        let one = compiled("^once[0-9]+$", 3).unwrap();
        assert!(Arc::ptr_eq(&one, &compiled("^once[0-9]+$", 3).unwrap()));
        assert!(one.size() > 100);
    }

    // proves ISO-3
    #[test]
    fn what_is_kept_is_bounded() {
        let mut kept = Kept::default();
        for n in 0..50 {
            let text = format!("^{n}[a-z]{{20}}$");
            let pattern = Arc::new(compile(&text, CACHE.0).unwrap());
            kept.keep((text, CACHE.0), &pattern, 10 * pattern.size());
            assert!(kept.size <= 10 * pattern.size());
        }
        let sum: usize = kept.found.values().map(|pattern| pattern.size()).sum();
        assert_eq!((kept.size, kept.found.len()), (sum, kept.order.len()));
        assert!((5..=20).contains(&kept.found.len()), "{}", kept.found.len());
    }
}
