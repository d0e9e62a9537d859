//! Every annotation and label key that is read or written, in one table; and lists in their values.

use super::text::message::{Message, message, value};
use super::text::quote::quote;
use std::collections::HashSet;

/// Most items of a list: more than any pod has a use for, few enough to answer for each.
const MAX_ITEMS: usize = 256;

/// All annotations of a pod together have no more.
const MAX_LIST: usize = 256 * 1024;

/// The domain of all keys unless the operator names another.
pub const DEFAULT_DOMAIN: &str = "outrigger.dev";
/// Kubernetes' own: the container that `kubectl logs` and `exec` mean.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Kubernetes' own: a pod that mirrors a static pod.
pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";
/// Kubernetes' own: name of a namespace as its label.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Kubernetes' own: operating system of a node.
pub const NODE_OS: &str = "kubernetes.io/os";

/// The keys under one domain.
#[derive(Clone, Debug)]
pub struct AnnotationKeys {
    domain: String,
    /// Annotation of a pod or namespace: templates asked for.
    pub inject: String,
    /// Annotation of a pod: app containers that `app` touches.
    pub containers: String,
    /// Annotation that Outrigger writes: what was put in.
    pub status: String,
    /// Label of a namespace: `enabled` or `disabled`.
    pub injection: String,
}

impl AnnotationKeys {
    pub fn new(domain: &str) -> Self {
        let key = |name: &str| format!("{domain}/{name}");
        Self {
            domain: domain.to_owned(),
            inject: key("inject"),
            containers: key("containers"),
            status: key("status"),
            injection: key("injection"),
        }
    }

    /// Annotation that sets a parameter.
    pub fn parameter(&self, template: &str, parameter: &str) -> String {
        format!("{template}.{}/{parameter}", self.domain)
    }

    /// Label that says which revision of a template the pod carries.
    pub fn revision(&self, template: &str) -> String {
        self.parameter(template, "revision")
    }

    /// Whether a key belongs to the domain: templates must not write such keys themselves.
    pub fn owns(&self, key: &str) -> bool {
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        prefix == self.domain || prefix.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }

    /// The parameter that a key sets for this template.
    pub fn parameter_of<'k>(&self, template: &str, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(template)?.strip_prefix('.')?.strip_prefix(self.domain.as_str())?.strip_prefix('/')
    }
}

/// What a value of `inject` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateList {
    /// `false`: nothing, Automatic templates neither.
    OptOut,
    /// These templates, in this order, each once; none at all for an empty value.
    Templates(Vec<String>),
}

/// Reads a value of `inject`. `false` beside names contradicts itself.
pub fn parse_template_list(text: &str) -> Result<TemplateList, Message> {
    let names = parse_list(text)?;
    match (names.iter().any(|name| name == "false"), names.len()) {
        (true, 1) => Ok(TemplateList::OptOut),
        (true, _) => {
            let rule = ": \"false\" opts out of all templates and cannot be combined with template names";
            Err(message![value(quote(text)), rule])
        }
        (false, _) => Ok(TemplateList::Templates(names)),
    }
}

/// Splits at commas, trims, drops empty items and repetitions.
pub fn parse_list(text: &str) -> Result<Vec<String>, Message> {
    let too_long = |length: usize, unit: &'static str, most: usize| {
        message![value(quote(text)), ": a list of ", length, unit, "; at most ", most, " are allowed"]
    };
    if text.len() > MAX_LIST {
        return Err(too_long(text.len(), " bytes", MAX_LIST));
    }
    let mut seen = HashSet::new();
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items: Vec<String> = items.filter(|item| seen.insert(*item)).map(str::to_owned).collect();
    if items.len() > MAX_ITEMS {
        return Err(too_long(items.len(), " items", MAX_ITEMS));
    }
    Ok(items)
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
    fn a_list_is_no_longer_than_annotations_can_be() {
        assert_eq!(parse_list(&" ".repeat(MAX_LIST)), Ok(Vec::new()));
        assert!(
            parse_list(&"a,".repeat(MAX_LIST)).is_err_and(|error| error.to_string().contains("a list of 524288 bytes"))
        );
    }

    #[test]
    fn a_list_is_bounded_without_its_repetitions() {
        let list = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(parse_list(&list(MAX_ITEMS)).map(|items| items.len()), Ok(MAX_ITEMS));
        assert!(
            parse_list(&list(MAX_ITEMS + 1))
                .is_err_and(|error| error.to_string().ends_with("257 items; at most 256 are allowed"))
        );
        assert_eq!(parse_list(&"a,".repeat(100_000)), Ok(vec!["a".to_owned()]));
    }

    #[test]
    fn false_stands_alone() {
        assert_eq!(parse_template_list(" false ,false"), Ok(TemplateList::OptOut));
        assert_eq!(parse_template_list(""), Ok(TemplateList::Templates(Vec::new())));
        assert!(parse_template_list("a,false").is_err());
    }

    #[test]
    fn parameters_belong_to_one_template() {
        let keys = AnnotationKeys::new("example.org");
        assert_eq!(keys.parameter("log", "dir"), "log.example.org/dir");
        assert_eq!(keys.parameter_of("log", "log.example.org/dir"), Some("dir"));
        assert_eq!(keys.parameter_of("log", "log.outrigger.dev/dir"), None);
        assert_eq!(keys.parameter_of("lo", "log.example.org/dir"), None);
    }
}
