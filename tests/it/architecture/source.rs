//! A minimal reader of Rust text for the rules: code without comments and literals, and its paths.
//!
//! It is not a parser.
//!
//! Invariant: removed text is replaced by spaces, so that every offset and line number stays.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A file by its path from the root of the repository.
#[derive(Clone, Debug)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

/// A path such as `crate::inject::Injector`, and its line.
#[derive(Debug, PartialEq, Eq)]
pub struct PathUse {
    pub path: String,
    pub line: usize,
}

impl SourceFile {
    /// Whether the whole file is a test module.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Modules from the crate's root, such as `["inject", "pod"]`; `None` outside `src`.
    pub fn module(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        Some(if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').collect() })
    }

    /// The code without comments, literals and test modules.
    pub fn code(&self) -> String {
        without_tests(without_text(&self.text))
    }
}

/// 1-based line of a byte offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Blanks comments, strings and character literals.
pub fn without_text(source: &str) -> String {
    static TEXT: LazyLock<Regex> = LazyLock::new(|| {
        // In this order: line comment, string, character (a lifetime has no closing quote).
        Regex::new(
            r#"//[^\n]*|b?"(?:[^"\\]|\\.|\\\n)*"|b?'(?:[^'\\\n]|\\[^u\n]|\\x[0-9a-fA-F]{2}|\\u\{[0-9a-fA-F_]+\})'"#,
        )
        .expect("the pattern is valid")
    });
    let mut code = source.to_owned();
    let mut from = 0;
    loop {
        let next =
            [block_comment(&code, from), raw_string(&code, from), TEXT.find_at(&code, from).map(|found| found.range())];
        let Some(range) = next.into_iter().flatten().min_by_key(|range| range.start) else { return code };
        from = range.end;
        blank(&mut code, range);
    }
}

/// Blanks modules that are only compiled for tests.
fn without_tests(mut code: String) -> String {
    static MODULE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([a-z]+\))? )?mod \w+\s*\{")
            .expect("the pattern is valid")
    });
    while let Some(found) = MODULE.find(&code).map(|found| found.range()) {
        let end = closing_brace(&code, found.end - 1);
        blank(&mut code, found.start..end);
    }
    code
}

fn blank(code: &mut String, range: Range<usize>) {
    let spaces: String = code[range.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    code.replace_range(range, &spaces);
}

/// The next block comment; they nest.
fn block_comment(code: &str, from: usize) -> Option<Range<usize>> {
    static EDGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"/\*|\*/").expect("the pattern is valid"));
    let start = from + code[from..].find("/*")?;
    let mut depth = 0;
    for edge in EDGE.find_iter(&code[start..]) {
        depth += if edge.as_str() == "/*" { 1 } else { -1 };
        if depth == 0 {
            return Some(start..start + edge.end());
        }
    }
    Some(start..code.len())
}

/// The next raw string, whatever its number of `#`.
fn raw_string(code: &str, from: usize) -> Option<Range<usize>> {
    static START: LazyLock<Regex> = LazyLock::new(|| Regex::new(r##"\bb?r(#*)""##).expect("the pattern is valid"));
    let found = START.captures_at(code, from)?;
    let (whole, hashes) = (found.get(0)?, found.get(1)?);
    let end = code[whole.end()..].find(&format!("\"{}", hashes.as_str()));
    Some(whole.start()..end.map_or(code.len(), |end| whole.end() + end + 1 + hashes.len()))
}

/// Offset behind the brace that closes the one at `open`.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return offset + 1;
        }
    }
    code.len()
}

/// All paths of the code, with `use` trees expanded.
pub fn paths(code: &str) -> Vec<PathUse> {
    static INLINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[A-Za-z_]\w*(?:::[A-Za-z_]\w*)+").expect("the pattern is valid"));
    static USE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\buse\s+([^;]+);").expect("the pattern is valid"));
    let (mut found, mut rest) = (Vec::new(), code.to_owned());
    for import in USE.captures_iter(code) {
        let (whole, tree) =
            (import.get(0).expect("a match has a whole"), import.get(1).expect("the pattern has one group"));
        let mut spread = Vec::new();
        spread_tree("", tree.as_str(), &mut spread);
        found.extend(spread.into_iter().map(|path| PathUse { path, line: line_of(code, tree.start()) }));
        blank(&mut rest, whole.range());
    }
    let inline = |path: regex::Match<'_>| PathUse { path: path.as_str().to_owned(), line: line_of(code, path.start()) };
    found.extend(INLINE.find_iter(&rest).map(inline));
    found
}

/// `std::{fs, net::{self, TcpStream}}` as `std::fs`, `std::net::self`, `std::net::TcpStream`.
fn spread_tree(prefix: &str, tree: &str, into: &mut Vec<String>) {
    for branch in top_level_branches(tree) {
        let branch = branch.trim();
        if let Some((head, rest)) = branch.split_once('{') {
            spread_tree(&format!("{prefix}{}", head.trim()), rest.trim_end().trim_end_matches('}'), into);
        } else if !branch.is_empty() {
            let path = branch.split_whitespace().next().unwrap_or_default();
            into.push(format!("{prefix}{path}"));
        }
    }
}

/// Splits at the commas outside of braces.
fn top_level_branches(tree: &str) -> Vec<&str> {
    let (mut depth, mut start, mut branches) = (0, 0, Vec::new());
    for (offset, byte) in tree.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                branches.push(&tree[start..offset]);
                start = offset + 1;
            }
            _ => {}
        }
    }
    branches.push(&tree[start..]);
    branches
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let source = "a /* x /* y */ z */ b // c\n\"d\\\" // e\" 'f' '\\n' 'g: &'h str r#\"i\"j\"# \"k\nl\" m";
    let code = without_text(source);
    assert_eq!(code.len(), source.len());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "'g:", "&'h", "str", "m"]);
    assert_eq!(code.matches('\n').count(), 2);
}

#[test]
fn test_modules_are_blanked() {
    let file = SourceFile {
        path: "src/a.rs".into(),
        text: "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}".into(),
    };
    assert_eq!(file.code().split_whitespace().collect::<Vec<_>>(), ["fn", "a()", "{}", "fn", "c()", "{}"]);
}

#[test]
fn use_trees_are_spread_out() {
    let found: Vec<String> = paths("use std::{fs, net::{self, TcpStream as T}};\nlet x = a::b::c();")
        .into_iter()
        .map(|path| path.path)
        .collect();
    assert_eq!(found, ["std::fs", "std::net::self", "std::net::TcpStream", "a::b::c"]);
}
