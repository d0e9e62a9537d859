//! The templates that pods of one namespace can name: those of the cluster, and the namespace's own.
//!
//! Invariant: a template of a namespace is seen in no other, and takes the place of one of the
//! cluster only where that one lets it: it says `shadowable`, or it is compiled in.

use super::{Entries, TemplateEntry, TemplateSet};
use crate::inject::template::{Revision, Template};
use crate::inject::text::{Message, message, quote, value, words};
use std::collections::{BTreeMap, BTreeSet};

/// The part of all pods to which a pod belongs in the rollout of a template: 0 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub u8);

/// What is found under a name.
pub(crate) enum Found<'t> {
    /// The template.
    Working(&'t Template),
    /// It never loaded, or this build cannot take the revision, for this reason.
    Broken(Message),
    /// There is no such revision of it; these there are, the newest first.
    RevisionGone(Vec<String>),
    /// There is no template of this name.
    Unknown,
}

impl<'t> Found<'t> {
    /// The template, if it works.
    pub(crate) const fn template(&self) -> Option<&'t Template> {
        match self {
            Self::Working(template) => Some(template),
            Self::Broken(_) | Self::RevisionGone(_) | Self::Unknown => None,
        }
    }
}

/// The templates of one namespace's pods.
#[derive(Clone, Copy)]
pub(crate) struct VisibleTemplates<'t> {
    set: &'t TemplateSet,
    own: Option<&'t BTreeMap<String, TemplateEntry>>,
}

impl<'t> VisibleTemplates<'t> {
    pub(super) fn new(set: &'t TemplateSet, entries: &'t Entries, namespace: &str) -> Self {
        Self { set, own: entries.of_namespace(namespace) }
    }

    fn entry(&self, name: &str) -> Option<&'t TemplateEntry> {
        let own = self.own.and_then(|own| own.get(name));
        match (own, self.set.entries().cluster.get(name)) {
            (Some(own), Some(cluster)) => Some(if self.yields(name, cluster) { own } else { cluster }),
            (Some(entry), None) | (None, Some(entry)) => Some(entry),
            (None, None) => None,
        }
    }

    /// Whether a template of the cluster gives way to one of a namespace.
    fn yields(&self, name: &str, entry: &TemplateEntry) -> bool {
        self.set.is_of_fallback(name) || matches!(entry, TemplateEntry::Working(template) if template.is_shadowable)
    }

    /// The template of this name: at the revision that is asked for, or else at the one that a pod
    /// in this part of a rollout gets.
    pub(crate) fn get(&self, name: &str, revision: Option<&Revision>, slot: impl FnOnce() -> Slot) -> Found<'t> {
        let lazy = match self.entry(name) {
            None => return Found::Unknown,
            Some(TemplateEntry::Broken(problem)) => return Found::Broken(problem.sentence()),
            Some(TemplateEntry::Working(lazy)) => lazy,
        };
        let (revision, template) = match (revision, lazy.rollout_percent()) {
            (Some(revision), _) if *revision != lazy.revision => (revision, lazy.earlier(revision)),
            (None, Some(percent)) if slot().0 >= percent => {
                let stable = lazy.stable_revision();
                (stable, lazy.earlier(stable))
            }
            _ => (&lazy.revision, Some(lazy.template())),
        };
        match template {
            Some(Some(template)) => Found::Working(template),
            None => Found::RevisionGone(lazy.revisions().map(ToString::to_string).collect()),
            Some(None) if *revision == lazy.revision => {
                Found::Broken(message!["it loaded once and cannot be compiled again, which is a bug in Outrigger"])
            }
            Some(None) => Found::Broken(message![
                "its revision ",
                words(revision),
                " is kept in the status of the object, and this version of Outrigger cannot take it; ask for another revision"
            ]),
        }
    }

    /// Why the namespace's own template of this name is not used, if there is one.
    pub(crate) fn hidden(&self, name: &str) -> Option<Message> {
        self.own?.get(name)?;
        self.would_hide(name)
    }

    /// Why a template of the namespace with this name is not used, or would not be.
    pub(crate) fn would_hide(&self, name: &str) -> Option<Message> {
        let cluster = self.set.entries().cluster.get(name)?;
        let sentence =
            "the cluster's template is used, not that of the namespace: it does not say \"shadowable: true\"";
        (!self.yields(name, cluster)).then(|| message!["template ", value(quote(name)), ": ", sentence])
    }

    /// Whether a template of the namespace is used although the cluster has one of its name.
    pub(crate) fn shadows(&self, name: &str) -> bool {
        let has_own = self.own.is_some_and(|own| own.contains_key(name));
        has_own && self.set.entries().cluster.get(name).is_some_and(|cluster| self.yields(name, cluster))
    }

    /// The rollout of a template that is under way: the part of the pods that get the current
    /// revision, this revision, and that of the others.
    pub(crate) fn rollout(&self, name: &str) -> Option<(u8, &'t Revision, &'t Revision)> {
        let Some(TemplateEntry::Working(lazy)) = self.entry(name) else { return None };
        Some((lazy.rollout_percent()?, &lazy.revision, lazy.stable_revision()))
    }

    /// Names of the templates that a working template excludes. It is not compiled for it.
    pub(crate) fn excluded_by(&self, name: &str) -> &'t [String] {
        match self.entry(name) {
            Some(TemplateEntry::Working(template)) => &template.excludes,
            Some(TemplateEntry::Broken(_)) | None => &[],
        }
    }

    /// Whether a template of this name exists, working or broken.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Names of all templates, working or broken, sorted.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = &'t str> {
        let cluster = self.set.entries().cluster.keys();
        let mut own = self.own.into_iter().flat_map(BTreeMap::keys).peekable();
        let mut cluster = cluster.peekable();
        std::iter::from_fn(move || {
            let (one, other) = (cluster.peek().copied(), own.peek().copied());
            let least = one.into_iter().chain(other).min()?;
            if one == Some(least) {
                cluster.next();
            }
            if other == Some(least) {
                own.next();
            }
            Some(least.as_str())
        })
    }

    /// Names of the templates that work, sorted.
    pub(crate) fn names(&self) -> Vec<&'t str> {
        let is_working = |name: &&str| matches!(self.entry(name), Some(TemplateEntry::Working(_)));
        self.all_names().filter(is_working).collect()
    }

    /// Why an unknown name may still be that of a template: an unreadable text may define it.
    pub(crate) fn unread(&self) -> Option<Message> {
        self.set.unread()
    }

    /// Names of the working templates that choose their pods themselves, sorted.
    pub(crate) fn automatic(&self) -> Vec<&'t str> {
        let of_cluster = self.set.automatic().iter().map(String::as_str);
        let Some(own) = self.own else { return of_cluster.collect() };
        let own = own.iter().filter(|(_, entry)| entry.is_automatic()).map(|(name, _)| name.as_str());
        let names: BTreeSet<&str> = of_cluster.chain(own).collect();
        let is_used = |name: &&str| self.entry(name).is_some_and(TemplateEntry::is_automatic);
        names.into_iter().filter(is_used).collect()
    }
}
