//! The revisions of templates that the cluster gives to new pods: told by the replicas; where none
//! responds, by the status of template objects.
//!
//! Invariant: what a tenant or a status that is behind says changes nothing that a replica has told.

use std::collections::{BTreeMap, BTreeSet};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use super::Scope;
use super::automatic::AutomaticTemplate;
use crate::api::template_object::{GROUP, ObjectKey, READY, TemplateKind, TemplateObjectStatus, VERSION};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};

/// What new pods get of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ServedTemplate {
    /// The current revision; `None` if no revision is served, or which one is not known.
    pub revision: Option<String>,
    /// The revision that pods outside of a rollout get; that of `revision` without one.
    pub stable: Option<String>,
    /// Whether a template of a namespace takes its place there; `None` if that is not known.
    pub is_shadowable: Option<bool>,
}

/// An object of which no replica tells, or whose status says nothing of what is served.
const NOT_KNOWN: ServedTemplate = ServedTemplate { revision: None, stable: None, is_shadowable: None };

/// The templates that the replicas of an installation serve; none if no replica has told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ReplicaTemplates {
    pub templates: Vec<(ObjectKey, ServedTemplate)>,
    /// Whether a replica has responded; without one nothing is known of what is served.
    pub is_told: bool,
    /// The templates that choose their pods themselves.
    pub automatic: BTreeSet<ObjectKey>,
}

/// The served templates by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Served {
    templates: BTreeMap<ObjectKey, ServedTemplate>,
    /// Objects that exist and of which nothing else is known.
    others: BTreeSet<ObjectKey>,
    /// Whether these are all: replicas have told them.
    pub is_complete: bool,
    /// The templates that choose their pods themselves, as far as objects tell which.
    pub(super) automatic: Vec<AutomaticTemplate>,
    /// Names of those of files, whose pods are not known here.
    pub automatic_of_files: BTreeSet<String>,
}

impl Served {
    /// Reads the template objects, which everybody may usually list, and adds them to what replicas tell.
    pub(in crate::cli) async fn read(caller: &Caller, scope: &Scope, replicas: ReplicaTemplates) -> Self {
        let everywhere = Scope { namespace: None, selector: None };
        let (cluster, namespaced) = tokio::join!(
            objects(caller, TemplateKind::Cluster, &everywhere),
            objects(caller, TemplateKind::Namespaced, scope),
        );
        Self::of(replicas, cluster.into_iter().chain(namespaced))
    }

    fn of(replicas: ReplicaTemplates, objects: impl Iterator<Item = TemplateObject>) -> Self {
        let is_complete = replicas.is_told;
        let mut templates: BTreeMap<_, _> = replicas.templates.into_iter().collect();
        let (mut others, mut automatic, mut of_files) = (BTreeSet::new(), Vec::new(), replicas.automatic);
        for TemplateObject { key, served, is_hidden, automatic: of_object } in objects {
            // One that is not served is given to nobody.
            if let Some(of_object) = of_object.filter(|_| !is_hidden && (!is_complete || of_files.remove(&key))) {
                automatic.push(of_object);
            }
            match templates.get_mut(&key) {
                Some(told) => told.fill(served),
                None if is_complete || is_hidden => _ = others.insert(key),
                None => _ = templates.insert(key, served),
            }
        }
        for template in automatic.iter_mut().filter(|template| template.key.namespace.is_none()) {
            let is_shadowable = templates.get(&template.key).is_some_and(|served| served.is_shadowable == Some(true));
            let of_name = templates.keys().filter(|key| is_shadowable && key.name == template.key.name);
            template.replaced_in = of_name.filter_map(|key| key.namespace.clone()).collect();
        }
        let automatic_of_files = of_files.into_iter().map(|key| key.name).collect();
        Self { templates, others, is_complete, automatic, automatic_of_files }
    }

    /// What pods of this namespace get under a name.
    pub(in crate::cli) fn find(&self, namespace: &str, name: &str) -> Option<&ServedTemplate> {
        let key =
            |namespace: Option<&str>| ObjectKey { namespace: namespace.map(str::to_owned), name: name.to_owned() };
        let (own, of_cluster) = (key(Some(namespace)), key(None));
        let found = match (self.templates.get(&own), self.templates.get(&of_cluster)) {
            (Some(own), Some(cluster)) => Some(if cluster.is_shadowable == Some(true) { own } else { cluster }),
            (found, None) | (None, found) => found,
        };
        let exists = || self.others.contains(&own) || self.others.contains(&of_cluster);
        found.or_else(|| exists().then_some(&NOT_KNOWN))
    }

