//! The modules of a crate and which of them name which: read from the tokens of its files, so that macros count too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::shell::root;

/// `a::b`; empty for the crate's root.
type Module = String;
/// The segments of one path in the code.
type Segments = Vec<String>;

/// One crate's modules, each with those that it names.
#[derive(Debug, Default)]
pub(crate) struct Modules(BTreeMap<Module, BTreeSet<Module>>);

struct Source {
    /// Paths that begin with `crate`, `self` or `super`.
    paths: Vec<Segments>,
    /// Names that the module re-exports, with the module that each is from, relative to this one.
    exports: BTreeMap<String, Segments>,
}

impl Modules {
    /// Of the crate in this directory below the workspace's root.
    pub(crate) fn of(directory: &str) -> Result<Self> {
        let src = root().join(directory).join("src");
        let mut sources = BTreeMap::new();
        read(&src, &src, &mut sources)?;
        Ok(Self::from_sources(&sources))
    }

    fn from_sources(sources: &BTreeMap<Module, Source>) -> Self {
        let mut graph = Self::default();
        for (module, source) in sources {
            let named = source
                .paths
                .iter()
                .map(|path| resolve(sources, &absolute(module, path)))
                .filter(|to| to != module && !to.is_empty())
                .collect();
            graph.0.insert(module.clone(), named);
        }
        graph
    }

    /// Every pair of a module and one that it names.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (from.as_str(), to.as_str())))
    }

    /// Modules that name each other, directly or around a corner: each circle once, as the modules on it.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .0
            .keys()
            .map(|from| (from.as_str(), self.reached(from)))
            .collect();
        let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
        for (from, to) in &reached {
            let circle: Vec<&str> = to
                .iter()
                .copied()
                .filter(|to| reached.get(to).is_some_and(|back| back.contains(from)))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self
            .0
            .get(from)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(self.0.get(next).into_iter().flatten().map(String::as_str));
            }
        }
        found
    }
}

fn read(src: &Path, directory: &Path, sources: &mut BTreeMap<Module, Source>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        // A program beside the library is a crate of its own.
        if path.is_dir() && !path.ends_with("src/bin") {
            read(src, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let tokens: TokenStream = text
                .parse()
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            sources.insert(module_of(src, &path), Source::of(tokens));
        }
    }
    Ok(())
}

fn module_of(src: &Path, file: &Path) -> Module {
    let relative = file.strip_prefix(src).unwrap_or(file).with_extension("");
    let mut parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if matches!(parts.last().map(String::as_str), Some("lib" | "main" | "mod")) {
        parts.pop();
    }
    parts.join("::")
}

impl Source {
    fn of(tokens: TokenStream) -> Self {
        let mut source = Self {
            paths: Vec::new(),
            exports: BTreeMap::new(),
        };
        source.scan(tokens);
        source
    }

    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_module(&tokens[at..]) {
                // `#`, `[cfg(test)]`, `mod`, a name, and a body or a semicolon.
                at += 5;
                continue;
            }
            let exported = at > 0 && is_ident(&tokens[at], "use") && is_public(&tokens[..at]);
            if exported {
                for mut path in tree(&tokens[at + 1..]) {
                    if let (Some(name), true) = (path.pop(), !path.is_empty()) {
                        self.exports.insert(name, path);
                    }
                }
            }
            if ["crate", "self", "super"]
                .iter()
                .any(|word| is_ident(&tokens[at], word))
                && is_separator(&tokens[at + 1..])
                && !(at > 1 && is_separator(&tokens[at - 2..]))
            {
                self.paths.extend(tree(&tokens[at..]));
            }
            if let TokenTree::Group(group) = &tokens[at] {
                self.scan(group.stream());
            }
            at += 1;
        }
    }
}

/// Every path of a tree such as `a::{b, c::D}`.
fn tree(tokens: &[TokenTree]) -> Vec<Segments> {
    let mut path = Segments::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(name) => path.push(name.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && at > 0 => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                let below = inside.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','));
                let branches = below.filter(|branch| !branch.is_empty()).flat_map(tree);
                return branches
                    .map(|rest| path.iter().cloned().chain(rest).collect())
                    .collect();
            }
            _ => break,
        }
        if !is_separator(&tokens[at + 1..]) {
            break;
        }
        at += 3;
    }
    if path.is_empty() { Vec::new() } else { vec![path] }
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(tokens.first()) && colon(tokens.get(1))
}

fn is_public(before: &[TokenTree]) -> bool {
    match before {
        [.., last] if is_ident(last, "pub") => true,
        [.., last, TokenTree::Group(_)] => is_ident(last, "pub"),
        _ => false,
    }
}

fn is_test_module(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), rest @ ..] = tokens else {
        return false;
    };
    hash.as_char() == '#'
        && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        && rest.first().is_some_and(|token| is_ident(token, "mod"))
}

/// The path from the crate's root, without the word that it begins with.
fn absolute(module: &str, path: &[String]) -> Segments {
    let mut base: Segments = module
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => {
            base.clear();
            rest = &path[1..];
        }
        Some("self") => rest = &path[1..],
        _ => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
    }
    base.extend(rest.iter().cloned());
    base
}

/// The module in which a path ends, through re-exports.
fn resolve(sources: &BTreeMap<Module, Source>, path: &[String]) -> Module {
    let mut module = Module::new();
    for part in path {
        let below = if module.is_empty() {
            part.clone()
        } else {
            format!("{module}::{part}")
        };
        if sources.contains_key(&below) {
            module = below;
            continue;
        }
        if let Some(from) = sources.get(&module).and_then(|source| source.exports.get(part)) {
            let relative = ["crate", "self", "super"].contains(&from[0].as_str());
            let from = if relative {
                absolute(&module, from)
            } else {
                let whole: Segments = std::iter::once("self".to_owned())
                    .chain(from.iter().cloned())
                    .collect();
                absolute(&module, &whole)
            };
            // A name of another crate ends in no module of this one.
            if from != path {
                let target = resolve(sources, &from);
                if !target.is_empty() {
                    return target;
                }
            }
        }
        break;
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let sources = files
            .iter()
            .map(|(module, text)| ((*module).to_owned(), Source::of(text.parse().unwrap())))
            .collect();
        Modules::from_sources(&sources)
    }

    #[test]
    fn a_circle_is_seen_through_trees_macros_and_re_exports() {
        let graph = modules(&[
            ("", "mod a; mod b; mod c;"),
            ("a", "use crate::{b::{B, Other}, c};"),
            ("b", "pub use deep::Deep; fn f() { print!(\"{}\", crate::c::C) }"),
            ("b::deep", "use super::super::a::A;"),
            ("c", "use crate::b::Deep;"),
        ]);
        assert_eq!(graph.circles(), [vec!["a", "b", "b::deep", "c"]]);
    }

    #[test]
    fn what_only_tests_name_is_no_edge() {
        let graph = modules(&[
            ("a", "#[cfg(test)] mod tests { use crate::b::B; }"),
            ("b", "use crate::a::A;"),
        ]);
        assert!(graph.circles().is_empty());
        assert_eq!(graph.edges().collect::<Vec<_>>(), [("b", "a")]);
    }
}
