//! What the types of the format cannot say in the published schema.

use schemars::Schema;
use serde_json::{Value, json};

use crate::inject::{ErrorCode, SkipReason};

/// Exactly one of pod and podFile.
pub(super) fn case(schema: &mut Schema) {
    without_null(schema);
    schema.insert("oneOf".to_owned(), json!([{"required": ["pod"]}, {"required": ["podFile"]}]));
}

/// Exactly one verdict, of codes that exist.
pub(super) fn expect(schema: &mut Schema) {
    without_null(schema);
    let verdicts = ["injected", "includes", "patch", "skipped"].map(|verdict| json!({"required": [verdict]}));
    let refused = json!({"required": ["refused"], "properties": {"warnings": {"maxItems": 0}}});
    schema.insert("oneOf".to_owned(), verdicts.into_iter().chain([refused]).collect());
    for (verdict, keyword, value) in [
        ("injected", "type", json!("object")),
        ("includes", "type", json!("object")),
        ("includes", "minProperties", json!(1)),
        ("skipped", "items", json!({"enum": SkipReason::ALL.map(SkipReason::code)})),
    ] {
        schema.pointer_mut(&format!("/properties/{verdict}")).expect("a property")[keyword] = value;
    }
}

/// A code that exists.
pub(super) fn refusal(schema: &mut Schema) {
    schema.pointer_mut("/properties/code").expect("a property")["enum"] = json!(ErrorCode::ALL.map(ErrorCode::code));
}

/// Optional keys are absent, not null.
fn without_null(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut).expect("properties");
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        if let Some(types) = property.get_mut("type").filter(|types| types.is_array()) {
            *types = types[0].take();
        }
        if let Some(Value::Array(mut choices)) = property.remove("anyOf") {
            choices.retain(|choice| choice["type"] != "null");
            property.extend(choices.pop().and_then(|choice| choice.as_object().cloned()).unwrap_or_default());
        }
    }
}
