//! The annotation and label keys that Outrigger reads or writes, and the lists in their values.

use super::text::names::check_dns_label;
use super::text::{Message, message, quote, value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Most items of a list: more than any pod needs, and few enough to report a problem for each.
const MAX_ITEMS: usize = 256;

/// Longest list, in bytes: the API server accepts no more for all annotations of a pod together.
const MAX_LIST: usize = 256 * 1024;

/// The beginning of the names of annotations that have the text of a template's files. No parameter
/// has a dot in its name.
const FILE: &str = "file.";

/// Longest name of an annotation, which follows the domain.
const MAX_NAME: usize = 63;

/// Hex digits of the hash in the name of an annotation.
const HASH_DIGITS: usize = 32;

/// The domain of all keys, unless the operator sets another.
pub(crate) const DEFAULT_DOMAIN: &str = "outrigger.dev";
/// Annotation of Kubernetes: the default container of `kubectl logs` and `exec`.
pub(crate) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Annotation of Kubernetes: marks the mirror pod of a static pod.
pub(crate) const MIRROR_POD: &str = "kubernetes.io/config.mirror";
/// Label of Kubernetes: the name of a namespace.
pub(crate) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Label of Kubernetes: the Pod Security standard that a namespace enforces.
pub(crate) const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
/// Label of Kubernetes: the operating system of a node.
pub(crate) const NODE_OS: &str = "kubernetes.io/os";

/// The keys under one domain.
#[derive(Clone, Debug)]
pub(crate) struct AnnotationKeys {
    domain: String,
    /// Annotation of a pod or namespace: the requested templates.
    pub inject: String,
    /// Annotation of a pod: the app containers that templates change.
    pub containers: String,
    /// Annotation that Outrigger writes: what each template added.
    pub status: String,
    /// Label of a namespace: `enabled` or `disabled`.
    pub injection: String,
}

impl AnnotationKeys {
    pub(crate) fn new(domain: &str) -> Self {
        let key = |name: &str| format!("{domain}/{name}");
        Self {
            domain: domain.to_owned(),
            inject: key("inject"),
            containers: key("containers"),
            status: key("status"),
            injection: key("injection"),
        }
    }

    /// The domain of the keys.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// The key of this name without a template.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.domain)
    }

    /// Annotation that sets a parameter.
    pub(crate) fn parameter(&self, template: &str, parameter: &str) -> String {
        format!("{template}.{}/{parameter}", self.domain)
    }

    /// Annotation with the text of a file of a template: `file.<volume>.<item>`, or a hash of both
    /// where Kubernetes allows no such name.
    ///
    /// Every pair has a name of its own: a volume's name has no dot, so only names without a hash have
    /// a second one.
    pub(crate) fn file(&self, template: &str, volume: &str, item: &str) -> String {
        let name = format!("{FILE}{volume}.{item}");
        if name.len() <= MAX_NAME && item.ends_with(|last: char| last.is_ascii_alphanumeric()) {
            return self.parameter(template, &name);
        }
        let digest = Sha256::digest(format!("{volume}/{item}").as_bytes());
        let hash = digest.iter().take(HASH_DIGITS / 2).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let start = volume.get(..MAX_NAME - FILE.len() - HASH_DIGITS - 1).unwrap_or(volume);
        self.parameter(template, &format!("{FILE}{start}-{hash}"))
    }

    /// Label with the revision of a template in the pod.
    pub(crate) fn revision(&self, template: &str) -> String {
        self.parameter(template, "revision")
    }

    /// Whether a key belongs to the domain. Templates must not set such keys.
    pub(crate) fn owns(&self, key: &str) -> bool {
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        prefix == self.domain || prefix.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }

    /// The parameter that a key sets for this template.
    pub(crate) fn parameter_of<'k>(&self, template: &str, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(template)?.strip_prefix('.')?.strip_prefix(self.domain.as_str())?.strip_prefix('/')
    }
}

/// Whether the annotation of a template with this name has the text of a file.
pub(crate) fn is_file(name: &str) -> bool {
    name.starts_with(FILE)
}

