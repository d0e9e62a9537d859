//! Keeps `docs/reference/messages.md`, the page of every sentence that a person can see, equal to the source.
//!
//! The sentences are read from the source text: the parts of `message!`, and every other string of
//! at least three words that is not a log line, a help text or a test. Code, cause and action are written
//! by hand in the page; texts for other programs stand in `NO_MESSAGES`. `OUTRIGGER_RECORD_MESSAGES=1 cargo test --test it messages` adds new
//! sentences with empty cells and drops those that are gone.
//!
//! Invariant: no sentence is missing from the page, and none has an empty cell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const PAGE: &str = "docs/reference/messages.md";

/// Headings of the page, and the paths of the files whose sentences stand below them.
const AREAS: [(&str, &[&str]); 6] = [
    (
        "Templates",
        &[
            "src/inject/template/",
            "src/inject/overlay/",
            "src/inject/schema/",
            "src/inject/expression/",
            "src/inject/text/",
            "src/source/",
        ],
    ),
    ("Pods", &["src/inject/"]),
    ("Reviews", &["src/admission/", "src/server/"]),
    ("Commands", &["src/cli/", "src/convert/", "src/workload", "src/export/"]),
    ("Settings", &["src/config/"]),
    ("The server and its cluster", &["src/"]),
];

/// Files whose strings are help texts, names or code for other programs.
const WITHOUT_SENTENCES: &[&str] = &[
    "src/api/crd/mod.rs",
    "src/api/crd/schema.rs",
    "src/api/crd/status.rs",
    "src/cli/manual.rs",
    "src/config/settings.rs",
    "src/telemetry/metrics/",
    "src/telemetry/traces/",
    // Each finding of the linter carries its code, and each code has a page.
    "src/lint/",
    // What `explain` looks at, which docs/reference/explain.md describes.
    "src/inject/decision/trace.rs",
    "src/inject/outcome/trace.rs",
    "src/inject/prepare/trace.rs",
    "src/inject/trace.rs",
    "src/cli/explain/dot.rs",
    "src/cli/explain/selectors.rs",
    "src/cli/explain/text.rs",
];

/// Texts that look like sentences and that no person reads as ours, with the reason.
const NO_MESSAGES: &[(&str, &[&str])] = &[
    (
        "an expression of a converted template",
        &[
            "(pod.metadata.?ownerReferences.orValue([]) .filter(o, o.?controller.orValue(false) && pod.metadata.?generateName.orValue('') != '') .map(o, o.kind == 'ReplicaSet' && o.name.endsWith('-' + pod.metadata.?labels[?'pod-template-hash'].orValue('')) ? o.name.substring(0, o.name.lastIndexOf('-')) : o.kind == 'Job' && o.name.matches('^.+-[0-9]…$') ? o.name.substring(0, o.name.lastIndexOf('-')) : o.name) + [pod.metadata.?generateName.orValue('') == '' ? pod.metadata.?name.orValue('') : (pod.metadata.generateName + '\\n').replace('-' + pod.metadata.?labels[?'pod-template-hash'].orValue('') + '-\\n', '') .replace('-\\n', '')])[0]",
            "{'name': …, 'value': params.…",
            "(container.?volumeMounts.orValue(null) == null ? [] : container.volumeMounts)",
            "${… in ['', 'default'] ? … : null}",
        ],
    ),
    (
        "a rule of the CustomResourceDefinitions, which has a message beside it",
        &[
            "!has(self.spec.…) || !(self.metadata.name in self.spec.…)",
            "self.type != 'enum' || has(self.values) && self.values.size() > 0",
            "!has(self.injection) || self.injection != 'Automatic' || has(self.match) && (has(self.match.podSelector) || has(self.match.namespaceSelector) || has(self.match.conditions) && self.match.conditions.size() > 0)",
        ],
    ),
    (
        "an expression of the webhook configuration",
        &[
            "has(m.…) && m.….exists(key, key.contains('…/'))",
            "!has(…) || !….exists(owner, has(owner.controller) && owner.controller)",
            "has(object.metadata.annotations) && '…/inject' in object.metadata.annotations",
            "has(…) != has(…) || has(…) && … != …",
            "request.operation == 'CREATE' || request.operation == 'DELETE' || !has(object.metadata.deletionTimestamp) && (object.spec != oldObject.spec || … || …)",
        ],
    ),
    (
        "a text of an API server or of Go, which the program looks for",
        &[
            "denied the request",
            "cannot create resource",
            "failed calling webhook \"",
            "failed calling webhook",
            "no endpoints available",
            "expired or is not yet valid",
            "certificate is valid for",
            "doesn't contain any IP SANs",
            "not valid for any names",
            "tls: failed to verify certificate",
            "context deadline exceeded",
            "no route to host",
            "network is unreachable",
            "TLS handshake timeout",
            "LimitRanger plugin set",
        ],
    ),
    (
        "a text of a parser, which the program replaces",
        &["expected mapping start", "no viable alternative at input", "token recognition error at"],
    ),
    ("ends the reading of a path inside the program; the caller drops it", &["the end of the path is reached"]),
    ("only a wrong rewriting of an expression could lead to it", &["no such list"]),
    ("a name inside a certificate", &["outrigger cluster CA", "outrigger development CA"]),
    ("a header of HTTP", &["text/plain; version=0.0.4; charset=utf-8"]),
];

