//! The revisions of templates that the cluster gives to new pods: told by the replicas, else by the
//! status of template objects.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use super::Scope;
use crate::api::template_object::{GROUP, ObjectKey, TemplateKind, TemplateObjectStatus, VERSION};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};

/// What new pods get of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct ServedTemplate {
    /// The current revision; `None` if no revision is served.
    pub revision: Option<String>,
    /// The revision that pods outside of a rollout get; that of `revision` without one.
    pub stable: Option<String>,
}

/// The templates that the replicas of an installation serve; none if no replica has told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ReplicaTemplates {
    pub templates: Vec<(ObjectKey, ServedTemplate)>,
    /// Whether a template chooses its pods itself.
    pub has_automatic: bool,
}

/// The served templates by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Served {
    templates: BTreeMap<ObjectKey, ServedTemplate>,
    /// Whether these are all: replicas have told them.
    pub is_complete: bool,
    /// Whether a template chooses its pods itself.
    pub has_automatic: bool,
}

impl Served {
    /// Reads the template objects, which everybody may usually list, and adds what replicas tell.
    pub(in crate::cli) async fn read(caller: &Caller, scope: &Scope, replicas: ReplicaTemplates) -> Self {
        let ReplicaTemplates { templates: replicas, mut has_automatic } = replicas;
        let is_complete = !replicas.is_empty();
        let mut templates: BTreeMap<_, _> = replicas.into_iter().collect();
        let everywhere = Scope { namespace: None, selector: None };
        let (cluster, namespaced) = tokio::join!(
            objects(caller, TemplateKind::Cluster, &everywhere),
            objects(caller, TemplateKind::Namespaced, scope),
        );
        for TemplateObject { key, served, is_automatic } in cluster.into_iter().chain(namespaced) {
            has_automatic |= is_automatic;
            // An object that is not loaded takes no place from what the replicas serve.
            if served.revision.is_some() || !templates.contains_key(&key) {
                templates.insert(key, served);
            }
        }
        Self { templates, is_complete, has_automatic }
    }

    /// What pods of this namespace get under a name.
    pub(in crate::cli) fn find(&self, namespace: &str, name: &str) -> Option<&ServedTemplate> {
        let key =
            |namespace: Option<&str>| ObjectKey { namespace: namespace.map(str::to_owned), name: name.to_owned() };
        self.templates.get(&key(Some(namespace))).or_else(|| self.templates.get(&key(None)))
    }

    /// Names of all templates.
    pub(in crate::cli) fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(|key| key.name.as_str())
    }
}

impl FromIterator<(ObjectKey, ServedTemplate)> for Served {
    fn from_iter<T: IntoIterator<Item = (ObjectKey, ServedTemplate)>>(templates: T) -> Self {
        Self { templates: templates.into_iter().collect(), is_complete: true, has_automatic: false }
    }
}

/// What an object of the cluster tells of its template.
#[derive(Clone)]
struct TemplateObject {
    key: ObjectKey,
    served: ServedTemplate,
    is_automatic: bool,
}

async fn objects(caller: &Caller, kind: TemplateKind, scope: &Scope) -> Vec<TemplateObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, kind.kind()), kind.plural());
    let api: Api<DynamicObject> = match &scope.namespace {
        Some(namespace) => Api::namespaced_with(caller.client.clone(), namespace, &resource),
        None => Api::all_with(caller.client.clone(), &resource),
    };
    let request = ApiRequest { verb: "list", resource: kind.plural(), namespace: scope.namespace.as_deref() };
    let api = &api;
    let page = |params: ListParams| async move { Ok(filter_page(api.list(&params).await?, of_object)) };
    match caller.pages(&request, ListParams::default(), page).await {
        Lookup::Found(found) => found,
        Lookup::Absent | Lookup::Unknown => Vec::new(),
    }
}

fn of_object(object: DynamicObject) -> Option<TemplateObject> {
    let key = ObjectKey { namespace: object.metadata.namespace, name: object.metadata.name? };
    let status: TemplateObjectStatus =
        object.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok()).unwrap_or_default();
    let revision = |text: String| Some(text).filter(|text| !text.is_empty());
    let served = ServedTemplate { revision: revision(status.revision), stable: revision(status.stable_revision) };
    let is_automatic = object.data.pointer("/spec/injection").is_some_and(|injection| injection == "Automatic");
    Some(TemplateObject { key, served, is_automatic })
}
