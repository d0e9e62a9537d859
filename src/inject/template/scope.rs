//! Whose templates they are: the cluster's, or those of one namespace.

/// Where a template is visible.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TemplateScope {
    /// A `ClusterInjectionTemplate`: visible in all namespaces.
    #[default]
    Cluster,
    /// An `InjectionTemplate`: visible in this namespace alone, and restricted in what it may do.
    Namespace(String),
}

impl TemplateScope {
    /// The namespace of an `InjectionTemplate`.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster => None,
            Self::Namespace(namespace) => Some(namespace),
        }
    }
}
