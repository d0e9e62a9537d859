//! Automatic templates of objects: which pods they select, as far as labels tell.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::api::template_object::ObjectKey;
use crate::inject::template::selector::LabelSelector;
use crate::inject::text::FieldPath;

/// Labels of a pod or of a namespace.
type Labels = BTreeMap<String, String>;

/// A template that chooses its pods itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AutomaticTemplate {
    pub key: ObjectKey,
    pods: LabelSelector,
    namespaces: LabelSelector,
    /// Whether more than labels decides.
    pub is_conditional: bool,
    /// The namespaces whose own template takes its place.
    pub replaced_in: BTreeSet<String>,
}

/// A template that a pod would be given unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub name: String,
    /// Whether it is not known, because more than labels decides.
    pub is_uncertain: bool,
}

impl AutomaticTemplate {
    /// `None` if the spec is that of another template, or cannot be read.
    pub(super) fn of(key: &ObjectKey, spec: &Value) -> Option<Self> {
        let matching = spec.get("match").unwrap_or(&Value::Null);
        let selector =
            |field: &str| LabelSelector::parse(matching.get(field).unwrap_or(&Value::Null), &FieldPath::root()).ok();
        let is_automatic = spec.get("injection").is_some_and(|injection| injection == "Automatic");
        let has_items = |field: &str| matching.get(field).and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        is_automatic.then_some(Self {
            key: key.clone(),
            pods: selector("podSelector")?,
            namespaces: selector("namespaceSelector")?,
            is_conditional: has_items("conditions") || has_items("os"),
            replaced_in: BTreeSet::new(),
        })
    }

    /// Whether pods of this namespace can get it.
    pub(super) fn reaches(&self, namespace: &str, labels: &Labels) -> bool {
        let is_visible = self.key.namespace.as_deref().is_none_or(|own| own == namespace);
        is_visible && !self.replaced_in.contains(namespace) && matches(&self.namespaces, labels)
    }

    pub(super) fn select(&self, labels: &Labels) -> Option<Selected> {
        let selected = || Selected { name: self.key.name.clone(), is_uncertain: self.is_conditional };
        matches(&self.pods, labels).then(selected)
    }
}

fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.matches(|key| labels.get(key).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_of_pods_and_namespaces_select() {
        let key = ObjectKey { namespace: None, name: "agent".to_owned() };
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let spec = |matching: Value| json!({"injection": "Automatic", "match": matching});
        let found = |matching: Value| AutomaticTemplate::of(&key, &spec(matching)).expect("it is Automatic");
        let web = found(json!({"podSelector": {"matchLabels": {"app": "web"}}}));
        let selected = Selected { name: "agent".to_owned(), is_uncertain: false };
        assert_eq!(web.select(&labels(&[("app", "web")])), Some(selected));
        assert_eq!(web.select(&labels(&[("app", "db")])), None);
        let tier = found(json!({"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
            "conditions": [{"expression": "true", "message": "x"}]}));
        assert!(tier.reaches("shop", &labels(&[("tier", "a")])) && !tier.reaches("shop", &labels(&[])));
        assert!(tier.select(&labels(&[])).is_some_and(|selected| selected.is_uncertain));
        let key = ObjectKey { namespace: Some("shop".to_owned()), ..key.clone() };
        let own = AutomaticTemplate::of(&key, &spec(json!({"podSelector": {}}))).expect("it is Automatic");
        assert!(own.reaches("shop", &labels(&[])) && !own.reaches("other", &labels(&[])));
        assert_eq!(AutomaticTemplate::of(&key, &json!({"match": {"podSelector": {}}})), None);
        assert_eq!(AutomaticTemplate::of(&key, &spec(json!({"podSelector": {"matchLabels": {"a b": "c"}}}))), None);
    }
}
