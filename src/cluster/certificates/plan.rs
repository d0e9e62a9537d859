//! Computes the next step of a certificate rotation from the cluster's state and the time; pure.
//!
//! The safety rule: an authority issues a leaf only after every webhook entry has trusted it for as
//! long as API servers may take to notice, and it stays trusted until every leaf that it may have
//! signed has expired. Each step changes one object; after any step, or a crash, [`next`] continues
//! from the state it finds.
//! Invariant (checked by the model in `plan/tests/model.rs`): no step makes an API server distrust
//! a leaf that is served.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::pki::{Fingerprint, Validity};

/// Lifetimes and renewal times of the certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub leaf_life: Duration,
    /// Replace a leaf at this age, if that is earlier than two thirds of its lifetime.
    pub leaf_renewal: Option<Duration>,
    pub ca_life: Duration,
    /// Replace an authority at this age, if that is earlier than two thirds of its lifetime.
    pub ca_renewal: Option<Duration>,
    /// How long API servers may take to notice a change of their webhook configurations.
    pub propagation: Duration,
}

/// The facts about an authority that the plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ca {
    pub id: Fingerprint,
    pub validity: Validity,
}

/// An authority that no longer signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetiredCa {
    pub ca: Ca,
    /// When the last leaf that it signed expires; unknown until a leaf of another authority is in
    /// use.
    pub until: Option<SystemTime>,
}

/// Regular use needs one; the limit bounds the Secret and `caBundle` when authorities are lost
/// repeatedly.
const MAX_RETIRED: usize = 32;

/// The content of the authorities' Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authorities {
    pub signing: Option<Ca>,
    /// Trusted, but does not sign yet.
    pub next: Option<Ca>,
    pub retired: Vec<RetiredCa>,
}

/// The content of the serving Secret: a certificate whose key matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The known authority that signed it.
    pub issuer: Fingerprint,
    pub validity: Validity,
    /// Whether it is valid for all of the webhook's hosts.
    pub covers_hosts: bool,
}

/// The `caBundle` of one webhook entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub trusts: BTreeSet<Fingerprint>,
    /// Whether the bundle contains nothing else.
    pub is_clean: bool,
}

/// The cluster's state as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObservedState {
    /// `None` if the Secret does not exist.
    pub authorities: Option<Authorities>,
    /// `None` if the Secret does not exist, `Some(None)` if it has no usable leaf.
    pub leaf: Option<Option<Leaf>>,
    /// One element per entry; `None` if the configuration does not exist.
    pub bundles: Option<Vec<Bundle>>,
    /// Valid authorities made by this program that are in a bundle or beside the leaf, but missing
    /// from their Secret.
    pub stray: Vec<Ca>,
    /// How long each authority has been in every bundle without interruption.
    pub trusted_for: BTreeMap<Fingerprint, Duration>,
    /// How long the configuration has not existed.
    pub absent_for: Duration,
}

/// A change of the authorities' Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Create an authority that signs at once, because there is none.
    CreateFirst,
    /// Create an authority that is to be trusted before it signs.
    CreateNext,
    /// The next authority starts to sign; the old one's key is deleted.
    Promote,
    /// Add authorities that are missing from the Secret but whose leaves may be in use.
    Adopt(Vec<Ca>),
    /// A leaf of the new authority is in use: keep the old ones until this time.
    SetExpiry(SystemTime),
    /// Remove retired authorities whose time is over and that no bundle trusts.
    Forget(BTreeSet<Fingerprint>),
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write the authorities' Secret.
    Authorities(Change),
    /// Set every bundle to exactly these authorities.
    Trust(BTreeSet<Fingerprint>),
    /// Write a new leaf, signed by the signing authority.
    Issue,
    /// Do nothing for this long, or until something changes.
    Wait(Duration),
}

