//! The snapshot that requests see.
//!
//! Invariant: one atomic pointer. Readers never wait and never see half a change; one request sees
//! one snapshot.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::inject::Injector;

/// Holds the current [`Injector`]: always a good one, since there is no way to make a store
/// without.
pub(crate) struct InjectorStore(ArcSwap<Injector>);

impl InjectorStore {
    pub(crate) fn new(injector: Injector) -> Self {
        Self(ArcSwap::from_pointee(injector))
    }

    /// The snapshot to answer one request with.
    pub(crate) fn current(&self) -> Arc<Injector> {
        self.0.load_full()
    }

    /// From now on requests see `injector`; those under way keep theirs.
    pub(crate) fn replace(&self, injector: Injector) {
        self.0.store(Arc::new(injector));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::{Settings, TemplateSet};

    fn injector(domain: &str) -> Injector {
        Injector::new(TemplateSet::default(), Settings { domain: domain.to_owned(), ..Settings::default() })
    }

    #[test]
    fn a_request_keeps_its_snapshot() {
        let store = InjectorStore::new(injector("old.example"));
        let seen = store.current();
        store.replace(injector("new.example"));
        assert_eq!(seen.settings().domain, "old.example");
        assert_eq!(store.current().settings().domain, "new.example");
    }
}
