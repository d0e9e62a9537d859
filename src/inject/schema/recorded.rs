//! The schemas of templates and of the variables of expressions, which a test derives from the types and records in files.
//!
//! Deriving them at run time would make the program a twentieth larger. The files leave out the
//! descriptions, enumerated values and patterns of Kubernetes' types, which the schema check does
//! not use. Those of our own types are for editors.
//!
//! Invariant: a recorded schema is equal to the one that its type derives.

/// The schema of `TemplateDocument`; a test in `template/spec.rs` compares the two.
pub(in crate::inject) const TEMPLATE: &str = include_str!("template.json");
/// The schema of the variables of expressions, by name.
pub(super) const VARIABLES: &str = include_str!("variables.json");

#[cfg(test)]
pub(in crate::inject) use tests::{assert_recorded, root_schema_of};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::path::Path;

    use k8s_openapi::api::core::v1::{Container, Pod};
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;
    use serde_json::{Map, Value};

    use super::*;
    use crate::inject::schema::Schema;

    /// As the type writes it.
    pub(crate) fn root_schema_of<T: JsonSchema>() -> Value {
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema is made of it")]
    struct Variables {
        pod: Pod,
        app: Container,
        apps: Vec<Container>,
        container: Container,
        namespace: Namespace,
        cluster: Cluster,
        templates: Vec<String>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema is made of it")]
    struct Namespace {
        name: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema is made of it")]
    struct Cluster {
        version: String,
    }

    #[test]
    fn the_recorded_schema_of_variables_equals_that_of_its_type() {
        assert_recorded::<Variables>("variables.json", VARIABLES);
    }

    /// Set OUTRIGGER_RECORD_SCHEMAS=1 to write the file instead of comparing it.
    pub(crate) fn assert_recorded<T: JsonSchema>(name: &str, recorded: &str) {
        let expected = one_line_a_definition(&kept_parts(&root_schema_of::<T>(), Origin::Own));
        if std::env::var_os("OUTRIGGER_RECORD_SCHEMAS").is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inject/schema");
            return std::fs::write(folder.join(name), expected).expect("the file can be written");
        }
        assert!(
            recorded == expected,
            "src/inject/schema/{name} is not what the type says; write it anew with \
             `OUTRIGGER_RECORD_SCHEMAS=1 cargo test --lib the_recorded_schema`"
        );
        assert_eq!(format!("{:?}", Schema::read(recorded)), format!("{:?}", Schema::of::<T>()), "{name}");
    }

    /// Whose type a schema describes.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Origin {
        Own,
        Kubernetes,
        /// A type of Kubernetes with fields of ours.
        Item,
    }

    impl Origin {
        fn of_definition(name: &str) -> Self {
            match name {
                _ if name.starts_with("io.k8s.") => Self::Kubernetes,
                _ if name.starts_with("item.") => Self::Item,
                _ => Self::Own,
            }
        }

        fn of_field(self, name: &str) -> Self {
            const OWN: [&str; 5] = ["when", "forEach", "share", "onExisting", "separator"];
            match self {
                Self::Item if OWN.contains(&name) => Self::Own,
                Self::Item => Self::Kubernetes,
                other => other,
            }
        }
    }

    /// Removes the parts of a schema that neither the schema check nor editors use.
    fn kept_parts(schema: &Value, origin: Origin) -> Value {
        let Value::Object(members) = schema else { return schema.clone() };
        let by_name = |schemas: &Value, origin: &dyn Fn(&str) -> Origin| -> Value {
            let schemas = schemas.as_object().expect("schemas by name").iter();
            schemas.map(|(name, schema)| (name.clone(), kept_parts(schema, origin(name)))).collect::<Map<_, _>>().into()
        };
        let all = |value: &Value| -> Value {
            value.as_array().expect("schemas").iter().map(|schema| kept_parts(schema, origin)).collect()
        };
        let kept = members.iter().filter_map(|(key, value)| {
            let value = match key.as_str() {
                "$defs" => by_name(value, &Origin::of_definition),
                "properties" => by_name(value, &|name| origin.of_field(name)),
                "items" | "additionalProperties" => kept_parts(value, origin),
                "anyOf" | "oneOf" | "allOf" => all(value),
                "$ref" | "type" | "format" | "minimum" | "maximum" | "required" | "x-kubernetes-int-or-string" => {
                    value.clone()
                }
                "description" if origin == Origin::Own => value.as_str().expect("a text").replace('\n', " ").into(),
                "enum" | "const" | "pattern" | "maxLength" if origin == Origin::Own => value.clone(),
                _ => return None,
            };
            Some((key.clone(), value))
        });
        Value::Object(kept.collect())
    }

    /// A change of one type is a change of one line.
    fn one_line_a_definition(schema: &Value) -> String {
        let mut members = schema.as_object().expect("a root schema").clone();
        let definitions = members.remove("$defs").expect("definitions");
        let mut text = "{\"$defs\":{\n".to_owned();
        for (index, (name, definition)) in definitions.as_object().expect("by name").iter().enumerate() {
            let comma = if index > 0 { ",\n" } else { "" };
            write!(text, "{comma}{}:{definition}", Value::from(name.as_str())).expect("a String takes everything");
        }
        text += "\n}";
        for (key, value) in &members {
            write!(text, ",\n{}:{value}", Value::from(key.as_str())).expect("a String takes everything");
        }
        text + "}\n"
    }
}
