//! The values of the chart: each has a comment and a schema, and none can override what the chart
//! decides itself.

use std::collections::BTreeSet;

use outrigger::config::settings;
use serde_json::Value;

use super::{list, object, read, render};

tests! {
    every_value_has_a_schema,
    every_value_has_a_comment,
    the_chart_accepts_exactly_the_settings_of_the_program,
    errors_about_unknown_values_name_their_path,
    user_settings_are_added_to_those_of_the_chart,
    the_roles_lack_rights_that_the_certificate_mode_does_not_need,
}

/// Settings that other values of the chart decide; setting them twice could contradict.
const DECIDED: [&str; 16] = [
    "dev",
    "devDir",
    "devHost",
    "cluster",
    "namespace",
    "service",
    "webhookConfiguration",
    "advice",
    "certificates",
    "tlsCert",
    "tlsKey",
    "caSecret",
    "servingSecret",
    "lease",
    "domain",
    "excludeNamespaces",
];

fn schema() -> Value {
    object("manifests/chart/values.schema.json")
}

/// The differences between the keys of `values` and `schema`. A map with user-defined keys has no
/// properties in the schema.
fn differences(path: &str, values: &Value, schema: &Value, found: &mut Vec<String>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if schema["additionalProperties"] != false {
        found.push(format!("{path}: keys that nobody knows are not refused"));
    }
    let Some(values) = values.as_object() else { return };
    for key in properties.keys().filter(|key| !values.contains_key(*key) && *key != "global") {
        found.push(format!("{path}.{key}: not in values.yaml"));
    }
    for (key, value) in values {
        match properties.get(key) {
            Some(schema) => differences(&format!("{path}.{key}"), value, schema, found),
            None => found.push(format!("{path}.{key}: not in values.schema.json")),
        }
    }
}

fn every_value_has_a_schema() {
    let mut found = Vec::new();
    let mut schema = schema();
    // Values that a user writes completely, such as the reference to an issuer, have no default to
    // compare.
    schema["properties"]["certificates"]["properties"]["certManager"]["properties"]["issuerRef"] = Value::Null;
    for whole in ["config", "templates", "podLabels"] {
        schema["properties"][whole] = Value::Null;
    }
    differences("", &object("manifests/chart/values.yaml"), &schema, &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

fn every_value_has_a_comment() {
    let text = read("manifests/chart/values.yaml");
    for paragraph in text.split("\n\n") {
        assert!(paragraph.trim_start().starts_with('#'), "no comment above\n{paragraph}");
    }
}

/// A misspelt setting is refused when the chart is installed, instead of by a replica that does not
/// start.
fn the_chart_accepts_exactly_the_settings_of_the_program() {
    let schema = schema();
    let config = &schema["properties"]["config"];
    let known: BTreeSet<&str> = config["properties"].as_object().into_iter().flatten().map(|(key, _)| &**key).collect();
    let expected: BTreeSet<&str> =
        settings::ALL.iter().map(|setting| setting.key).filter(|key| !DECIDED.contains(key)).collect();
    assert_eq!((known, &config["additionalProperties"]), (expected, &Value::Bool(false)));
}

/// Helm reports a wrong path for a name that `propertyNames` refuses: `config.logLvel` as
/// `/podLabels`.
fn errors_about_unknown_values_name_their_path() {
    assert!(!read("manifests/chart/values.schema.json").contains("propertyNames"));
}

/// A user's setting overrides that of the chart, and the other settings stay.
fn user_settings_are_added_to_those_of_the_chart() {
    let values = ["config.logLevel=debug", "config.templates={/etc/outrigger/templates}", "config.shutdownDelay=20s"];
    let objects = render::by_key(render::helm(&[&values[..], &["terminationGracePeriodSeconds=40"]].concat()));
    let settings = super::objects::settings(&objects[&("ConfigMap".to_owned(), "outrigger".to_owned())]);
    assert_eq!((&settings["logLevel"], &settings["cluster"]), (&"debug".into(), &"on".into()));
    assert_eq!(settings["templates"], serde_json::json!(["/etc/outrigger/templates"]));
    let pod = &objects[&("Deployment".to_owned(), "outrigger".to_owned())]["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 40);
    let arguments = list(pod, "/containers/0/args");
    assert_eq!(arguments.len(), 2, "a flag would beat the setting of the user: {arguments:?}");
}

/// If another program issues the certificate, Outrigger may not change whom the API server trusts.
fn the_roles_lack_rights_that_the_certificate_mode_does_not_need() {
    for mode in ["certManager", "files"] {
        let bundle = "certificates.files.caBundle=-----BEGIN CERTIFICATE-----YQ==-----END CERTIFICATE-----";
        let files = ["certificates.files.secretName=x", bundle];
        let mode = format!("certificates.mode={mode}");
        let objects = render::by_key(render::helm(&[&[mode.as_str()], &files[..]].concat()));
        for kind in ["ClusterRole", "Role"] {
            let rules = objects[&(kind.to_owned(), "outrigger".to_owned())]["rules"].to_string();
            assert!(!rules.contains("webhookconfigurations") && !rules.contains("secrets"), "{mode}: {rules}");
            // The leader writes the status of templates, whoever makes the certificates.
            assert_eq!(rules.contains("leases"), kind == "Role", "{mode}: {rules}");
        }
        assert!(!objects.contains_key(&("Secret".to_owned(), "outrigger-ca".to_owned())), "{mode}");
    }
}
