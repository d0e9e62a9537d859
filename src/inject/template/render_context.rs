//! The input of a rendering: the pod's parameter values and the objects that expressions may read.

use crate::inject::expression::{Reads, Root, Scope};
use crate::inject::pod::{ContainerList, PodDocument};
use crate::inject::request::Namespace;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The input for rendering one template for one pod.
#[derive(Clone, Copy)]
pub(crate) struct RenderContext<'a> {
    /// Values of the template's parameters.
    pub params: &'a BTreeMap<String, cel::Value>,
    pub pod: &'a PodDocument,
    /// The app containers that the template selects, by list and position. The first is `app`, all
    /// of them are `apps`.
    pub apps: &'a [(ContainerList, usize)],
    /// Name of the namespace.
    pub namespace: &'a str,
    /// Labels and annotations of the namespace, where they are known.
    pub namespace_object: Option<&'a Namespace>,
    pub cluster_version: &'a str,
    /// Names of all templates that the pod asks for or has, in their order.
    pub templates: &'a [&'a str],
    /// A clock in milliseconds, which limits the time of an evaluation.
    pub clock: Option<fn() -> u64>,
}

impl<'a> RenderContext<'a> {
    /// Runs `work` with the variables of expressions, as far as `reads` needs them.
    pub(crate) fn with_scope<T>(&self, reads: &Reads, work: impl FnOnce(&Scope<'_>) -> T) -> T {
        Scope::with(self.params, reads, self.clock, |root| self.object(root), work)
    }

    /// The selected container of this position.
    pub(super) fn app(&self, position: usize) -> Option<&'a Value> {
        let (list, index) = self.apps.get(position)?;
        self.pod.containers(*list).get(*index)
    }

    fn object(&self, root: Root) -> Option<Cow<'a, Value>> {
        match root {
            // The last two are set where they are read.
            Root::Params | Root::Container | Root::Each => None,
            Root::Pod => Some(Cow::Borrowed(self.pod.tree())),
            Root::App => Some(match self.app(0) {
                Some(first) => Cow::Borrowed(first),
                None => Cow::Owned(json!({})),
            }),
            Root::Apps => {
                Some(Cow::Owned((0..self.apps.len()).filter_map(|position| self.app(position)).cloned().collect()))
            }
            Root::Namespace => Some(Cow::Owned(match self.namespace_object {
                Some(known) => {
                    json!({"name": self.namespace, "labels": known.labels, "annotations": known.annotations})
                }
                None => json!({"name": self.namespace}),
            })),
            Root::Cluster => Some(Cow::Owned(json!({"version": self.cluster_version}))),
            Root::Templates => Some(Cow::Owned(json!(self.templates))),
        }
    }
}
