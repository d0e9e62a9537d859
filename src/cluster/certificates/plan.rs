//! What to do next for the certificates, given what is in the cluster and what time it is. Pure: it reads and writes nothing.
//!
//! The one rule of safety: a leaf is issued only by an authority that every webhook entry has trusted for as long as API
//! servers may take to hear of it, and an authority is trusted until every leaf that it may have signed has expired.
//! Each step changes one object; after each of them, and a crash, [`next`] finds its way from what is there.
//! Invariant (held by the model in `plan/tests/model.rs`): no step makes an API server distrust a leaf that is served.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::pki::{Fingerprint, Validity};

/// How long things last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub leaf_life: Duration,
    /// After how long to replace a leaf, where that is sooner than two thirds of its life.
    pub leaf_renewal: Option<Duration>,
    pub ca_life: Duration,
    /// After how long to replace an authority, where that is sooner than two thirds of its life.
    pub ca_renewal: Option<Duration>,
    /// How long API servers may take to hear of a change of their webhook configurations.
    pub propagation: Duration,
}

/// An authority, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ca {
    pub id: Fingerprint,
    pub validity: Validity,
}

/// An authority that signs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredCa {
    pub ca: Ca,
    /// When the last leaf that it signed has expired; unknown until a leaf of another one is in use.
    pub until: Option<SystemTime>,
}

/// More are trusted on at a time only where something goes very wrong: in regular use there is one.
const MAX_RETIRED: usize = 32;

/// What the Secret of the authorities holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities {
    pub signing: Option<Ca>,
    /// TrustHistory, but not yet signing.
    pub next: Option<Ca>,
    pub retired: Vec<RetiredCa>,
}

/// What the Secret of the serving certificate holds: a pair that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Which of the authorities known from anywhere signed it.
    pub issuer: Fingerprint,
    pub validity: Validity,
    /// Whether it is for all of our hosts.
    pub covers_hosts: bool,
}

/// `caBundle` of one webhook entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    pub trusts: BTreeSet<Fingerprint>,
    /// Whether there is nothing else in it.
    pub is_clean: bool,
}

/// Everything that counts, as it was read.
#[derive(Clone, Debug, Default)]
pub struct ObservedState {
    /// `None` when there is no such Secret.
    pub authorities: Option<Authorities>,
    /// `None` when there is no such Secret, `Some(None)` when it holds no good leaf.
    pub leaf: Option<Option<Leaf>>,
    /// `None` when there is no such configuration; one element an entry.
    pub bundles: Option<Vec<Bundle>>,
    /// Authorities of our making that still hold, found in a bundle or beside the leaf, and not in their Secret.
    pub stray: Vec<Ca>,
    /// How long each authority has been seen in every bundle, without a break.
    pub trusted_for: BTreeMap<Fingerprint, Duration>,
    /// How long there has been no configuration.
    pub absent_for: Duration,
}

/// One change of the Secret of the authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new authority, which signs at once: there is none.
    CreateFirst,
    /// A new authority, to be trusted before it signs.
    CreateNext,
    /// The next one signs from now on; the key of the old one is forgotten.
    Promote,
    /// These were lost from the Secret, but leaves of theirs may be in use.
    Adopt(Vec<Ca>),
    /// A leaf of the new one is in use: the old ones stay until this time.
    SetExpiry(SystemTime),
    /// Their time is over and nobody trusts them any more.
    Forget(BTreeSet<Fingerprint>),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the Secret of the authorities.
    Authorities(Change),
    /// Make every bundle hold exactly these.
    Trust(BTreeSet<Fingerprint>),
    /// Write a new leaf, signed by the signing authority.
    Issue,
    /// Nothing, for so long or until something is changed.
    Wait(Duration),
}

/// The next step.
pub fn next(observed: &ObservedState, policy: &Policy, now: SystemTime) -> Step {
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
    // One that is about to expire leaves it to the next one: what it signed now would have to be replaced at once, again and again.
    let can_sign = now + policy.propagation < signing.validity.not_after;
    match (leaf, observed.untrusted_for(signing.id, policy)) {
        (Some(leaf), _) => shortest.until(leaf.validity.renewal(policy.leaf_renewal)),
        // There is no Secret to write it into.
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

/// The Secret of the authorities is not there, and we may not make one. What can be done is to keep the leaf trusted.
fn without_authorities(observed: &ObservedState) -> Step {
    let Some(leaf) = observed.leaf.flatten() else { return Step::Wait(CHECK_INTERVAL) };
    // All that are known are stray then; an issuer that is not among them holds no more.
    let known: BTreeSet<Fingerprint> = observed.stray.iter().map(|ca| ca.id).collect();
    let lacks_it = |bundle: &Bundle| !bundle.trusts.contains(&leaf.issuer);
    if known.contains(&leaf.issuer) && observed.bundles.iter().flatten().any(lacks_it) {
        return Step::Trust(known);
    }
    Step::Wait(CHECK_INTERVAL)
}

/// Every change of the authorities that waits for nothing.
fn missing_authority(authorities: &Authorities, policy: &Policy, now: SystemTime) -> Option<Change> {
    match (authorities.signing, authorities.next) {
        (None, None) => Some(Change::CreateFirst),
        // Nothing is signed meanwhile, so nothing is lost by not waiting: a leaf waits for trust in any case.
        (None, Some(_)) => Some(Change::Promote),
        (Some(signing), None) if signing.validity.is_due(now, policy.ca_renewal) => Some(Change::CreateNext),
        (Some(_), _) => None,
    }
}

/// What may be forgotten about authorities that sign no more.
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
        // Whoever signed with an old key did so before now; the quarter is for clocks that differ.
        return Some(Change::SetExpiry(now + policy.leaf_life + policy.leaf_life / 4));
    }
    let trusted = |id: &Fingerprint| observed.bundles.iter().flatten().any(|bundle| bundle.trusts.contains(id));
    let over = retired.iter().filter(|retired| retired.is_over(now) || excess.contains(&retired.ca.id));
    let over = over.map(|retired| retired.ca.id);
    let over: BTreeSet<Fingerprint> = over.filter(|id| !trusted(id)).collect();
    (!over.is_empty()).then_some(Change::Forget(over))
}

