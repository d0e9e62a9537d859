//! Checks a value against its schema and lists all errors with their paths.
//!
//! Paths are built only for errors, so that checking a valid value allocates nothing.

use serde_json::{Map, Value};

use super::{SchemaRef, SchemaType};
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{FieldError, FieldPath, Message, listed, message, nearest_within, quote, value, words};

/// Most edits between an unknown field and the known one that it is a misspelling of.
const MAX_EDITS: usize = 2;

/// Whether expressions (`${…}`) are allowed in place of values.
#[derive(Clone, Copy)]
pub(crate) enum Expressions {
    /// A template: at the paths for which the function holds, a string with an expression may
    /// render to any scalar, list or map.
    Allowed(fn(&FieldPath) -> bool),
    /// A rendered result: `${` has no meaning.
    Rendered,
}

/// What is wrong with a value.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub errors: Vec<FieldError>,
    /// Fields that this build does not know and the API server may.
    pub unknown: Vec<UnknownField>,
}

/// A field of core/v1 that this build does not know.
#[derive(Debug)]
pub(crate) struct UnknownField {
    pub name: String,
    pub error: FieldError,
    /// Whether the name is a misspelling of a known field rather than a newer field.
    pub is_near: bool,
}

/// Lists all differences between the value, which is at `path`, and the schema.
pub(crate) fn check(root: SchemaRef<'_>, value: &Value, path: &FieldPath, expressions: Expressions) -> Findings {
    let mut checker = SchemaChecker { expressions, findings: Findings::default() };
    checker.value(root, value, &Trail::Root(path));
    checker.findings
}

/// Whether the text contains a `${` that is not escaped as `$${`.
pub(crate) fn has_expression(text: &str) -> bool {
    text.match_indices("${").any(|(start, _)| !text[..start].ends_with('$'))
}

/// A path that borrows its steps and its parents.
pub(super) enum Trail<'a> {
    Root(&'a FieldPath),
    Child(&'a Self, &'a str),
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl Trail<'_> {
    pub(super) fn path(&self) -> FieldPath {
        match self {
            Self::Root(path) => (*path).clone(),
            Self::Child(parent, name) => parent.path().child(*name),
            Self::Key(parent, key) => parent.path().key(*key),
            Self::Index(parent, index) => parent.path().index(*index),
        }
    }
}

struct SchemaChecker {
    expressions: Expressions,
    findings: Findings,
}

impl SchemaChecker {
    fn value(&mut self, schema: SchemaRef<'_>, value: &Value, trail: &Trail<'_>) {
        if self.stands_for_anything(value, trail) {
            return;
        }
        match (schema.kind(), value) {
            (SchemaType::Any, _) | (SchemaType::String | SchemaType::IntOrString, Value::String(_)) => {}
            (SchemaType::Boolean, Value::Bool(_)) | (SchemaType::Number, Value::Number(_)) => {}
            (SchemaType::Object, Value::Object(members)) => self.object(schema, members, trail),
            (SchemaType::Map, Value::Object(members)) => self.map(schema, members, trail),
            (SchemaType::Array, Value::Array(items)) => self.array(schema, items, trail),
            (SchemaType::Integer | SchemaType::IntOrString, Value::Number(number)) if !number.is_f64() => {
                self.integer(schema, value, trail)
            }
            (SchemaType::Quantity, Value::String(_) | Value::Number(_)) => self.quantity(value, trail),
            (kind, _) => self.findings.errors.push(self.wrong_type(kind, value, trail)),
        }
    }

    /// Null is absent, and an expression is checked when it is rendered.
    fn stands_for_anything(&self, value: &Value, trail: &Trail<'_>) -> bool {
        match (value, self.expressions) {
            (Value::Null, _) => true,
            (Value::String(text), Expressions::Allowed(at)) => has_expression(text) && at(&trail.path()),
            _ => false,
        }
    }

    fn wrong_type(&self, kind: SchemaType, found: &Value, trail: &Trail<'_>) -> FieldError {
        let error = FieldError::new(trail.path(), wrong_type(kind, found));
        match (self.expressions, found) {
            (Expressions::Allowed(_), Value::String(text)) if has_expression(text) => {
                let (message, hint) = match kind {
                    SchemaType::Array => ("expected a list".into(), "an expression may stand for an element"),
                    SchemaType::Map | SchemaType::Object => {
                        ("expected a map".into(), "an expression may stand for a value")
                    }
                    _ => (error.message, "an expression cannot stand here"),
                };
                FieldError::new(error.path, message).with_hint(hint).at_value()
            }
            _ => error,
        }
    }

