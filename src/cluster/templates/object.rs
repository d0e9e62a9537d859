//! Reads template objects as the API server sends them.
//!
//! The spec stays text: the same code compiles it that compiles files. Invariant: an object with a
//! name is always read, however odd its spec or status.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::template_object::{GROUP, ObjectKey, TemplateKind, TemplateObject, TemplateObjectStatus, VERSION};

/// A template object, with its spec and status as text.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ApiObject {
    #[serde(default)]
    metadata: ObjectMetadata,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

/// What is read of `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectMetadata {
    name: String,
    namespace: Option<String>,
    uid: String,
    generation: i64,
    pub resource_version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: String,
    kind: &'a str,
    metadata: DocumentMetadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct DocumentMetadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

impl ApiObject {
    /// The version of the object, from which a watch goes on.
    pub(super) fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Which object; `None` if it has no name, or not the namespace that its kind demands.
    pub(super) fn key(&self, kind: TemplateKind) -> Option<ObjectKey> {
        let namespace = match kind {
            TemplateKind::Cluster => None,
            TemplateKind::Namespaced => {
                Some(self.metadata.namespace.clone().filter(|namespace| !namespace.is_empty())?)
            }
        };
        let name = self.metadata.name.clone();
        (!name.is_empty()).then_some(ObjectKey { namespace, name })
    }

    /// The object for the compiler of templates.
    pub(super) fn into_template(self, key: ObjectKey) -> TemplateObject {
        let document = Document {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: key.kind().kind(),
            metadata: DocumentMetadata { name: &key.name, namespace: key.namespace.as_deref() },
            spec: self.spec.as_deref(),
        };
        // Text and raw JSON can always be written.
        let document = serde_json::to_string(&document).unwrap_or_default();
        let status = self.status.as_deref().map(status).unwrap_or_default();
        TemplateObject { key, uid: self.metadata.uid, generation: self.metadata.generation, document, status }
    }
}

/// A status that cannot be read is as good as none: the leader writes it anew.
fn status(text: &RawValue) -> TemplateObjectStatus {
    serde_json::from_str(text.get()).unwrap_or_default()
}

/// The objects of a page of a list as the API server sends it, and the token of the next page.
pub(crate) fn of_page(kind: TemplateKind, text: &str) -> serde_json::Result<(Vec<TemplateObject>, Option<String>)> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct PageMetadata {
        r#continue: Option<String>,
    }
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        metadata: PageMetadata,
        items: Vec<ApiObject>,
    }
    let Page { metadata, items } = serde_json::from_str(text)?;
    let objects = items.into_iter().filter_map(|object| {
        let key = object.key(kind)?;
        Some(object.into_template(key))
    });
    Ok((objects.collect(), metadata.r#continue.filter(|token| !token.is_empty())))
}

/// The path of all objects of a kind.
pub(crate) fn path(kind: TemplateKind) -> String {
    path_in(kind, None)
}

/// The path of the objects of a kind in one namespace, or in all.
pub(crate) fn path_in(kind: TemplateKind, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{}", kind.plural()),
        None => format!("/apis/{GROUP}/{VERSION}/{}", kind.plural()),
    }
}

/// The path of one object's status.
pub(super) fn status_path(key: &ObjectKey) -> String {
    let (plural, name) = (key.kind().plural(), &key.name);
    match &key.namespace {
        Some(namespace) => format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}/{name}/status"),
        None => format!("/apis/{GROUP}/{VERSION}/{plural}/{name}/status"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: TemplateKind, object: &serde_json::Value) -> Option<TemplateObject> {
        let object: ApiObject = serde_json::from_str(&object.to_string()).expect("an object");
        let key = object.key(kind)?;
        Some(object.into_template(key))
    }

    #[test]
    fn the_document_has_the_spec_as_it_was_and_nothing_of_the_metadata_but_its_names() {
        let object = json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionTemplate",
            "metadata": {
                "name": "proxy", "namespace": "shop", "uid": "u", "generation": 3, "resourceVersion": "7",
                "managedFields": [{"manager": "kubectl"}], "labels": {"team": "a"},
            },
            "spec": {"sidecars": [{"name": "proxy"}], "new": 1.50},
            "status": {"observedGeneration": 2, "revision": "0123456789"},
        });
        let template = read(TemplateKind::Namespaced, &object).expect("a template");
        assert_eq!(template.key.to_string(), "InjectionTemplate/shop/proxy");
        assert_eq!((template.uid.as_str(), template.generation), ("u", 3));
        assert_eq!((template.status.observed_generation, template.status.revision.as_str()), (2, "0123456789"));
        let document: serde_json::Value = serde_json::from_str(&template.document).expect("JSON");
        assert_eq!(
            document,
            json!({
                "apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionTemplate",
                "metadata": {"name": "proxy", "namespace": "shop"}, "spec": object["spec"],
            })
        );
    }

    #[test]
    fn an_unreadable_status_is_empty_and_a_missing_spec_is_left_out() {
        let template =
            read(TemplateKind::Cluster, &json!({"metadata": {"name": "a"}, "status": {"conditions": 7}})).expect("one");
        assert_eq!(template.status, TemplateObjectStatus::default());
        assert!(!template.document.contains("spec"), "{}", template.document);
        assert_eq!(read(TemplateKind::Cluster, &json!({})), None);
        assert_eq!(read(TemplateKind::Namespaced, &json!({"metadata": {"name": "a"}})), None);
    }

    #[test]
    fn paths_name_the_resource() {
        let key = |namespace: Option<&str>| ObjectKey { namespace: namespace.map(str::to_owned), name: "a".to_owned() };
        assert_eq!(path(TemplateKind::Cluster), "/apis/outrigger.dev/v1alpha1/clusterinjectiontemplates");
        assert_eq!(status_path(&key(None)), "/apis/outrigger.dev/v1alpha1/clusterinjectiontemplates/a/status");
        assert_eq!(
            status_path(&key(Some("shop"))),
            "/apis/outrigger.dev/v1alpha1/namespaces/shop/injectiontemplates/a/status"
        );
    }
}