/// Macros whose strings are for logs or for developers.
const FOR_OTHERS: [&str; 14] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "concat",
    "debug",
    "debug_assert",
    "debug_assert_eq",
    "error",
    "include_str",
    "info",
    "panic",
    "trace",
    "unreachable",
    "warn",
];

/// Functions and methods whose strings are for developers or for clap.
const CALLS_FOR_OTHERS: [&str; 3] = ["expect", "help", "about"];

#[derive(Default)]
struct Scan {
    sentences: Vec<String>,
}

impl Scan {
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += self.token(&tokens[at..]);
        }
    }

    /// Reads what the first tokens are, and returns how many those were.
    fn token(&mut self, tokens: &[TokenTree]) -> usize {
        match tokens {
            [TokenTree::Punct(hash), rest @ ..] if hash.as_char() == '#' => 1 + self.attribute(rest),
            [TokenTree::Ident(keyword), TokenTree::Ident(name), ..]
                if (keyword == "const" || keyword == "static") && name.to_string().ends_with("ABOUT") =>
            {
                tokens.iter().position(|token| is_punct(token, ';')).unwrap_or(tokens.len() - 1) + 1
            }
            [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(group), ..] if mark.as_char() == '!' => {
                if name == "message" {
                    self.message(group.stream());
                } else if !FOR_OTHERS.contains(&name.to_string().as_str()) {
                    self.tokens(group.stream());
                }
                3
            }
            [TokenTree::Ident(name), TokenTree::Group(group), ..]
                if group.delimiter() == Delimiter::Parenthesis
                    && CALLS_FOR_OTHERS.contains(&name.to_string().as_str()) =>
            {
                2
            }
            [TokenTree::Group(group), ..] => {
                self.tokens(group.stream());
                1
            }
            [TokenTree::Literal(literal), ..] => {
                if let Some(text) = string(&literal.to_string()) {
                    self.add(&without_placeholders(&text), 3);
                }
                1
            }
            _ => 1,
        }
    }

    /// Skips an attribute, and with `#[cfg(test)]` the item behind it. Returns the number of tokens.
    fn attribute(&mut self, tokens: &[TokenTree]) -> usize {
        let inner = usize::from(tokens.first().is_some_and(|token| is_punct(token, '!')));
        let Some(TokenTree::Group(group)) = tokens.get(inner) else { return inner };
        let text = group.stream().to_string().replace(' ', "");
        if text.starts_with("error(") {
            self.tokens(group.stream());
        }
        if text != "cfg(test)" {
            return inner + 1;
        }
        let is_end = |token: &TokenTree| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            token => is_punct(token, ';'),
        };
        inner + 1 + tokens[inner + 1..].iter().position(is_end).map_or(0, |end| end + 1)
    }

    /// The arguments of `message!`: literals, and `…` for every value.
    fn message(&mut self, arguments: TokenStream) {
        let tokens: Vec<TokenTree> = arguments.into_iter().collect();
        let mut sentence = String::new();
        for argument in tokens.split(|token| is_punct(token, ',')) {
            match argument {
                [] => {}
                [TokenTree::Literal(literal)] => {
                    sentence += &string(&literal.to_string()).unwrap_or_else(|| "…".to_owned());
                }
                _ => {
                    sentence.push('…');
                    self.tokens(argument.iter().cloned().collect());
                }
            }
        }
        self.add(&sentence, 2);
    }

    fn add(&mut self, text: &str, least_words: usize) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.trim_matches(|char: char| matches!(char, ' ' | ';' | ':' | ',')).to_owned();
        let is_word = |word: &&str| word.chars().filter(|char| char.is_alphabetic()).count() >= 2;
        if text.split(' ').filter(is_word).count() >= least_words && !self.sentences.contains(&text) {
            self.sentences.push(text);
        }
    }
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// The text of a string literal.
fn string(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        let hashes = raw.chars().take_while(|char| *char == '#').count();
        return Some(raw[hashes + 1..raw.len() - hashes - 1].to_owned());
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                // A line that goes on.
                '\n' => text.push(' '),
                other => text.push(other),
            },
            char => text.push(char),
        }
    }
    Some(text)
}

