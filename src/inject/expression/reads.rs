//! The variables of expressions, and the paths that an expression reads below them.

use std::collections::BTreeSet;

/// A variable of expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    /// The pod's values of the template's parameters.
    Params,
    /// The pod as admitted, without managedFields.
    Pod,
    /// The first selected container of the app.
    App,
    /// All selected containers of the app.
    Apps,
    /// The container of the app that is being given something; only in `app`.
    Container,
    /// The element of `forEach`; only in its item.
    Each,
    /// Name, labels and annotations of the namespace.
    Namespace,
    /// `version` of the cluster.
    Cluster,
    /// Names of the templates that the pod asks for or has.
    Templates,
}

impl Root {
    pub(crate) const ALL: [Self; 9] = [
        Self::Params,
        Self::Pod,
        Self::App,
        Self::Apps,
        Self::Container,
        Self::Each,
        Self::Namespace,
        Self::Cluster,
        Self::Templates,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Pod => "pod",
            Self::App => "app",
            Self::Apps => "apps",
            Self::Container => "container",
            Self::Each => "each",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
            Self::Templates => "templates",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.name() == name)
    }
}

/// What an expression reads: per variable, the paths of map keys below it (an empty path is the
/// whole variable).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads(BTreeSet<(Root, Vec<String>)>);

impl Reads {
    /// What `params.name` reads.
    pub(super) fn parameter(name: &str) -> Self {
        Self(BTreeSet::from([(Root::Params, vec![name.to_owned()])]))
    }

    /// [`Self::owner`] of what reads `container` alone.
    pub(crate) const CONTAINER: &'static str = "the container";

    /// The name of the Kubernetes object that is read, if any; a missing key is missing there.
    pub(crate) fn owner(&self) -> Option<&'static str> {
        let owners = [
            (self.has(Root::App) || self.has(Root::Apps), "the app container"),
            (self.has(Root::Container), Self::CONTAINER),
            (self.has(Root::Each), "the element of forEach"),
            (self.has(Root::Namespace), "the namespace"),
            (self.has(Root::Pod), "the pod"),
        ];
        let mut read = owners.iter().filter(|(reads, _)| *reads).map(|(_, owner)| *owner);
        match (read.next(), read.next()) {
            (Some(_), Some(_)) => Some("the pod"),
            (only, _) => only,
        }
    }

    /// Paths read below `root`.
    pub(crate) fn of(&self, root: Root) -> impl Iterator<Item = &[String]> {
        self.0.iter().filter(move |(one, _)| *one == root).map(|(_, path)| path.as_slice())
    }

    /// Whether one of these parameters is read, or possibly read.
    pub(crate) fn reads_parameter(&self, name: &str) -> bool {
        self.of(Root::Params).any(|path| path.first().is_none_or(|first| first == name))
    }

    /// Whether anything of this variable is read.
    pub(crate) fn has(&self, root: Root) -> bool {
        self.of(root).next().is_some()
    }

    /// Adds one path below a variable.
    pub(super) fn insert(&mut self, root: Root, path: Vec<String>) {
        self.0.insert((root, path));
    }

    /// Adds what another expression reads.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }
}
