//! Which file imports which: the floors of `inject`, and circles of files.
//!
//! Reads paths as text. A path leads to the file of its longest prefix that is a module; names that
//! a `mod.rs` hands on lead to that `mod.rs`. Invariant: the tests below break every rule.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::Fault;
use super::source::{self, SourceFile};

/// The floors of `inject` from the top down. A module stands on the floor of its longest prefix; it
/// may import from its own folder and from lower floors.
const FLOORS: [&[&str]; 14] = [
    &["inject", "inject::pipeline"],
    &["inject::prepare"],
    &["inject::commit", "inject::uninject"],
    &["inject::merge"],
    &["inject::status"],
    &["inject::decision"],
    &["inject::template"],
    &["inject::overlay"],
    &["inject::expression"],
    &["inject::pod"],
    &["inject::schema"],
    &["inject::outcome"],
    &["inject::request", "inject::settings", "inject::annotations", "inject::error"],
    &["inject::text"],
];

/// The floor of a module and the prefix that puts it there.
fn floor(module: &str) -> Option<(usize, &'static str)> {
    let is_within =
        |prefix: &&&str| module.strip_prefix(**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let floors = FLOORS.iter().enumerate();
    floors
        .filter_map(|(floor, prefixes)| {
            Some((floor, *prefixes.iter().filter(is_within).max_by_key(|prefix| prefix.len())?))
        })
        .max_by_key(|(_, prefix)| prefix.len())
}

/// No module of `inject` imports from a higher floor, nor from another place on its own.
pub fn floors(files: &[SourceFile]) -> Vec<(String, Fault)> {
    let tree = Tree::new(files);
    let mut faults = Vec::new();
    for import in tree.imports(files) {
        let (Some((own, folder)), Some((other, target))) = (floor(&import.from), floor(&import.to)) else { continue };
        if other < own || (other == own && folder != target && folder != "inject") {
            let what = format!("`{}` must not import `{}`: it stands no lower", import.from, import.to);
            faults.push((import.path, Fault { line: import.line, what }));
        }
    }
    faults
}

/// No files import each other in a circle, but for a `mod.rs` and the files of its folder.
pub fn circles(files: &[SourceFile]) -> Vec<String> {
    let tree = Tree::new(files);
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for import in tree.imports(files) {
        let is_own_parent = import.from.starts_with(&format!("{}::", import.to));
        if !is_own_parent {
            edges.entry(import.from).or_default().insert(import.to);
        }
    }
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for start in edges.keys() {
        let mut circle: Vec<String> =
            reached(&edges, start).into_iter().filter(|other| reached(&edges, other).contains(start)).collect();
        circle.sort();
        if circle.contains(start) && circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().map(|circle| circle.join(", ")).collect()
}

/// All modules to which imports lead from `start`.
fn reached(edges: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let (mut found, mut pending) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(module) = pending.pop() {
        for next in edges.get(&module).into_iter().flatten() {
            if found.insert(next.clone()) {
                pending.push(next.clone());
            }
        }
    }
    found
}

/// The modules that are files.
struct Tree(BTreeSet<String>);

struct Import {
    path: String,
    line: usize,
    from: String,
    to: String,
}

impl Tree {
    fn new(files: &[SourceFile]) -> Self {
        let modules = files.iter().filter(|file| !file.is_test()).filter_map(SourceFile::module);
        Self(modules.filter(|module| !module.is_empty()).map(|module| module.join("::")).collect())
    }

    /// Every import of a file of the crate by another.
    fn imports(&self, files: &[SourceFile]) -> Vec<Import> {
        let mut imports = Vec::new();
        for file in files.iter().filter(|file| !file.is_test()) {
            let Some(from) = file.module().filter(|module| !module.is_empty()) else { continue };
            // A visibility names a module, but imports nothing.
            let code = file.code().replace("(in crate::", "(in ");
            for path in source::paths(&code) {
                let to = absolute(&from, &path.path).and_then(|path| self.file_of(&path));
                if let Some(to) = to.filter(|to| *to != from.join("::")) {
                    imports.push(Import { path: file.path.clone(), line: path.line, from: from.join("::"), to });
                }
            }
        }
        imports
    }

    /// The longest prefix of a path that is a file's module.
    fn file_of(&self, path: &[String]) -> Option<String> {
        (1..=path.len()).rev().map(|length| path[..length].join("::")).find(|module| self.0.contains(module))
    }
}

/// A path from the crate's root; `None` for other crates and for names that are in scope already.
fn absolute(from: &[&str], path: &str) -> Option<Vec<String>> {
    let mut segments = path.split("::").filter(|segment| *segment != "self").peekable();
    let mut base = from;
    if segments.next_if_eq(&"crate").is_some() {
        base = &[];
    } else {
        segments.peek().filter(|first| **first == "super")?;
        while segments.next_if_eq(&"super").is_some() {
            base = base.split_last()?.1;
        }
    }
    Some(base.iter().copied().chain(segments).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<SourceFile> {
        files.iter().map(|(path, text)| SourceFile { path: (*path).into(), text: (*text).into() }).collect()
    }

    #[test]
    fn imports_upwards_break() {
        let pod = ("src/inject/pod/mod.rs", "");
        let merge = ("src/inject/merge/mod.rs", "use super::pod::Pod;");
        assert!(floors(&tree(&[pod, merge])).is_empty(), "downwards");
        let upwards = ("src/inject/pod/head.rs", "use crate::inject::merge::AUTO;");
        assert_eq!(floors(&tree(&[pod, merge, upwards])).len(), 1);
        let beside = [("src/inject/commit/mod.rs", ""), ("src/inject/uninject.rs", "use super::commit::Editor;")];
        assert_eq!(floors(&tree(&beside)).len(), 1);
        let root = [("src/inject/mod.rs", ""), ("src/inject/merge/mod.rs", "use crate::inject::Injector;")];
        assert_eq!(floors(&tree(&root)).len(), 1);
    }

    #[test]
    fn circles_break() {
        let circle =
            tree(&[("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use super::c::C;"), ("src/c.rs", "use crate::a;")]);
        assert_eq!(circles(&circle), ["a, b, c"]);
        let parent = tree(&[("src/a/mod.rs", "use self::b::B; use super::a::b::C;"), ("src/a/b.rs", "use super::A;")]);
        assert!(circles(&parent).is_empty());
    }
}
