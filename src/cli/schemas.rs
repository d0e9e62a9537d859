//! The published JSON schemas of what the program reads and prints, by name.
//!
//! Invariant: a schema describes the type that is printed; a test compares the two, and records them
//! with `OUTRIGGER_RECORD_SCHEMAS=1`.

/// A schema that `generate schema NAME` prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishedSchema {
    pub name: &'static str,
    /// The schema as `docs/schemas/NAME.json` has it.
    pub text: &'static str,
}

/// Declares a schema by its name.
macro_rules! published {
    ($($name:literal),+ $(,)?) => {
        &[$(PublishedSchema { name: $name, text: include_str!(concat!("../../docs/schemas/", $name, ".json")) }),+]
    };
}

/// All schemas, in the order of their names.
pub(super) const ALL: &[PublishedSchema] =
    published!["check", "convert", "explain", "get", "lint", "templates", "test", "test-file", "upgrade"];

/// The schema of that name.
pub(super) fn find(name: &str) -> Option<&'static PublishedSchema> {
    ALL.iter().find(|schema| schema.name == name)
}

#[cfg(test)]
pub(super) mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;

    /// Compares the schema of what is printed with the published one, or records it.
    pub(in crate::cli) fn assert_published<T: schemars::JsonSchema>(name: &str) {
        compare::<T>(name, SchemaSettings::draft2020_12().for_serialize());
    }

    /// The same for what is read, in which a field with a default may be absent.
    pub(in crate::cli) fn assert_published_input<T: schemars::JsonSchema>(name: &str) {
        compare::<T>(name, SchemaSettings::draft2020_12());
    }

    fn compare<T: schemars::JsonSchema>(name: &str, settings: SchemaSettings) {
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let schema = serde_json::to_string_pretty(&schema).expect("a schema") + "\n";
        let path = format!("{}/docs/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("OUTRIGGER_RECORD_SCHEMAS").is_some() {
            std::fs::write(&path, &schema).expect("a file that can be written");
            return;
        }
        let published = find(name).unwrap_or_else(|| panic!("{name} is no published schema"));
        let hint = "record it with OUTRIGGER_RECORD_SCHEMAS=1 cargo test --lib published_schema";
        assert!(published.text == schema, "{path} differs; {hint}");
    }

    #[test]
    fn schemas_are_published_by_distinct_names() {
        assert!(ALL.is_sorted_by_key(|schema| schema.name));
        for schema in ALL {
            serde_json::from_str::<serde_json::Value>(schema.text).expect("JSON");
        }
    }
}
