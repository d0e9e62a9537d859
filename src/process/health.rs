//! Readiness as promises: each part of the program takes one at start and drops it when it is ready.
//!
//! Ready means that no promise is outstanding, so nobody can forget to set a flag. It says nothing about liveness, and
//! nothing about an API server being reachable now.
//! Invariant: a promise once kept stays kept, until its part has reason to give it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is ready and who is not.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Check>>>);

/// One part of the program that has to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name of the check, as `/readyz?verbose` lists it.
    pub name: &'static str,
    /// Whether the check holds.
    pub is_ready: bool,
}

/// Held by a part of the program until it is ready.
#[must_use = "dropping a promise says that the part is ready"]
pub struct Promise {
    readiness: Readiness,
    index: usize,
}

impl Readiness {
    /// Takes a promise; nobody is ready before it is dropped. A name that was promised before is promised anew.
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

    /// All parts, in the order of their promises.
    pub fn checks(&self) -> Vec<Check> {
        self.lock().clone()
    }

    /// A flag cannot be left half written, so a panic elsewhere takes nothing from it.
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
    fn ready_when_every_promise_is_dropped() {
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
