//! Tells misspelt fields of core/v1 from fields that are newer than this build.
//!
//! A field that is close to a known one is an error: the API server would drop it without a word.
//! Any other unknown field is a warning. `spec.newFields` lists fields that are really new.

use super::warnings::Warning;
use crate::inject::schema::UnknownField;
use crate::inject::template::WarningKind;
use crate::inject::text::json::items;
use crate::inject::text::{FieldError, FieldPath, message, quote, value};
use serde_json::Value;

/// Keys of items of a template, which are no fields of core/v1.
const KEYS_OF_ITEMS: [&str; 5] = ["when", "forEach", "share", "onExisting", "separator"];

/// The errors of misspelt fields, and the warnings about other unknown fields and about names of
/// `newFields` that no field needs.
pub(super) fn sort(unknown: Vec<UnknownField>, spec: &Value) -> (Vec<FieldError>, Vec<Warning>) {
    let names: Vec<&str> = items(spec, "newFields").iter().filter_map(Value::as_str).collect();
    // An expression may give a map with the field, which is not in `unknown`.
    let text = if names.is_empty() { String::new() } else { spec.to_string() };
    let stands = |name: &str| text.matches(name).count() > 1;
    let mut warnings: Vec<Warning> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| !unknown.iter().any(|field| field.name == **name) && !stands(name))
        .map(|(index, name)| unneeded(index, name))
        .collect();
    let mut errors = Vec::new();
    for field in unknown.into_iter().filter(|field| !names.contains(&field.name.as_str())) {
        match field.is_near {
            _ if KEYS_OF_ITEMS.contains(&field.name.as_str()) => errors.push(misplaced(field)),
            true => errors.push(misspelt(field)),
            false => warnings.push(not_known(field.error)),
        }
    }
    (errors, warnings)
}

/// The error of a misspelt field: its hint names the known field.
pub(super) fn misspelt(field: UnknownField) -> FieldError {
    let escape = message!["; a field that is newer than this build is listed in spec.newFields"];
    let hint = field.error.hint.clone().unwrap_or_default().with(escape);
    field.error.with_hint(hint)
}

fn misplaced(field: UnknownField) -> FieldError {
    let items = match field.name.as_str() {
        "share" => "of volumes",
        "onExisting" | "separator" => "of app.env",
        _ => "of sidecars, initContainers, volumes, files, app.env, app.envFrom and app.volumeMounts",
    };
    let message = message!["only items ", items, " may have it"];
    let hint = match field.name.as_str() {
        "when" | "forEach" => Some("elsewhere, an expression that gives null leaves a field or an element out".into()),
        _ => None,
    };
    FieldError { message, hint, ..field.error }
}

fn not_known(error: FieldError) -> Warning {
    let message = error.message.clone().with("; an API server that does not know it drops it");
    Warning { kind: WarningKind::UnknownField, error: FieldError { message, ..error } }
}

fn unneeded(index: usize, name: &str) -> Warning {
    let path = FieldPath::root().child("spec").child("newFields").index(index);
    let message = message!["the template has no unknown field ", value(quote(name)), "; remove the name"];
    Warning::new(WarningKind::NoEffect, path, message)
}
