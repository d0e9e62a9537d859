//! The wire types of `admission.k8s.io/v1`: the fields of a review that are read, without checks.
//!
//! [`super::envelope`] reads a review as API servers write it, and serde any other.
//! Invariant: the object is kept as raw text. Only the engine decides how much of it is parsed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use super::Owner;
use crate::inject::find;

/// `apiVersion` of an `AdmissionReview`.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// `AdmissionReview`, as sent by the API server.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an AdmissionReview")]
pub(super) struct AdmissionReview<'a> {
    #[serde(borrow, default)]
    pub api_version: WireText<'a>,
    #[serde(borrow, default)]
    pub kind: WireText<'a>,
    #[serde(borrow, default)]
    pub request: Option<AdmissionRequest<'a>>,
}

/// `AdmissionRequest`, the fields that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an AdmissionRequest")]
pub(super) struct AdmissionRequest<'a> {
    #[serde(borrow, default)]
    pub uid: WireText<'a>,
    #[serde(borrow, default)]
    pub resource: GroupVersionResource<'a>,
    #[serde(borrow, default)]
    pub sub_resource: WireText<'a>,
    #[serde(borrow, default)]
    pub name: WireText<'a>,
    #[serde(borrow, default)]
    pub namespace: WireText<'a>,
    #[serde(borrow, default)]
    pub operation: WireText<'a>,
    /// The object's text.
    #[serde(borrow, default, deserialize_with = "raw_text")]
    pub object: Option<&'a str>,
    #[serde(default)]
    pub dry_run: Option<bool>,
}

impl<'a> AdmissionRequest<'a> {
    /// The object's text; empty if there is no object.
    pub(super) fn object(&self) -> &'a str {
        self.object.unwrap_or_default()
    }

    pub(super) fn creates_pod(&self) -> bool {
        &*self.operation == "CREATE" && self.resource.is_pods() && self.sub_resource.is_empty()
    }
}

/// `meta/v1 GroupVersionResource`
#[derive(Default, Deserialize)]
#[serde(expecting = "a resource with group and version")]
pub(super) struct GroupVersionResource<'a> {
    #[serde(borrow, default)]
    pub group: WireText<'a>,
    #[serde(borrow, default)]
    pub version: WireText<'a>,
    #[serde(borrow, default)]
    pub resource: WireText<'a>,
}

impl GroupVersionResource<'_> {
    fn is_pods(&self) -> bool {
        self.group.is_empty() && &*self.resource == "pods"
    }
}

fn raw_text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a str>, D::Error> {
    Ok(Option::<&RawValue>::deserialize(deserializer)?.map(RawValue::get))
}

/// A string, borrowed if it has no escapes. `null` is the empty string, as in the API server.
#[derive(Debug, Default)]
pub(super) struct WireText<'a>(Cow<'a, str>);

impl<'a> From<Cow<'a, str>> for WireText<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(text)
    }
}

impl std::ops::Deref for WireText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for WireText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WireTextVisitor).map(Self)
    }
}

struct WireTextVisitor;

impl<'de> Visitor<'de> for WireTextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

/// `metadata.generateName` of an object's text, unless it is absent or empty.
pub(super) fn generate_name(object: &str) -> Option<String> {
    let name: WireText<'_> = find(object, &["metadata", "generateName"])?;
    if name.is_empty() { None } else { Some(name.to_string()) }
}

/// The controlling owner in an object's text.
pub(super) fn controller(object: &str) -> Option<Owner> {
    let owners: Vec<OwnerReference<'_>> = find(object, &["metadata", "ownerReferences"])?;
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Some(Owner {
        api_version: owner.api_version.to_string(),
        kind: owner.kind.to_string(),
        name: owner.name.to_string(),
        uid: owner.uid.to_string(),
    })
}

/// `meta/v1 OwnerReference`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference<'a> {
    #[serde(borrow, default)]
    api_version: WireText<'a>,
    #[serde(borrow, default)]
    kind: WireText<'a>,
    #[serde(borrow, default)]
    name: WireText<'a>,
    #[serde(borrow, default)]
    uid: WireText<'a>,
    #[serde(default)]
    controller: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generate_name_is_found_only_in_the_objects_metadata() {
        let cases = [
            (r#"{"metadata":{"generateName":"web-"},"x": not read"#, Some("web-")),
            (
                r#"{"kind":"Pod","spec":{"metadata":{"generateName":"no"}},"metadata":{"labels":{"generateName":"no"},"generateName":"we\u0062-"}}"#,
                Some("web-"),
            ),
            (r#"{"metadata":{"generateName":""}}"#, None),
            (r#"{"metadata":{"generateName":null}}"#, None),
            (r#"{"metadata":{"generateName":5}}"#, None),
            (r#"{"metadata":{}}"#, None),
            (r#"{"metadata":null}"#, None),
            ("[]", None),
            ("", None),
        ];
        for (object, expected) in cases {
            assert_eq!(generate_name(object).as_deref(), expected, "{object}");
        }
    }

    #[test]
    fn the_controller_is_the_owner_that_says_so() {
        let object = |owners: &str| format!(r#"{{"metadata":{{"ownerReferences":{owners}}}}}"#);
        let owner = r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1","uid":"u","controller":true}"#;
        let other = r#"{"apiVersion":"v1","kind":"Node","name":"n","uid":"v"}"#;
        let found = controller(&object(&format!("[{other},{owner}]"))).expect("a controller");
        assert_eq!((found.api_version.as_str(), found.kind.as_str()), ("apps/v1", "ReplicaSet"));
        assert_eq!((found.name.as_str(), found.uid.as_str()), ("web-1", "u"));
        for owners in ["null", "[]", "5", &format!("[{other}]")] {
            assert_eq!(controller(&object(owners)), None, "{owners}");
        }
    }

    #[test]
    fn null_is_the_empty_string() {
        let review: AdmissionReview<'_> = serde_json::from_str(
            r#"{"apiVersion":null,"kind":"A\u0042","request":{"uid":"u","subResource":null,"object":null}}"#,
        )
        .expect("a review");
        assert_eq!((&*review.api_version, &*review.kind), ("", "AB"));
        let request = review.request.expect("a request");
        assert!(request.sub_resource.is_empty() && request.object.is_none() && request.object().is_empty());
    }
}