    fn object(&mut self, schema: SchemaRef<'_>, members: &Map<String, Value>, trail: &Trail<'_>) {
        for (name, value) in members {
            let trail = Trail::Child(trail, name);
            match schema.child(name) {
                Some(field) => self.value(field, value, &trail),
                None => self.unknown(schema, name, &trail),
            }
        }
        for name in schema.required().filter(|name| members.get(*name).is_none_or(Value::is_null)) {
            self.error(&Trail::Child(trail, name), "required field is missing".into());
        }
    }

    fn unknown(&mut self, schema: SchemaRef<'_>, name: &str, trail: &Trail<'_>) {
        let finding = FieldError::new(trail.path(), "unknown field").near(name, schema.field_names());
        if schema.is_strict() {
            let fields = || message!["expected ", words(listed(&schema.field_names().collect::<Vec<_>>()))];
            let hint = finding.hint.or_else(|| Some(fields()));
            self.findings.errors.push(FieldError { hint, ..finding });
        } else {
            let is_near = nearest_within(name, schema.field_names(), MAX_EDITS).is_some();
            self.findings.unknown.push(UnknownField { name: name.to_owned(), error: finding, is_near });
        }
    }

    fn map(&mut self, schema: SchemaRef<'_>, members: &Map<String, Value>, trail: &Trail<'_>) {
        let Some(item) = schema.item() else { return };
        for (key, value) in members {
            self.value(item, value, &Trail::Key(trail, key));
        }
    }

    fn array(&mut self, schema: SchemaRef<'_>, items: &[Value], trail: &Trail<'_>) {
        let Some(item) = schema.item() else { return };
        for (index, value) in items.iter().enumerate() {
            let trail = Trail::Index(trail, index);
            // In a template it would vanish, and an API server would make an empty text of it.
            if value.is_null() && matches!(self.expressions, Expressions::Allowed(_)) {
                self.error(&trail, "the item has no value; remove it, or write what is meant".into());
            } else {
                self.value(item, value, &trail);
            }
        }
    }

    fn integer(&mut self, schema: SchemaRef<'_>, found: &Value, trail: &Trail<'_>) {
        let (least, most) = schema.node.bounds;
        let number = found.as_i64().map(i128::from).or_else(|| found.as_u64().map(i128::from));
        if number.is_some_and(|number| !(least..=most).contains(&number)) {
            let bounds = words(format_args!("expected an integer from {least} to {most}"));
            self.error(trail, message![bounds, ", found ", value(found)]);
        }
    }

    fn quantity(&mut self, found: &Value, trail: &Trail<'_>) {
        if let Err(expected) = Quantity::from_json(found) {
            let text = found.as_str().map_or_else(|| found.to_string(), quote);
            self.error(trail, message![value(text), " ", expected]);
        }
    }

    fn error(&mut self, trail: &Trail<'_>, message: Message) {
        self.findings.errors.push(FieldError::new(trail.path(), message));
    }
}

fn wrong_type(kind: SchemaType, found: &Value) -> Message {
    let expected = match kind {
        SchemaType::Object | SchemaType::Map => "a map",
        SchemaType::Array => "a list",
        SchemaType::String => "a string",
        SchemaType::Integer => "an integer",
        SchemaType::Number => "a number",
        SchemaType::Boolean => "a boolean",
        SchemaType::IntOrString => "an integer or a string",
        SchemaType::Quantity => "a quantity",
        SchemaType::Any => "anything",
    };
    let advice = match found {
        // The file may spell the value differently (`1.10`, `0644`, `y`), so the hint proposes no
        // spelling.
        Value::Number(_) | Value::Bool(_) if kind == SchemaType::String => "; put it in quotes".into(),
        Value::String(text) if takes_unquoted(kind, text) => message!["; write ", value(text), " without quotes"],
        _ => Message::default(),
    };
    message!["expected ", expected, ", found ", described(found), advice]
}

/// Whether the text, without its quotes, is a valid value with the same meaning; `0644` would be
/// octal.
fn takes_unquoted(kind: SchemaType, text: &str) -> bool {
    match kind {
        SchemaType::Integer => text.parse().is_ok_and(|number: i64| number.to_string() == text),
        SchemaType::Number => text.parse().is_ok_and(|number: f64| number.to_string() == text),
        SchemaType::Boolean => matches!(text, "true" | "false"),
        _ => false,
    }
}

