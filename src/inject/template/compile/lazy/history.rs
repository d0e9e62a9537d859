//! The earlier revisions of a template, which its object keeps, and the rollout of a new one.
//!
//! They are read when a pod asks for one, or gets one because of a rollout.
//! Invariant: a text that is not that of its revision, or that breaks a rule of templates, is never
//! rendered: it may come from anybody who may write the object's status.

use super::{CompressedJson, LazyTemplate};
use crate::inject::expression;
use crate::inject::template::compile::{Template, structure};
use crate::inject::template::document::MAX_TEMPLATE_BYTES;
use crate::inject::template::spec::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND};
use crate::inject::template::{Revision, TemplateScope};
use crate::inject::text::json::without_nulls;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// The text of a template object, and what its status keeps of earlier revisions.
#[derive(Clone, Debug, Default)]
pub struct ObjectText {
    /// What problems call the object, such as `ClusterInjectionTemplate/proxy`.
    pub origin: String,
    /// `metadata.name`.
    pub name: String,
    /// Whose template it is.
    pub scope: TemplateScope,
    /// The document as JSON.
    pub document: String,
    /// The last revisions, the newest first; the current one may be among them.
    pub revisions: Vec<KeptRevision>,
    /// The revision that pods outside of a rollout get.
    pub stable: String,
    /// Whether the object's status has kept a revision.
    pub was_served: bool,
}

impl ObjectText {
    /// Most revisions of a template that are kept, the current one included.
    pub const MAX_REVISIONS: usize = 5;
    /// Longest text that is parsed, in bytes.
    pub const MAX_BYTES: usize = MAX_TEMPLATE_BYTES;

    /// The revision of a spec, whether it can be served or not.
    pub fn revision_of(spec: &Value) -> String {
        Revision::of(&without_nulls(spec)).to_string()
    }

    /// Whether the text is longer than a template may be. Then it is not parsed.
    pub fn is_too_large(&self) -> bool {
        self.document.len() > Self::MAX_BYTES
    }

    /// The revision of the current text, whether it can be served or not. `None` if it cannot be read.
    pub fn revision(&self) -> Option<String> {
        if self.is_too_large() {
            return None;
        }
        #[derive(serde::Deserialize)]
        struct OnlySpec {
            spec: Value,
        }
        let OnlySpec { spec } = serde_json::from_str(&self.document).ok()?;
        Some(Self::revision_of(&spec))
    }
}

/// A revision and its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRevision {
    /// 10 hex digits.
    pub revision: String,
    /// The spec as JSON: a block of LZ4 after its length (4 bytes, little endian).
    pub spec: Arc<[u8]>,
}

/// An earlier revision of a template.
#[derive(Debug)]
pub(super) struct EarlierRevision {
    pub revision: Revision,
    spec: CompressedJson,
    compiled: OnceLock<Option<Box<Template>>>,
}

/// A rollout that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActiveRollout {
    /// The part of the pods that get the new revision, from 0 to 99.
    pub percent: u8,
    /// The revision of the others: its place among the earlier ones.
    pub stable: usize,
}

impl EarlierRevision {
    fn new(kept: &KeptRevision) -> Option<Self> {
        let (revision, spec) = (Revision::parse(&kept.revision)?, CompressedJson::stored(Arc::clone(&kept.spec)));
        Some(Self { revision, spec, compiled: OnceLock::new() })
    }

    /// The template, compiled at its first use. `None` if this build cannot take it any more.
    fn template(&self, of: &LazyTemplate) -> Option<&Template> {
        let compile = || expression::with_large_stack(|| self.compile(of)).ok().flatten();
        self.compiled.get_or_init(|| compile().map(Box::new)).as_deref()
    }

    fn compile(&self, of: &LazyTemplate) -> Option<Template> {
        compile(&self.revision, &self.spec, &of.name, &of.scope, &of.origin).map(|(template, _)| template)
    }
}

