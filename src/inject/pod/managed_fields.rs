//! Which fields of a pod its author wrote, as `metadata.managedFields` says.
//!
//! The API server records a new pod's fields before it calls admission plugins and webhooks, so what
//! a plugin has set is not listed.

use memchr::memmem;

/// Whether the managed fields of a pod list this field of its spec. `None` if the text has no managed
/// fields with a spec, as offline. The text is not parsed: in managed fields a field `x` is the key
/// `f:x`, which nothing else in a pod has.
pub(crate) fn lists(object: &str, field: &str) -> Option<bool> {
    let has = |text: &str| memmem::find(object.as_bytes(), text.as_bytes()).is_some();
    (has("\"managedFields\"") && has("\"f:spec\"")).then(|| has(&format!("\"f:{field}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_authors_if_managed_fields_list_it() {
        let pod =
            |managed: &str| format!(r#"{{"metadata":{{{managed}"name":"a"}},"spec":{{"priorityClassName":"x"}}}}"#);
        let managed = |fields: &str| {
            pod(&format!(r#""managedFields":[{{"fieldsV1":{{"f:spec":{{"f:containers":{{}}{fields}}}}}}}],"#))
        };
        assert_eq!(lists(&pod(""), "priorityClassName"), None);
        assert_eq!(lists(&pod(r#""managedFields":[],"#), "priorityClassName"), None);
        assert_eq!(lists(&managed(""), "priorityClassName"), Some(false));
        assert_eq!(lists(&managed(r#","f:priorityClassName":{}"#), "priorityClassName"), Some(true));
        // An annotation contains the key with escaped quotes.
        let annotated = managed("").replace(r#""name""#, r#""annotations":{"x":"{\"f:priorityClassName\":1}"},"name""#);
        assert_eq!(lists(&annotated, "priorityClassName"), Some(false));
    }
}