fn described(found: &Value) -> Message {
    match found {
        Value::Null => "null".into(),
        Value::Bool(flag) => message!["the boolean ", value(flag)],
        Value::Number(number) if number.is_f64() => message!["the number ", value(number)],
        Value::Number(number) => message!["the integer ", value(number)],
        Value::String(text) => message!["the string ", value(quote(text))],
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a map".into(),
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::super::Schema;
    use super::super::tests::{container, pod_spec, volume};
    use super::*;

    fn findings(schema: SchemaRef<'_>, value: &Value, expressions: Expressions) -> (Vec<String>, Vec<String>) {
        let found = check(schema, value, &FieldPath::root().child("spec").child("sidecars").index(0), expressions);
        let show = |findings: Vec<FieldError>| findings.iter().map(ToString::to_string).collect();
        (show(found.errors), show(found.unknown.into_iter().map(|field| field.error).collect()))
    }

    fn errors(schema: SchemaRef<'_>, value: &Value) -> Vec<String> {
        findings(schema, value, Expressions::Rendered).0
    }

    #[test]
    fn a_good_container_has_no_findings() {
        let good = json!({
            "name": "web", "image": "nginx:1", "args": ["-c", "1"], "command": null, "stdin": true,
            "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 5},
            "readinessProbe": {"tcpSocket": {"port": 80}},
            "resources": {"limits": {"cpu": 1, "memory": "1Gi", "x.com/gpu": "2"}, "requests": {"cpu": 0.5}},
            "volumeMounts": [{"name": "a", "mountPath": "/a"}],
        });
        assert_eq!(findings(container(), &good, Expressions::Rendered), (vec![], vec![]));
    }

    #[test]
    fn all_problems_are_listed() {
        let bad = json!({
            "image": 7, "args": "x", "imagee": "y", "stdin": "true", "tty": 1, "ports": [{"containerPort": "80"}, {"containerPort": 80.0}, 3],
            "env": [{"name": "A", "value": 8080}, {"name": "B", "value": true}, {"value": "1"}, {"name": null}],
            "resources": {"limits": {"cpu": "banana", "memory": true}},
            "livenessProbe": {"httpGet": {"port": 1.5}, "httpget": {}},
        });
        let (errors, warnings) = findings(container(), &bad, Expressions::Rendered);
        assert_eq!(
            errors,
            [
                "spec.sidecars[0].args: expected a list, found the string \"x\"",
                "spec.sidecars[0].env[0].value: expected a string, found the integer 8080; put it in quotes",
                "spec.sidecars[0].env[1].value: expected a string, found the boolean true; put it in quotes",
                "spec.sidecars[0].env[2].name: required field is missing",
                "spec.sidecars[0].env[3].name: required field is missing",
                "spec.sidecars[0].image: expected a string, found the integer 7; put it in quotes",
                "spec.sidecars[0].livenessProbe.httpGet.port: expected an integer or a string, found the number 1.5",
                "spec.sidecars[0].ports[0].containerPort: expected an integer, found the string \"80\"; write 80 without quotes",
                "spec.sidecars[0].ports[1].containerPort: expected an integer, found the number 80.0",
                "spec.sidecars[0].ports[2]: expected a map, found the integer 3",
                "spec.sidecars[0].resources.limits[cpu]: \"banana\" must be a quantity, such as \"500m\", \"1.5\", \"128Mi\" or \"1e3\"",
                "spec.sidecars[0].resources.limits[memory]: expected a quantity, found the boolean true",
                "spec.sidecars[0].stdin: expected a boolean, found the string \"true\"; write true without quotes",
                "spec.sidecars[0].tty: expected a boolean, found the integer 1",
                "spec.sidecars[0].name: required field is missing",
            ]
        );
        assert_eq!(
            warnings,
            [
                "spec.sidecars[0].imagee: unknown field; did you mean \"image\"?",
                "spec.sidecars[0].livenessProbe.httpget: unknown field; did you mean \"httpGet\"?",
            ]
        );
    }

    #[test]
    fn hints_never_change_the_meaning_of_a_value() {
        let advice = |value: Value| errors(container(), &json!({"name": "a", "image": value})).remove(0);
        assert_eq!(
            advice(json!(1.1)),
            "spec.sidecars[0].image: expected a string, found the number 1.1; put it in quotes"
        );
        let errors = errors(container(), &json!({"name": "a", "ports": [{"containerPort": "0644"}]}));
        assert_eq!(errors, ["spec.sidecars[0].ports[0].containerPort: expected an integer, found the string \"0644\""]);
    }

    #[test]
    fn integers_keep_their_bounds() {
        assert_eq!(
            errors(container(), &json!({"name": "a", "ports": [{"containerPort": 2_147_483_648_u64}]})),
            [
                "spec.sidecars[0].ports[0].containerPort: expected an integer from -2147483648 to 2147483647, found 2147483648",
            ]
        );
        assert_eq!(
            errors(pod_spec(), &json!({"containers": [], "terminationGracePeriodSeconds": u64::MAX})),
            [
                "spec.sidecars[0].terminationGracePeriodSeconds: expected an integer from -9223372036854775808 to 9223372036854775807, \
             found 18446744073709551615",
            ]
        );
        assert_eq!(errors(pod_spec(), &json!({"containers": [], "terminationGracePeriodSeconds": i64::MIN})), [""; 0]);
    }

    #[test]
    fn expressions_are_allowed_in_templates_and_not_in_results() {
        let value = json!({
            "name": "a", "ports": "${params.ports}", "stdin": "${params.stdin}", "args": ["${x}"],
            "resources": {"limits": {"memory": "${params.mib}Mi"}},
            "livenessProbe": {"periodSeconds": "${params.seconds}"},
        });
        assert_eq!(findings(container(), &value, Expressions::Allowed(|_| true)), (vec![], vec![]));
        let paths: Vec<String> = check(container(), &value, &FieldPath::root(), Expressions::Rendered)
            .errors
            .iter()
            .map(|error| error.path.to_string())
            .collect();
        assert_eq!(paths, ["livenessProbe.periodSeconds", "ports", "resources.limits[memory]", "stdin"]);
    }

    #[test]
    fn an_escaped_expression_is_text() {
        let value = json!({"name": "a", "stdin": "$${x}", "tty": "$${x}${y}"});
        let (errors, _) = findings(container(), &value, Expressions::Allowed(|_| true));
        assert_eq!(errors, ["spec.sidecars[0].stdin: expected a boolean, found the string \"$${x}\""]);
    }

    #[test]
    fn an_expression_that_cannot_stand_at_a_path_is_an_error_at_its_value() {
        let value = json!({"name": "a", "args": "${x}", "resources": "${x}", "tty": "${x}", "image": "${x}"});
        let (errors, _) = findings(container(), &value, Expressions::Allowed(|_| false));
        assert_eq!(
            errors,
            [
                "spec.sidecars[0].args: expected a list; an expression may stand for an element",
                "spec.sidecars[0].resources: expected a map; an expression may stand for a value",
                "spec.sidecars[0].tty: expected a boolean, found the string \"${x}\"; an expression cannot stand here",
            ]
        );
    }

    #[test]
    fn a_misspelt_field_is_near_and_a_new_one_is_not() {
        let value = json!({
            "name": "a", "comand": [], "Image": "x", "readyProbe": {}, "resources": {"limit": {}},
            "securityContext": {"runAsuser": 5, "readonlyRootFilesystem": true, "mountProtection": true},
        });
        let found = check(container(), &value, &FieldPath::root(), Expressions::Rendered).unknown;
        let near: Vec<(&str, bool)> = found.iter().map(|field| (field.name.as_str(), field.is_near)).collect();
        assert_eq!(
            near,
            [
                ("Image", true),
                ("comand", true),
                ("readyProbe", false),
                ("limit", true),
                ("mountProtection", false),
                ("readonlyRootFilesystem", true),
                ("runAsuser", true),
            ]
        );
    }

    #[test]
    fn an_unknown_key_of_a_label_selector_is_an_error() {
        let terms = json!([{"topologyKey": "a", "labelSelector": {"matchlabels": {}, "tier": "db"}}]);
        let value = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
        let affinity = pod_spec().child("affinity").unwrap();
        let errors = errors(affinity, &value);
        assert_eq!(errors.len(), 2, "{errors:#?}");
        assert!(errors[0].ends_with("matchlabels: unknown field; did you mean \"matchLabels\"?"), "{errors:#?}");
        assert!(errors[1].ends_with("tier: unknown field; expected matchExpressions, matchLabels"), "{errors:#?}");
    }

    #[test]
    fn a_null_in_a_list_is_no_item() {
        let value = json!({"name": "web", "image": "nginx:1", "args": [null, "a"]});
        let (errors, _) = findings(container(), &value, Expressions::Allowed(|_| true));
        assert_eq!(errors, ["spec.sidecars[0].args[0]: the item has no value; remove it, or write what is meant"]);
        assert_eq!(findings(container(), &value, Expressions::Rendered), (vec![], vec![]));
    }

    #[test]
    fn null_is_absent_everywhere() {
        let value = json!({"name": "v", "emptyDir": {"sizeLimit": null, "medium": null}, "hostPath": null});
        assert_eq!(findings(volume(), &value, Expressions::Rendered), (vec![], vec![]));
        assert_eq!(errors(volume(), &json!({"name": null})), ["spec.sidecars[0].name: required field is missing"]);
    }

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the schema is made of it")]
    struct Strict {
        name: String,
        inner: Option<Box<Strict>>,
        open: Option<serde_json::Value>,
    }

    #[test]
    fn an_unknown_field_is_an_error_in_a_strict_schema() {
        let schema = Schema::of::<Strict>();
        let value = json!({"name": "a", "inner": {"nam": "x"}, "open": {"anything": [1]}});
        let (errors, warnings) = findings(schema.root(), &value, Expressions::Rendered);
        assert_eq!(
            errors,
            [
                "spec.sidecars[0].inner.nam: unknown field; did you mean \"name\"?",
                "spec.sidecars[0].inner.name: required field is missing",
            ]
        );
        assert_eq!(warnings, [""; 0]);
    }
}