/// The parsed value of the annotation `inject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateRequest {
    /// `false`: no template, not even an Automatic one.
    OptOut,
    /// The requested templates in their order, each once. An empty value requests none.
    Templates(Vec<NamedTemplate>),
}

/// A template that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedTemplate {
    pub name: String,
    /// The revision after `@`: 10 hex digits.
    pub revision: Option<String>,
}

impl NamedTemplate {
    /// Reads `name` or `name@revision`.
    fn parse(item: &str) -> Result<Self, Message> {
        let Some((name, revision)) = item.split_once('@') else {
            return Ok(Self { name: item.to_owned(), revision: None });
        };
        let (name, revision) = (name.trim_end(), revision.trim_start());
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if name.is_empty() || revision.len() != REVISION_DIGITS || !revision.bytes().all(is_digit) {
            let expected = ": expected NAME@REVISION, where a revision has 10 of the digits 0-9 and a-f, as in ";
            return Err(message![value(quote(item)), expected, "log-collector@3f2a9c01de"]);
        }
        Ok(Self { name: name.to_owned(), revision: Some(revision.to_owned()) })
    }
}

/// Length of a template's revision.
const REVISION_DIGITS: usize = 10;

/// Parses a value of `inject`. `false` together with names is an error.
pub(crate) fn parse_template_request(text: &str) -> Result<TemplateRequest, Message> {
    let items = parse_list(text)?;
    let mut names: Vec<NamedTemplate> = Vec::with_capacity(items.len());
    for item in &items {
        let named = NamedTemplate::parse(item)?;
        match names.iter().find(|other| other.name == named.name) {
            None => names.push(named),
            Some(other) if *other == named => {}
            Some(_) => {
                let rule = ": a template can be had at one revision only, and this one is named twice: ";
                return Err(message![value(quote(text)), rule, value(quote(&named.name))]);
            }
        }
    }
    match (names.iter().any(|named| named.name == "false"), names.len()) {
        (true, 1) => Ok(TemplateRequest::OptOut),
        (true, _) => {
            let rule = ": \"false\" opts out of all templates and cannot be combined with template names";
            Err(message![value(quote(text)), rule])
        }
        (false, _) => Ok(TemplateRequest::Templates(names)),
    }
}

/// The names in a value of `inject` that can be read; none where it opts out.
#[cfg(feature = "runtime")]
pub(crate) fn requested_names(text: &str) -> Vec<String> {
    match parse_template_request(text) {
        Ok(TemplateRequest::Templates(named)) => named.into_iter().map(|named| named.name).collect(),
        Ok(TemplateRequest::OptOut) | Err(_) => Vec::new(),
    }
}

/// Splits a list at commas, trims its items, and drops empty and repeated items.
pub(crate) fn parse_list(text: &str) -> Result<Vec<String>, Message> {
    let too_long = |length: usize, unit: &'static str, most: usize| {
        message![value(quote(text)), ": a list of ", length, unit, "; at most ", most, " are allowed"]
    };
    if text.len() > MAX_LIST {
        return Err(too_long(text.len(), " bytes", MAX_LIST));
    }
    let mut seen = BTreeSet::new();
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items: Vec<String> = items.filter(|item| seen.insert(*item)).map(str::to_owned).collect();
    if items.len() > MAX_ITEMS {
        return Err(too_long(items.len(), " items", MAX_ITEMS));
    }
    match items.iter().any(|item| item.contains(is_other_separator)).then(|| with_commas(text)).flatten() {
        Some(meant) => {
            let rule = ": expected names separated by commas, without quotes or brackets; did you mean ";
            Err(message![value(quote(text)), rule, value(quote(&meant)), "?"])
        }
        None => Ok(items),
    }
}

/// Characters that no name contains, and with which people separate or wrap names.
fn is_other_separator(character: char) -> bool {
    character.is_whitespace() || ";|&+[](){}<>\"'`".contains(character)
}

