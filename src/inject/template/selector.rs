//! Kubernetes label selectors: `matchLabels` and `matchExpressions`.
//!
//! The schema checks types before. An empty selector matches everything.
//!
//! Invariant: a compiled selector has only valid operators, keys and values, so matching cannot
//! fail.

use std::fmt;

use serde_json::Value;

use crate::inject::text::names::{check_label_value, check_qualified_name};
use crate::inject::text::{FieldError, FieldPath, message, quote, value};

const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// All its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Reads a `LabelSelector` object, or lists everything that is wrong with it. `null` is the
    /// empty selector.
    pub(crate) fn parse(value: &Value, path: &FieldPath) -> Result<Self, Vec<FieldError>> {
        let mut parser = SelectorParser::default();
        parser.match_labels(&value["matchLabels"], &path.child("matchLabels"));
        parser.match_expressions(&value["matchExpressions"], &path.child("matchExpressions"));
        if parser.errors.is_empty() { Ok(Self { requirements: parser.requirements }) } else { Err(parser.errors) }
    }

    /// Whether labels, given as a lookup, satisfy every requirement.
    pub(crate) fn matches<'a>(&self, labels: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.operator.holds(labels(&requirement.key)))
    }

    /// Each requirement as text, with the label's value and whether it holds.
    pub(crate) fn requirements<'l>(
        &self,
        labels: impl Fn(&str) -> Option<&'l str>,
    ) -> Vec<(String, Option<&'l str>, bool)> {
        let of = |requirement: &Requirement| {
            let found = labels(&requirement.key);
            (requirement.to_string(), found, requirement.operator.holds(found))
        };
        self.requirements.iter().map(of).collect()
    }

    /// Whether no labels can satisfy both, as far as single labels tell.
    pub(crate) fn is_disjoint_from(&self, other: &Self) -> bool {
        self.requirements.iter().any(|own| {
            other.requirements.iter().any(|theirs| {
                own.key == theirs.key
                    && (own.operator.rules_out(&theirs.operator) || theirs.operator.rules_out(&own.operator))
            })
        })
    }

    /// Whether it matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl fmt::Display for Requirement {
    /// As `kubectl get --selector` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) => match values.as_slice() {
                [value] => write!(f, "{key}={value}"),
                values => write!(f, "{key} in ({})", values.join(", ")),
            },
            Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(", ")),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl Operator {
    /// Whether no label that satisfies this one satisfies the other.
    fn rules_out(&self, other: &Self) -> bool {
        match self {
            Self::In(values) => !values.iter().any(|value| other.holds(Some(value))),
            Self::DoesNotExist => !other.holds(None),
            Self::NotIn(_) | Self::Exists => false,
        }
    }

    fn holds(&self, label: Option<&str>) -> bool {
        let is_in = |values: &[String]| label.is_some_and(|label| values.iter().any(|value| value == label));
        match self {
            Self::In(values) => is_in(values),
            // An absent label matches `NotIn`, as in Kubernetes.
            Self::NotIn(values) => !is_in(values),
            Self::Exists => label.is_some(),
            Self::DoesNotExist => label.is_none(),
        }
    }
}

#[derive(Default)]
struct SelectorParser {
    requirements: Vec<Requirement>,
    errors: Vec<FieldError>,
}

impl SelectorParser {
    fn match_labels(&mut self, labels: &Value, path: &FieldPath) {
        for (key, value) in labels.as_object().into_iter().flatten() {
            let path = path.key(key.as_str());
            let value = value.as_str().unwrap_or_default();
            self.check_key(key, &path);
            self.check_value(value, &path);
            self.requirements.push(Requirement { key: key.clone(), operator: Operator::In(vec![value.to_owned()]) });
        }
    }

    fn match_expressions(&mut self, expressions: &Value, path: &FieldPath) {
        for (index, expression) in expressions.as_array().into_iter().flatten().enumerate() {
            self.expression(expression, &path.index(index));
        }
    }

    fn expression(&mut self, expression: &Value, path: &FieldPath) {
        let key = expression["key"].as_str().unwrap_or_default();
        self.check_key(key, &path.child("key"));
        let values = self.values(&expression["values"], &path.child("values"));
        let operator = match expression["operator"].as_str().unwrap_or_default() {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return self.unknown_operator(other, path),
        };
        self.check_presence(&operator, &expression["values"], path);
        self.requirements.push(Requirement { key: key.to_owned(), operator });
    }

    fn values(&mut self, values: &Value, path: &FieldPath) -> Vec<String> {
        let values: Vec<String> = values
            .as_array()
            .into_iter()
            .flatten()
            .map(|value| value.as_str().unwrap_or_default().to_owned())
            .collect();
        for (index, value) in values.iter().enumerate() {
            self.check_value(value, &path.index(index));
        }
        values
    }

    fn unknown_operator(&mut self, operator: &str, path: &FieldPath) {
        let message = message![value(quote(operator)), " must be one of In, NotIn, Exists, DoesNotExist"];
        self.errors.push(FieldError::new(path.child("operator"), message).near(operator, OPERATORS));
    }

