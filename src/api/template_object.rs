//! Templates as objects of the cluster: their two kinds, what is read of them, and their status.
//!
//! Calls are made elsewhere. Invariant: the status says nothing that a reader of the object may not
//! know, and what is read from it is checked like any other template.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The API group of both kinds. Unlike the domain of annotations it cannot be changed.
pub const GROUP: &str = "outrigger.dev";
/// The only version so far.
pub const VERSION: &str = "v1alpha1";
/// The condition of every template.
pub const READY: &str = "Ready";
/// How many revisions of a template are kept, the current one included.
pub const MAX_REVISIONS: usize = crate::inject::ObjectText::MAX_REVISIONS;

/// The two kinds of template objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TemplateKind {
    /// `ClusterInjectionTemplate`: cluster scoped, written by admins.
    Cluster,
    /// `InjectionTemplate`: of one namespace, written by its tenants.
    Namespaced,
}

impl TemplateKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Namespaced];

    /// The kind as objects have it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterInjectionTemplate",
            Self::Namespaced => "InjectionTemplate",
        }
    }

    /// The resource as paths of the API have it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clusterinjectiontemplates",
            Self::Namespaced => "injectiontemplates",
        }
    }
}

/// Which object: a `ClusterInjectionTemplate` has no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace of an `InjectionTemplate`.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The kind of the object.
    pub const fn kind(&self) -> TemplateKind {
        if self.namespace.is_some() { TemplateKind::Namespaced } else { TemplateKind::Cluster }
    }
}

impl fmt::Display for ObjectKey {
    /// As messages name it: `ClusterInjectionTemplate/proxy`, `InjectionTemplate/shop/proxy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().kind();
        match &self.namespace {
            Some(namespace) => write!(f, "{kind}/{namespace}/{}", self.name),
            None => write!(f, "{kind}/{}", self.name),
        }
    }
}

/// A template object as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateObject {
    /// Which object.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`: it grows with each change of the spec.
    pub generation: i64,
    /// The template document as JSON text: `apiVersion`, `kind`, name and namespace, `spec`.
    pub document: String,
    /// Its status; empty if there is none or it cannot be read.
    pub status: TemplateObjectStatus,
}

/// What happened to template objects.
#[derive(Debug)]
pub enum TemplateChange {
    /// A complete list of one kind begins: its objects follow as [`Self::Applied`].
    ListBegins(TemplateKind),
    /// The list is complete: objects of this kind that were not in it are gone.
    ListEnds(TemplateKind),
    /// The API server does not have this kind: the CRD is not installed.
    KindMissing(TemplateKind),
    /// An object is new or has changed, or is part of a list.
    Applied(Box<TemplateObject>),
    /// An object was deleted.
    Deleted(ObjectKey),
}

/// The status of a template object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateObjectStatus {
    /// The generation that the rest of the status is about.
    pub observed_generation: i64,
    /// One condition of the type `Ready`.
    pub conditions: Vec<TemplateCondition>,
    /// `OptIn` or `Automatic`.
    pub injection: String,
    /// Names of the sidecars, separated by commas.
    pub sidecars: String,
    /// The revision that pods get; empty if none is served. With a rollout, that of the chosen part.
    pub revision: String,
    /// The revision that pods outside of a rollout get; equal to `revision` without one.
    pub stable_revision: String,
    /// What is probably not as its author expects, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The last revisions, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<StoredRevision>,
    /// How many pods carry the template, of whatever revision.
    pub pods: i64,
    /// In how many namespaces these pods are.
    pub namespaces: i64,
}

/// A condition, as Kubernetes' API conventions have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateCondition {
    /// `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True` or `False`.
    pub status: String,
    /// A word in camel case for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When `status` changed last, RFC 3339.
    pub last_transition_time: String,
    /// The generation that the condition is about.
    pub observed_generation: i64,
}

/// A revision of a template that pods may ask for by `name@revision`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredRevision {
    /// The revision: 10 hex digits.
    pub revision: String,
    /// The spec as JSON, compressed as a block of LZ4 after its length (4 bytes, little endian), in base64.
    pub spec: String,
    /// How many pods carry this revision.
    pub pods: i64,
}

/// What the status of an object should say, but for what is counted in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateReport {
    /// Which object.
    pub key: ObjectKey,
    /// `metadata.uid` of the object that this is about.
    pub uid: String,
    /// The generation that was looked at.
    pub generation: i64,
    /// Whether pods get what the object says now.
    pub is_ready: bool,
    /// Why, as a word in camel case.
    pub reason: &'static str,
    /// Why, as one line.
    pub message: String,
    /// `OptIn` or `Automatic`.
    pub injection: &'static str,
    /// Names of the sidecars, separated by commas.
    pub sidecars: String,
    /// The revision that pods get; empty if none is served.
    pub revision: String,
    /// The revision that pods outside of a rollout get.
    pub stable_revision: String,
    /// A line each.
    pub warnings: Vec<String>,
    /// The last revisions, the newest first.
    pub revisions: Vec<ReportedRevision>,
}

/// A revision that the status should keep. The bytes are shared with the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedRevision {
    /// The revision.
    pub revision: String,
    /// What [`StoredRevision::spec`] has in base64.
    pub spec: Arc<[u8]>,
}
