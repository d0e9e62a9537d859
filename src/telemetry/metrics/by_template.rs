//! Metrics with the label `template`: the counters of each name, found without a lock.
//!
//! Invariant: at most [`MAX_NAMES`] names beside `other`, however many templates come and go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

/// Beyond so many names of templates the rest counts as `other`.
pub(super) const MAX_NAMES: usize = 200;
const OTHER: &str = "other";
const PLACES: usize = MAX_NAMES + 1;

/// The counters by name of the template.
pub(super) struct ByTemplate<C> {
    /// Registers the counters of a name.
    register: Box<dyn Fn(&str) -> C + Send + Sync>,
    other: C,
    /// Readers take what is there; the few writers copy it, one after the other.
    by_name: ArcSwap<HashMap<String, C>>,
    writers: Mutex<()>,
}

impl<C: Clone> ByTemplate<C> {
    pub(super) fn new(register: impl Fn(&str) -> C + Send + Sync + 'static) -> Self {
        let other = register(OTHER);
        // A template may itself be called `other`: it has these counters.
        let by_name = ArcSwap::from_pointee(HashMap::from([(OTHER.to_owned(), other.clone())]));
        Self { register: Box::new(register), other, by_name, writers: Mutex::default() }
    }

    /// These templates are served: their counters start at 0, where there is room for all of them.
    /// Where there is not, the places are for those that are used.
    pub(super) fn announce<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let known = self.by_name.load();
        let new: Vec<&str> = names.filter(|name| !known.contains_key(*name)).collect();
        if known.len() + new.len() <= PLACES {
            self.add(&new);
        }
    }

    /// Counts with the counters of this name.
    pub(super) fn count(&self, name: &str, count: impl Fn(&C)) {
        let known = self.by_name.load();
        match known.get(name) {
            Some(counters) => count(counters),
            None if known.len() >= PLACES => count(&self.other),
            None => {
                self.add(&[name]);
                count(self.by_name.load().get(name).unwrap_or(&self.other));
            }
        }
    }

    fn add(&self, names: &[&str]) {
        // There is nothing behind the lock that could be left half changed.
        let _writing = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = HashMap::clone(&self.by_name.load());
        for name in names {
            if by_name.len() < PLACES && !by_name.contains_key(*name) {
                by_name.insert((*name).to_owned(), (self.register)(name));
            }
        }
        self.by_name.store(Arc::new(by_name));
    }
}