/// The list that the author of a text with other separators meant. `None` if other parts of it are
/// no names either.
fn with_commas(text: &str) -> Option<String> {
    let is_separator = |character| character == ',' || is_other_separator(character);
    // A list of YAML begins its items with `-`.
    let names: Vec<&str> = text.split(is_separator).filter(|name| !name.is_empty() && *name != "-").collect();
    let are_names =
        !names.is_empty() && names.len() <= MAX_ITEMS && names.iter().all(|name| check_dns_label(name).is_ok());
    are_names.then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_trimmed_and_deduplicated_in_order() {
        assert_eq!(parse_list(" b ,a,, b,\ta\n"), Ok(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(parse_list(" , "), Ok(Vec::new()));
    }

    #[test]
    fn a_list_longer_than_annotations_can_be_is_refused() {
        assert_eq!(parse_list(&" ".repeat(MAX_LIST)), Ok(Vec::new()));
        assert!(
            parse_list(&"a,".repeat(MAX_LIST)).is_err_and(|error| error.to_string().contains("a list of 524288 bytes"))
        );
    }

    #[test]
    fn the_limit_of_items_does_not_count_repetitions() {
        let list = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(parse_list(&list(MAX_ITEMS)).map(|items| items.len()), Ok(MAX_ITEMS));
        assert!(
            parse_list(&list(MAX_ITEMS + 1))
                .is_err_and(|error| error.to_string().ends_with("257 items; at most 256 are allowed"))
        );
        assert_eq!(parse_list(&"a,".repeat(100_000)), Ok(vec!["a".to_owned()]));
    }

    #[test]
    fn names_that_are_separated_otherwise_are_told_the_right_list() {
        for (text, meant) in [
            ("log proxy", "log, proxy"),
            ("log;proxy", "log, proxy"),
            ("log | proxy", "log, proxy"),
            ("log\nproxy", "log, proxy"),
            ("- log\n- proxy", "log, proxy"),
            ("[log, proxy]", "log, proxy"),
            ("[\"log\",\"proxy\"]", "log, proxy"),
            ("'log'", "log"),
            ("\"false\"", "false"),
        ] {
            let error = parse_list(text).expect_err(text).to_string();
            assert!(error.ends_with(&format!("did you mean \"{meant}\"?")), "{error}");
            assert_eq!(parse_template_request(text).map_err(|error| error.to_string()), Err(error));
        }
        // What are no names otherwise is reported name by name.
        assert_eq!(parse_list("a\nX: b"), Ok(vec!["a\nX: b".to_owned()]));
        assert_eq!(parse_list("Log proxy").map(|items| items.len()), Ok(1));
    }

    #[test]
    fn false_cannot_be_combined_with_names() {
        assert_eq!(parse_template_request(" false ,false"), Ok(TemplateRequest::OptOut));
        assert_eq!(parse_template_request(""), Ok(TemplateRequest::Templates(Vec::new())));
        assert!(parse_template_request("a,false").is_err());
    }

    #[test]
    fn every_file_has_an_annotation_of_its_own_that_kubernetes_accepts() {
        let keys = AnnotationKeys::new("example.org");
        let long = "a".repeat(63);
        let volumes = ["conf", "c", "conf-a", &long];
        let items = ["fluent.conf", "a", ".env", "_", "a.b", "a.b_", "-", &"x".repeat(253), &"x".repeat(252), "FILE"];
        let mut seen = BTreeSet::new();
        for volume in volumes {
            for item in items {
                let key = keys.file("log", volume, item);
                assert_eq!(crate::inject::text::names::check_qualified_name(&key), Ok(()), "{key}");
                assert_eq!(key, keys.file("log", volume, item));
                assert!(keys.parameter_of("log", &key).is_some_and(is_file), "{key}");
                assert!(seen.insert(key), "{volume} {item}");
            }
        }
        assert_eq!(keys.file("log", "conf", "fluent.conf"), "log.example.org/file.conf.fluent.conf");
        assert!(!is_file("files") && !is_file("file"));
    }

    #[test]
    fn a_parameter_key_belongs_to_one_template() {
        let keys = AnnotationKeys::new("example.org");
        assert_eq!(keys.parameter("log", "dir"), "log.example.org/dir");
        assert_eq!(keys.parameter_of("log", "log.example.org/dir"), Some("dir"));
        assert_eq!(keys.parameter_of("log", "log.outrigger.dev/dir"), None);
        assert_eq!(keys.parameter_of("lo", "log.example.org/dir"), None);
    }
}