/// The template of a kept spec, with the spec. It is checked like a new one.
fn compile(
    revision: &Revision,
    spec: &CompressedJson,
    name: &str,
    scope: &TemplateScope,
    origin: &str,
) -> Option<(Template, Value)> {
    let spec: Value = serde_json::from_slice(&spec.text()?).ok()?;
    if Revision::of(&spec) != *revision {
        return None;
    }
    let document = match scope {
        TemplateScope::Cluster => {
            json!({"apiVersion": API_VERSION, "kind": CLUSTER_KIND, "metadata": {"name": name}, "spec": spec})
        }
        TemplateScope::Namespace(namespace) => json!({"apiVersion": API_VERSION, "kind": NAMESPACED_KIND,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec}),
    };
    let (errors, _) = structure::check(name, &document);
    let parsed = structure::read(document, &errors).ok()??;
    Template::compile(name, scope, origin, parsed, &spec).ok().map(|template| (template, spec))
}

impl LazyTemplate {
    /// The template with the earlier revisions of its object.
    pub(in crate::inject::template::compile) fn with_history(mut self, kept: &[KeptRevision], stable: &str) -> Self {
        let is_other = |kept: &&KeptRevision| kept.revision != self.revision.as_str();
        self.earlier =
            kept.iter().filter(is_other).take(ObjectText::MAX_REVISIONS).filter_map(EarlierRevision::new).collect();
        let percent = self.rollout.map(|rollout| rollout.percent).filter(|percent| *percent < 100);
        let stable = self.earlier.iter().position(|earlier| earlier.revision.as_str() == stable);
        self.active_rollout = percent.zip(stable).map(|(percent, stable)| ActiveRollout { percent, stable });
        self
    }

    /// The newest kept revision that compiles, for an object whose current text does not.
    pub(in crate::inject::template::compile) fn last_good(object: &ObjectText) -> Option<Self> {
        let of_kept = |kept: &KeptRevision| {
            let (revision, spec) = (Revision::parse(&kept.revision)?, CompressedJson::stored(Arc::clone(&kept.spec)));
            let (template, spec) = compile(&revision, &spec, &object.name, &object.scope, &object.origin)?;
            Some(Self::new(template, &spec).with_history(&object.revisions, &object.stable))
        };
        object.revisions.iter().take(ObjectText::MAX_REVISIONS).find_map(of_kept)
    }

    /// The revisions to keep, the newest first: this one, then earlier ones. That of a rollout's other
    /// pods is always among them.
    pub(crate) fn kept_revisions(&self) -> Vec<KeptRevision> {
        let own = KeptRevision { revision: self.revision.to_string(), spec: self.compressed() };
        let stable = self.active_rollout.map(|rollout| rollout.stable);
        let most = ObjectText::MAX_REVISIONS - 1;
        let is_kept = |index: usize| match stable {
            Some(stable) if stable >= most => index < most - 1 || index == stable,
            _ => index < most,
        };
        let earlier = self.earlier.iter().enumerate().filter(|(index, _)| is_kept(*index));
        let kept = earlier.map(|(_, one)| KeptRevision { revision: one.revision.to_string(), spec: one.spec.bytes() });
        std::iter::once(own).chain(kept).collect()
    }

    /// The revision that pods outside of a rollout get.
    pub(crate) fn stable_revision(&self) -> &Revision {
        let earlier = self.active_rollout.and_then(|rollout| self.earlier.get(rollout.stable));
        earlier.map_or(&self.revision, |earlier| &earlier.revision)
    }

    /// Whether a rollout has no earlier revision to give to the other pods.
    pub(crate) fn lacks_stable_revision(&self) -> bool {
        self.rollout.is_some_and(|rollout| rollout.percent < 100) && self.active_rollout.is_none()
    }

    /// All revisions that a pod may ask for, the newest first.
    pub(crate) fn revisions(&self) -> impl Iterator<Item = &Revision> {
        std::iter::once(&self.revision).chain(self.earlier.iter().map(|earlier| &earlier.revision))
    }

    /// The template at an earlier revision. The outer `None`: there is none; the inner: this build
    /// cannot take it.
    pub(crate) fn earlier(&self, revision: &Revision) -> Option<Option<&Template>> {
        let earlier = self.earlier.iter().find(|earlier| earlier.revision == *revision)?;
        Some(earlier.template(self))
    }

    /// The part of the pods that get the new revision, if a rollout is under way.
    pub(crate) fn rollout_percent(&self) -> Option<u8> {
        self.active_rollout.map(|rollout| rollout.percent)
    }
}
