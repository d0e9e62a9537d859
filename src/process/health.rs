//! Tracks readiness: each part of the program takes a promise at the start and drops it when it is
//! ready.
//!
//! The process is ready when no promise is outstanding, so no part can forget to set a flag.
//! Readiness does not cover liveness, or whether an API server is reachable now.
//! Invariant: a dropped promise stays kept until its part takes it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The readiness checks of all parts.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Check>>>);

/// The readiness check of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name of the check, as `/readyz?verbose` lists it.
    pub name: &'static str,
    /// Whether the check holds.
    pub is_ready: bool,
}

/// A part of the program keeps it until it is ready.
#[must_use = "dropping a promise says that the part is ready"]
pub struct Promise {
    readiness: Readiness,
    index: usize,
}

impl Readiness {
    /// Takes a promise: the process is not ready until it is dropped. A name taken before is reset.
    pub fn promise(&self, name: &'static str) -> Promise {
        let mut checks = self.lock();
        let index = checks.iter().position(|check| check.name == name).unwrap_or(checks.len());
        match checks.get_mut(index) {
            Some(check) => check.is_ready = false,
            None => checks.push(Check { name, is_ready: false }),
        }
        Promise { readiness: self.clone(), index }
    }

    /// Whether all checks hold.
    pub fn is_ready(&self) -> bool {
        self.lock().iter().all(|check| check.is_ready)
    }

    /// All checks, in the order of their first promise.
    pub fn checks(&self) -> Vec<Check> {
        self.lock().clone()
    }

    /// A panic elsewhere cannot leave a flag half written, so a poisoned lock is usable.
    fn lock(&self) -> MutexGuard<'_, Vec<Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(check) = self.readiness.lock().get_mut(self.index) {
            check.is_ready = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_ready_when_every_promise_is_dropped() {
        let readiness = Readiness::default();
        let templates = readiness.promise("templates");
        let certificate = readiness.promise("certificate");
        assert!(!readiness.is_ready());
        drop(templates);
        assert!(!readiness.is_ready());
        let states: Vec<bool> = readiness.checks().iter().map(|check| check.is_ready).collect();
        assert_eq!(states, [true, false]);
        drop(certificate);
        assert!(readiness.is_ready());
        let again = readiness.promise("certificate");
        assert_eq!((readiness.is_ready(), readiness.checks().len()), (false, 2));
        drop(again);
        assert!(readiness.is_ready());
    }
}