/// A format string with `…` for every placeholder.
fn without_placeholders(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        out += before;
        // Braces around words belong to the sentence, such as `{before: NAME}`.
        rest = match behind.split_once('}') {
            Some((inside, rest)) if !inside.contains(' ') => {
                out.push('…');
                rest
            }
            _ => {
                out.push('{');
                behind
            }
        };
    }
    (out + rest).replace('\u{1}', "{").replace('\u{2}', "}")
}

/// Every sentence once, below the first heading that it belongs to.
fn sentences() -> Vec<(&'static str, Vec<String>)> {
    let mut seen = BTreeSet::new();
    let files = source_files("src");
    let is_message = |text: &String| !NO_MESSAGES.iter().any(|(_, texts)| texts.contains(&text.as_str()));
    let area_of = |path: &str| AREAS.iter().position(|(_, paths)| paths.iter().any(|start| path.starts_with(start)));
    let mut areas: Vec<(&str, Vec<String>)> = AREAS.iter().map(|(heading, _)| (*heading, Vec::new())).collect();
    for path in files {
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        if is_test || WITHOUT_SENTENCES.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        let stream: TokenStream = super::read(&path).parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut scan = Scan::default();
        scan.tokens(stream);
        let area = area_of(&path).unwrap_or(AREAS.len() - 1);
        let new = scan.sentences.into_iter().filter(|sentence| seen.insert(sentence.clone()));
        areas[area].1.extend(new.filter(is_message));
    }
    for text in NO_MESSAGES.iter().flat_map(|(_, texts)| *texts) {
        assert!(seen.contains(*text), "NO_MESSAGES has a text that the source has not: {text}");
    }
    areas
}

fn source_files(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(super::repository(directory)).expect("the directory is there");
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.expect("an entry of the directory");
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            paths.extend(source_files(&path));
        } else if path.ends_with(".rs") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// Text as a cell of a table, in a form that can be found again.
fn cell(sentence: &str) -> String {
    sentence.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*").replace("${", "$\\{")
}

/// Code, cause and action of each sentence that the page has.
fn recorded(page: &str) -> BTreeMap<String, [String; 3]> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| sentence |"));
    rows.filter_map(|row| {
        let cells: Vec<String> = row.trim_matches('|').replace("\\|", "\u{1}").split('|').map(cell_text).collect();
        let [sentence, code, cause, action] = <[String; 4]>::try_from(cells).ok()?;
        Some((sentence, [code, cause, action]))
    })
    .collect()
}

fn cell_text(cell: &str) -> String {
    cell.trim().replace('\u{1}', "\\|")
}

fn render(page: &str) -> String {
    let recorded = recorded(page);
    let intro = page.split("\n## ").next().unwrap_or_default().trim_end();
    let mut text = format!("{intro}\n");
    for (heading, sentences) in sentences() {
        let _ = write!(text, "\n## {heading}\n\n| sentence | code | cause | what to do |\n|---|---|---|---|\n");
        for sentence in sentences {
            let sentence = cell(&sentence);
            let [code, cause, action] = recorded.get(&sentence).cloned().unwrap_or_default();
            let _ = writeln!(text, "| {sentence} | {code} | {cause} | {action} |");
        }
    }
    text
}

#[test]
fn every_sentence_of_the_program_is_explained() {
    let page = super::read(PAGE);
    let rendered = render(&page);
    if std::env::var_os("OUTRIGGER_RECORD_MESSAGES").is_some() {
        fs::write(super::repository(PAGE), &rendered).expect("the page can be written");
    }
    let lines: BTreeSet<&str> = page.lines().collect();
    let missing: Vec<&str> = rendered.lines().filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty(), "{PAGE} lacks (record them, see the head of this test):\n{}", missing.join("\n"));
    let empty: Vec<&str> = page.lines().filter(|line| line.contains("|  |")).collect();
    assert!(empty.is_empty(), "{PAGE}: cells are empty:\n{}", empty.join("\n"));
    assert_eq!(page, rendered, "{PAGE} has sentences that the program has not");
}

#[test]
fn sentences_are_read_from_the_source() {
    let source = r##"
        /// Not a sentence at all.
        #[error("cannot read the file {path}: {0}")] struct A;
        const LONG_ABOUT: &str = "help is not a sentence";
        fn a() {
            info!("a line of the log");
            let a = message!["volume ", value(quote("x")), " has ", count, " sources; expected one"];
            problems.push(format!("{name}: no such file {{}}"));
            short("two words");
        }
        #[cfg(test)]
        mod tests { const A: &str = "only in a test"; }
    "##;
    let mut scan = Scan::default();
    scan.tokens(source.parse().expect("this is Rust"));
    assert_eq!(
        scan.sentences,
        ["cannot read the file …: …", "volume … has … sources; expected one", "…: no such file {}"]
    );
}