/// The next step.
pub(crate) fn next(observed: &ObservedState, policy: &Policy, now: SystemTime) -> Step {
    let Some(authorities) = &observed.authorities else { return without_authorities(observed) };
    let excess = authorities.excess(&observed.stray, observed.leaf.flatten());
    let stray: Vec<Ca> = observed.stray.iter().filter(|ca| !excess.contains(&ca.id)).copied().collect();
    if !stray.is_empty() {
        return Step::Authorities(Change::Adopt(stray));
    }
    let trusted = &authorities.trusted(observed.leaf.flatten(), now) - &excess;
    if let Some(change) = missing_authority(authorities, policy, now) {
        return Step::Authorities(change);
    }
    if !observed.is_in_sync(&trusted) {
        return Step::Trust(trusted);
    }
    let Some(signing) = authorities.signing else { return Step::Wait(CHECK_INTERVAL) };
    let mut shortest = ShortestWait::from(now);
    if let Some(next) = authorities.next {
        match observed.untrusted_for(next.id, policy) {
            Duration::ZERO => return Step::Authorities(Change::Promote),
            wait => shortest.at_most(wait),
        }
    }
    let is_due = |leaf: &Leaf| leaf.validity.is_due(now, policy.leaf_renewal);
    let is_good = |leaf: &Leaf| leaf.issuer == signing.id && leaf.covers_hosts && !is_due(leaf);
    let leaf = observed.leaf.flatten().filter(is_good);
    // An authority that is about to expire does not sign: its leaf would have to be replaced at
    // once.
    let can_sign = now + policy.propagation < signing.validity.not_after;
    match (leaf, observed.untrusted_for(signing.id, policy)) {
        (Some(leaf), _) => shortest.until(leaf.validity.renewal(policy.leaf_renewal)),
        // There is no Secret to write the leaf to.
        (None, _) if observed.leaf.is_none() || !can_sign => {}
        (None, Duration::ZERO) => return Step::Issue,
        (None, wait) => shortest.at_most(wait),
    }
    if let Some(change) = cleanup(authorities, observed, &excess, leaf.is_some(), policy, now) {
        return Step::Authorities(change);
    }
    shortest.until(signing.validity.renewal(policy.ca_renewal));
    authorities.retired.iter().filter_map(|retired| retired.until).for_each(|until| shortest.until(until));
    Step::Wait(shortest.duration)
}

/// Without the authorities' Secret, which this program must not create, all it can do is keep the
/// current leaf trusted.
fn without_authorities(observed: &ObservedState) -> Step {
    let Some(leaf) = observed.leaf.flatten() else { return Step::Wait(CHECK_INTERVAL) };
    // Then all known authorities are stray; an issuer that is not among them has expired.
    let known: BTreeSet<Fingerprint> = observed.stray.iter().map(|ca| ca.id).collect();
    let lacks_it = |bundle: &Bundle| !bundle.trusts.contains(&leaf.issuer);
    if known.contains(&leaf.issuer) && observed.bundles.iter().flatten().any(lacks_it) {
        return Step::Trust(known);
    }
    Step::Wait(CHECK_INTERVAL)
}

/// The changes of the authorities that need no waiting.
fn missing_authority(authorities: &Authorities, policy: &Policy, now: SystemTime) -> Option<Change> {
    match (authorities.signing, authorities.next) {
        (None, None) => Some(Change::CreateFirst),
        // No authority signs meanwhile, so waiting gains nothing: a leaf waits for trust in any
        // case.
        (None, Some(_)) => Some(Change::Promote),
        (Some(signing), None) if signing.validity.is_due(now, policy.ca_renewal) => Some(Change::CreateNext),
        (Some(_), _) => None,
    }
}

/// Sets the expiry of retired authorities, or removes those that are no longer needed.
fn cleanup(
    authorities: &Authorities,
    observed: &ObservedState,
    excess: &BTreeSet<Fingerprint>,
    has_new_leaf: bool,
    policy: &Policy,
    now: SystemTime,
) -> Option<Change> {
    let retired = &authorities.retired;
    if has_new_leaf && retired.iter().any(|retired| retired.until.is_none()) {
        // Every leaf of an old key was signed before now; the extra quarter allows for clock skew.
        return Some(Change::SetExpiry(now + policy.leaf_life + policy.leaf_life / 4));
    }
    let trusted = |id: &Fingerprint| observed.bundles.iter().flatten().any(|bundle| bundle.trusts.contains(id));
    let over = retired.iter().filter(|retired| retired.is_over(now) || excess.contains(&retired.ca.id));
    let over = over.map(|retired| retired.ca.id);
    let over: BTreeSet<Fingerprint> = over.filter(|id| !trusted(id)).collect();
    (!over.is_empty()).then_some(Change::Forget(over))
}

/// The longest wait between two checks of the wall clock.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Collects the shortest of several waits.
struct ShortestWait {
    now: SystemTime,
    duration: Duration,
}

impl ShortestWait {
    fn from(now: SystemTime) -> Self {
        Self { now, duration: CHECK_INTERVAL }
    }

    fn at_most(&mut self, wait: Duration) {
        self.duration = self.duration.min(wait);
    }

    fn until(&mut self, time: SystemTime) {
        // A time in the past waits for something else than the clock.
        if let Some(wait) = time.duration_since(self.now).ok().filter(|wait| !wait.is_zero()) {
            self.at_most(wait.max(Duration::from_millis(50)));
        }
    }
}

impl RetiredCa {
    /// Whether every leaf that it signed has expired: at `until`, and at the latest when it expires
    /// itself.
    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now) || self.ca.validity.not_after < now
    }
}