/// The wall clock is looked at this often, whatever else happens.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest of several waits.
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
        // What is over and still rests waits for something else than the time.
        if let Some(wait) = time.duration_since(self.now).ok().filter(|wait| !wait.is_zero()) {
            self.at_most(wait.max(Duration::from_millis(50)));
        }
    }
}

impl RetiredCa {
    /// Every leaf that it signed has expired: at `until`, and at the end of its own life in any case.
    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now) || self.ca.validity.not_after < now
    }
}

impl Authorities {
    /// Those that give way although their time is not over, the oldest ones, where somebody makes us lose our authority again
    /// and again: each is trusted on when it is found, and `caBundle` and the Secret would grow until nothing could be written.
    fn excess(&self, stray: &[Ca], leaf: Option<Leaf>) -> BTreeSet<Fingerprint> {
        let is_in_use = |ca: &&Ca| leaf.is_some_and(|leaf| leaf.issuer == ca.id);
        let retired = self.retired.iter().map(|retired| &retired.ca);
        let mut all: Vec<&Ca> = retired.chain(stray).filter(|ca| !is_in_use(ca)).collect();
        all.sort_by_key(|ca| std::cmp::Reverse((ca.validity.not_before, ca.id)));
        all.into_iter().skip(MAX_RETIRED).map(|ca| ca.id).collect()
    }

    /// What API servers have to trust: whoever signs, will sign, or has signed what may still be served.
    fn trusted(&self, leaf: Option<Leaf>, now: SystemTime) -> BTreeSet<Fingerprint> {
        // A clock that jumps ahead must not take the issuer of what is served now.
        let is_served = |id: Fingerprint| leaf.is_some_and(|leaf| leaf.issuer == id);
        let retired = self.retired.iter().filter(|retired| !retired.is_over(now) || is_served(retired.ca.id));
        self.signing.iter().chain(&self.next).map(|ca| ca.id).chain(retired.map(|retired| retired.ca.id)).collect()
    }

    /// The authorities after a change; `new` is what was made for it.
    #[must_use]
    pub fn changed(mut self, change: &Change, new: Option<Ca>) -> Self {
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

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = Fingerprint> {
        let active = self.signing.iter().chain(&self.next).map(|ca| ca.id);
        active.chain(self.retired.iter().map(|retired| retired.ca.id))
    }
}

impl Change {
    pub fn needs_new_ca(&self) -> bool {
        matches!(self, Self::CreateFirst | Self::CreateNext)
    }
}

impl ObservedState {
    fn is_in_sync(&self, trusted: &BTreeSet<Fingerprint>) -> bool {
        self.bundles.iter().flatten().all(|bundle| bundle.is_clean && bundle.trusts == *trusted)
    }

    /// How long it will be until every API server trusts the authority; or until none asks, where there is no configuration.
    fn untrusted_for(&self, id: Fingerprint, policy: &Policy) -> Duration {
        let seen = match &self.bundles {
            None => Some(self.absent_for),
            Some(_) => self.trusted_for.get(&id).copied(),
        };
        // What is seen for the first time at the next look still has all of it before it.
        policy
            .propagation
            .saturating_sub(seen.unwrap_or_default())
            .max(Duration::from_millis(u64::from(seen.is_none())))
    }
}

/// Since when each authority has been seen in every bundle. Kept in memory alone: whoever comes after counts anew.
#[derive(Debug)]
pub struct TrustHistory<T> {
    since: BTreeMap<Fingerprint, T>,
    absent_since: Option<T>,
}

impl<T> Default for TrustHistory<T> {
    fn default() -> Self {
        Self { since: BTreeMap::new(), absent_since: None }
    }
}

impl<T: Copy> TrustHistory<T> {
    /// Takes note of the bundles as they were at `now`, a time after they were read.
    pub fn record(&mut self, bundles: Option<&[Bundle]>, now: T) {
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

    /// Tells what was noted, where `elapsed` says how long ago a time was.
    pub fn fill_in(&self, observed: &mut ObservedState, elapsed: impl Fn(T) -> Duration) {
        observed.trusted_for = self.since.iter().map(|(id, since)| (*id, elapsed(*since))).collect();
        observed.absent_for = self.absent_since.map(elapsed).unwrap_or_default();
    }
}