    /// `In` and `NotIn` need values, the others take none.
    fn check_presence(&mut self, operator: &Operator, values: &Value, path: &FieldPath) {
        let given = values.as_array().is_some_and(|values| !values.is_empty());
        let message = match operator {
            Operator::In(_) | Operator::NotIn(_) if !given => "must be specified when operator is In or NotIn",
            Operator::Exists | Operator::DoesNotExist if given => {
                "may not be specified when operator is Exists or DoesNotExist"
            }
            _ => return,
        };
        self.errors.push(FieldError::new(path.child("values"), message));
    }

    fn check_key(&mut self, key: &str, path: &FieldPath) {
        if let Err(expected) = check_qualified_name(key) {
            self.errors.push(FieldError::new(path.clone(), message!["the key ", value(quote(key)), " ", expected]));
        }
    }

    fn check_value(&mut self, text: &str, path: &FieldPath) {
        if let Err(expected) = check_label_value(text) {
            self.errors.push(FieldError::new(path.clone(), message![value(quote(text)), " ", expected]));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selector(value: &Value) -> LabelSelector {
        LabelSelector::parse(value, &FieldPath::root().child("podSelector")).unwrap()
    }

    fn expression(operator: &str, values: &[&str]) -> LabelSelector {
        selector(&json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}))
    }

    fn errors(value: &Value) -> Vec<String> {
        let errors = LabelSelector::parse(value, &FieldPath::root().child("podSelector")).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    }

    fn matches(selector: &LabelSelector, labels: &[(&str, &'static str)]) -> bool {
        selector.matches(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    #[test]
    fn an_empty_selector_matches_everything() {
        for value in
            [json!({}), json!(null), json!({"matchLabels": {}, "matchExpressions": []}), json!({"matchLabels": null})]
        {
            assert!(selector(&value).is_empty());
            assert!(matches(&selector(&value), &[]));
            assert!(matches(&selector(&value), &[("a", "b")]));
        }
    }

    #[test]
    fn all_labels_must_match() {
        let both = selector(&json!({"matchLabels": {"app": "web", "tier": ""}}));
        assert!(matches(&both, &[("app", "web"), ("tier", ""), ("other", "x")]));
        assert!(!matches(&both, &[("app", "web")]));
        assert!(!matches(&both, &[("app", "db"), ("tier", "")]));
    }

    #[test]
    fn labels_and_expressions_hold_together() {
        let both = selector(
            &json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}),
        );
        assert!(matches(&both, &[("app", "web")]));
        assert!(!matches(&both, &[("app", "web"), ("gpu", "1")]));
        assert!(!matches(&both, &[]));
    }

    #[test]
    fn each_operator_matches_as_in_kubernetes() {
        for (selector, equal, other, absent) in [
            (expression("In", &["web", "api"]), true, false, false),
            (expression("NotIn", &["web", "api"]), false, true, true),
            (expression("Exists", &[]), true, true, false),
            (expression("DoesNotExist", &[]), false, false, true),
        ] {
            assert_eq!(matches(&selector, &[("app", "api")]), equal, "{selector:?}");
            assert_eq!(matches(&selector, &[("app", "db")]), other, "{selector:?}");
            assert_eq!(matches(&selector, &[("x", "api")]), absent, "{selector:?}");
        }
    }

    #[test]
    fn all_errors_are_listed() {
        let value = json!({
            "matchLabels": {"a b": "-"},
            "matchExpressions": [
                {"key": "", "operator": "in", "values": ["ok", "no!"]},
                {"key": "app", "operator": "In"},
                {"key": "app", "operator": "Exists", "values": ["x"]},
                {"key": "app", "operator": "NotIn", "values": []},
            ],
        });
        let found = errors(&value);
        let starts = [
            "podSelector.matchLabels[a b]: the key \"a b\" must be a qualified name",
            "podSelector.matchLabels[a b]: \"-\" must be a label value",
            "podSelector.matchExpressions[0].key: the key \"\" must be a qualified name",
            "podSelector.matchExpressions[0].values[1]: \"no!\" must be a label value",
            "podSelector.matchExpressions[0].operator: \"in\" must be one of In, NotIn, Exists, DoesNotExist; did you mean \"In\"?",
            "podSelector.matchExpressions[1].values: must be specified when operator is In or NotIn",
            "podSelector.matchExpressions[2].values: may not be specified when operator is Exists or DoesNotExist",
            "podSelector.matchExpressions[3].values: must be specified when operator is In or NotIn",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (error, start) in found.iter().zip(starts) {
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn selectors_are_disjoint_where_one_label_rules_out_both() {
        let selector = |value: Value| LabelSelector::parse(&value, &FieldPath::root()).expect("a selector");
        let equals = |value: &str| selector(json!({"matchLabels": {"a": value}}));
        let expression = |operator: &str| selector(json!({"matchExpressions": [{"key": "a", "operator": operator}]}));
        let not_in = selector(json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}));
        for (one, other, expected) in [
            (equals("1"), equals("2"), true),
            (equals("1"), equals("1"), false),
            (equals("1"), selector(json!({"matchLabels": {"b": "2"}})), false),
            (equals("1"), expression("DoesNotExist"), true),
            (equals("1"), expression("Exists"), false),
            (equals("1"), not_in.clone(), true),
            (equals("2"), not_in, false),
            (expression("Exists"), expression("DoesNotExist"), true),
            (LabelSelector::default(), equals("1"), false),
        ] {
            assert_eq!(one.is_disjoint_from(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.is_disjoint_from(&one), expected, "{other:?} {one:?}");
        }
    }
}