    /// Names of all templates.
    pub(in crate::cli) fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().chain(&self.others).map(|key| key.name.as_str())
    }
}

impl ServedTemplate {
    /// Adds what an older replica does not tell, if the status of the object is about the same revision.
    fn fill(&mut self, status: Self) {
        if self.stable.is_none() && self.revision == status.revision {
            self.stable = status.stable;
        }
        self.is_shadowable = self.is_shadowable.or(status.is_shadowable);
    }
}

impl FromIterator<(ObjectKey, ServedTemplate)> for Served {
    fn from_iter<T: IntoIterator<Item = (ObjectKey, ServedTemplate)>>(templates: T) -> Self {
        Self { templates: templates.into_iter().collect(), is_complete: true, ..Self::default() }
    }
}

/// What an object of the cluster tells of its template.
#[derive(Clone)]
struct TemplateObject {
    key: ObjectKey,
    served: ServedTemplate,
    /// Whether its status says that the cluster's template of its name is used.
    is_hidden: bool,
    automatic: Option<AutomaticTemplate>,
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
    // A status that is behind tells of an earlier spec.
    let is_observed = object.metadata.generation == Some(status.observed_generation);
    let revision = |text: String| Some(text).filter(|text| is_observed && !text.is_empty());
    let spec = |field: &str| object.data.get("spec").and_then(|spec| spec.get(field));
    let (revision, stable) = (revision(status.revision), revision(status.stable_revision));
    let is_shadowable = revision.is_some() && spec("shadowable").is_some_and(|value| value == true);
    let mut ready = status.conditions.iter().filter(|condition| condition.type_ == READY);
    Some(TemplateObject {
        is_hidden: key.namespace.is_some() && ready.any(|condition| condition.reason == "NameTaken"),
        automatic: object.data.get("spec").and_then(|spec| AutomaticTemplate::of(&key, spec)),
        served: ServedTemplate { revision, stable, is_shadowable: Some(is_shadowable) },
        key,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NAME: &str = "proxy";

    fn key(namespace: Option<&str>) -> ObjectKey {
        ObjectKey { namespace: namespace.map(str::to_owned), name: NAME.to_owned() }
    }

    /// What a replica tells of the template.
    fn told(namespace: Option<&str>, revision: &str, is_shadowable: Option<bool>) -> (ObjectKey, ServedTemplate) {
        let revision = Some(revision.to_owned()).filter(|revision| !revision.is_empty());
        (key(namespace), ServedTemplate { stable: revision.clone(), revision, is_shadowable })
    }

    fn object(namespace: Option<&str>, spec: Value, generation: i64, status: Value) -> TemplateObject {
        let object = json!({"metadata": {"name": NAME, "namespace": namespace, "generation": generation},
            "spec": spec, "status": status});
        of_object(serde_json::from_value(object).expect("an object")).expect("it has a name")
    }

    fn status(revision: &str, generation: i64) -> Value {
        json!({"observedGeneration": generation, "revision": revision, "stableRevision": revision})
    }

    /// The revision that pods of the namespace `shop` get; `?` if it is not known.
    fn revision(replicas: Vec<(ObjectKey, ServedTemplate)>, objects: Vec<TemplateObject>) -> Option<String> {
        let is_told = !replicas.is_empty();
        let replicas = ReplicaTemplates { templates: replicas, is_told, automatic: BTreeSet::new() };
        let served = Served::of(replicas, objects.into_iter());
        served.find("shop", NAME).map(|found| found.revision.clone().unwrap_or_else(|| "?".to_owned()))
    }

    #[test]
    fn a_template_of_a_namespace_counts_only_where_the_clusters_gives_way() {
        const SHOP: Option<&str> = Some("shop");
        let of_tenant = |revision: &str| object(SHOP, json!({}), 1, status(revision, 1));
        let of_cluster = |spec: Value| object(None, spec, 1, status("c", 1));
        for (is_shadowable, own, expected) in [
            (Some(false), "t", "c"),
            (Some(false), "", "c"),
            // An older replica does not tell it, and no object does: a file never gives way by accident.
            (None, "t", "c"),
            (Some(true), "t", "t"),
            // It is broken, so pods get neither.
            (Some(true), "", "?"),
        ] {
            let replicas = vec![told(None, "c", is_shadowable), told(SHOP, own, None)];
            assert_eq!(revision(replicas, vec![of_tenant(own)]).as_deref(), Some(expected), "{is_shadowable:?} {own}");
        }
        // What the object of the cluster says helps with an older replica.
        let replicas = || vec![told(None, "c", None), told(SHOP, "t", None)];
        let open = of_cluster(json!({"shadowable": true}));
        assert_eq!(revision(replicas(), vec![open.clone()]).as_deref(), Some("t"));
        // No replica responds.
        assert_eq!(revision(Vec::new(), vec![open, of_tenant("t")]).as_deref(), Some("t"));
        assert_eq!(revision(Vec::new(), vec![of_cluster(json!({})), of_tenant("t")]).as_deref(), Some("c"));
        assert_eq!(revision(Vec::new(), vec![of_tenant("t")]).as_deref(), Some("t"));
        let mut hidden = status("t", 1);
        hidden["conditions"] = json!([{"type": "Ready", "status": "False", "reason": "NameTaken"}]);
        let hidden = object(SHOP, json!({}), 1, hidden);
        assert_eq!(revision(Vec::new(), vec![hidden]).as_deref(), Some("?"), "a file has the name");
        assert_eq!(revision(Vec::new(), Vec::new()), None);
    }

    #[test]
    fn an_automatic_template_does_not_reach_where_a_template_of_the_namespace_replaces_it() {
        let labels = BTreeMap::new();
        let spec = |is_shadowable| json!({"injection": "Automatic", "shadowable": is_shadowable, "match": {"podSelector": {}}});
        for (is_shadowable, is_told) in [(true, true), (true, false), (false, true), (false, false)] {
            let told = [told(None, "c", Some(is_shadowable)), told(Some("shop"), "t", None)];
            let (templates, automatic) = if is_told { (told.into(), [key(None)].into()) } else { Default::default() };
            let replicas = ReplicaTemplates { templates, is_told, automatic };
            let of_cluster = object(None, spec(is_shadowable), 1, status("c", 1));
            let of_tenant = object(Some("shop"), json!({}), 1, status("t", 1));
            let served = Served::of(replicas, [of_cluster, of_tenant].into_iter());
            let [agent] = &served.automatic[..] else { panic!("{:?}", served.automatic) };
            assert_eq!(agent.reaches("shop", &labels), !is_shadowable, "{is_told}");
            assert!(agent.reaches("other", &labels));
        }
    }

    #[test]
    fn a_status_that_is_behind_does_not_overrule_the_replicas() {
        let behind = || object(None, json!({}), 2, status("old", 1));
        assert_eq!(revision(vec![told(None, "new", Some(false))], vec![behind()]).as_deref(), Some("new"));
        // Not even where it claims to be about this generation.
        let wrong = object(None, json!({}), 2, status("old", 2));
        assert_eq!(revision(vec![told(None, "new", Some(false))], vec![wrong]).as_deref(), Some("new"));
        assert_eq!(revision(Vec::new(), vec![behind()]).as_deref(), Some("?"));
        assert_eq!(revision(Vec::new(), vec![object(None, json!({}), 2, status("new", 2))]).as_deref(), Some("new"));
        // A replica that does not name an object does not serve it.
        let other = (ObjectKey { namespace: None, name: "logs".to_owned() }, ServedTemplate::default());
        assert_eq!(revision(vec![other], vec![object(None, json!({}), 2, status("new", 2))]).as_deref(), Some("?"));
    }

    #[test]
    fn the_stable_revision_of_an_older_replica_comes_from_a_status_about_its_revision() {
        let rollout = json!({"observedGeneration": 2, "revision": "b", "stableRevision": "a"});
        for (revision, stable, expected) in
            [("b", None, Some("a")), ("b", Some("b"), Some("b")), ("c", None, None), ("c", Some("a"), Some("a"))]
        {
            let stable = stable.map(str::to_owned);
            let told = ServedTemplate { revision: Some(revision.to_owned()), stable, is_shadowable: None };
            let replicas =
                ReplicaTemplates { templates: vec![(key(None), told)], is_told: true, automatic: BTreeSet::new() };
            let served = Served::of(replicas, [object(None, json!({}), 2, rollout.clone())].into_iter());
            let found = served.find("shop", NAME).expect("it is served");
            assert_eq!((found.revision.as_deref(), found.stable.as_deref()), (Some(revision), expected));
        }
    }
}