impl Authorities {
    /// The oldest retired authorities beyond [`MAX_RETIRED`]. If another client repeatedly deletes
    /// the authorities, each one is found and trusted again; without a limit `caBundle` and the
    /// Secret would grow until nothing could be written.
    fn excess(&self, stray: &[Ca], leaf: Option<Leaf>) -> BTreeSet<Fingerprint> {
        let is_in_use = |ca: &&Ca| leaf.is_some_and(|leaf| leaf.issuer == ca.id);
        let retired = self.retired.iter().map(|retired| &retired.ca);
        let mut all: Vec<&Ca> = retired.chain(stray).filter(|ca| !is_in_use(ca)).collect();
        all.sort_by_key(|ca| std::cmp::Reverse((ca.validity.not_before, ca.id)));
        all.into_iter().skip(MAX_RETIRED).map(|ca| ca.id).collect()
    }

    /// The authorities that API servers have to trust: those that sign, will sign, or signed a leaf
    /// that may still be served.
    fn trusted(&self, leaf: Option<Leaf>, now: SystemTime) -> BTreeSet<Fingerprint> {
        // A clock that jumps ahead must not remove the issuer of the served leaf.
        let is_served = |id: Fingerprint| leaf.is_some_and(|leaf| leaf.issuer == id);
        let retired = self.retired.iter().filter(|retired| !retired.is_over(now) || is_served(retired.ca.id));
        self.signing.iter().chain(&self.next).map(|ca| ca.id).chain(retired.map(|retired| retired.ca.id)).collect()
    }

    /// The authorities after a change; `new` is the authority created for it.
    #[must_use]
    pub(crate) fn changed(mut self, change: &Change, new: Option<Ca>) -> Self {
        match change {
            Change::CreateFirst => self.signing = new,
            Change::CreateNext => self.next = new,
            Change::Promote => {
                let old = std::mem::replace(&mut self.signing, self.next.take());
                self.retired.extend(old.map(|ca| RetiredCa { ca, until: None }));
            }
            Change::Adopt(stray) => self.retired.extend(stray.iter().map(|ca| RetiredCa { ca: *ca, until: None })),
            Change::SetExpiry(until) => {
                self.retired.iter_mut().for_each(|retired| retired.until = retired.until.or(Some(*until)));
            }
            Change::Forget(over) => self.retired.retain(|retired| !over.contains(&retired.ca.id)),
        }
        self
    }

    /// All authorities.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Fingerprint> {
        let active = self.signing.iter().chain(&self.next).map(|ca| ca.id);
        active.chain(self.retired.iter().map(|retired| retired.ca.id))
    }
}

impl Change {
    pub(crate) fn needs_new_ca(&self) -> bool {
        matches!(self, Self::CreateFirst | Self::CreateNext)
    }
}

impl ObservedState {
    fn is_in_sync(&self, trusted: &BTreeSet<Fingerprint>) -> bool {
        self.bundles.iter().flatten().all(|bundle| bundle.is_clean && bundle.trusts == *trusted)
    }

    /// How long until every API server trusts the authority, or until none calls if there is no
    /// configuration.
    fn untrusted_for(&self, id: Fingerprint, policy: &Policy) -> Duration {
        let trusted_for = match &self.bundles {
            None => Some(self.absent_for),
            Some(_) => self.trusted_for.get(&id).copied(),
        };
        // An authority that was not in every bundle yet still has the whole time to wait.
        policy
            .propagation
            .saturating_sub(trusted_for.unwrap_or_default())
            .max(Duration::from_millis(u64::from(trusted_for.is_none())))
    }
}

/// Records since when each authority has been in every bundle. It is kept in memory only: a new
/// leader starts counting again.
#[derive(Debug)]
pub(crate) struct TrustHistory<T> {
    since: BTreeMap<Fingerprint, T>,
    absent_since: Option<T>,
}

impl<T> Default for TrustHistory<T> {
    fn default() -> Self {
        Self { since: BTreeMap::new(), absent_since: None }
    }
}

impl<T: Copy> TrustHistory<T> {
    /// Records the bundles as of `now`, a time after they were read.
    pub(crate) fn record(&mut self, bundles: Option<&[Bundle]>, now: T) {
        self.absent_since = if bundles.is_some() { None } else { self.absent_since.or(Some(now)) };
        let everywhere = bundles.and_then(|bundles| {
            let mut bundles = bundles.iter();
            let first = bundles.next()?.trusts.clone();
            Some(bundles.fold(first, |all, bundle| &all & &bundle.trusts))
        });
        let everywhere = everywhere.unwrap_or_default();
        self.since.retain(|id, _| everywhere.contains(id));
        for id in everywhere {
            self.since.entry(id).or_insert(now);
        }
    }

    /// Copies the recorded durations into `observed`; `elapsed` gives the age of a time.
    pub(crate) fn fill_in(&self, observed: &mut ObservedState, elapsed: impl Fn(T) -> Duration) {
        observed.trusted_for = self.since.iter().map(|(id, since)| (*id, elapsed(*since))).collect();
        observed.absent_for = self.absent_since.map(elapsed).unwrap_or_default();
    }
}
