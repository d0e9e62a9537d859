//! A model of a cluster in which events happen in random order: reconcilers crash, stall and act at
//! the same time, replicas and API servers notice changes late, and other clients change and delete
//! the objects.
//!
//! It checks that an API server whose bundle only this program has changed trusts every leaf that
//! is served and has not expired, and that the cluster converges once other clients stop.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::*;

const POLICY: Policy = Policy {
    leaf_life: Duration::from_secs(30),
    leaf_renewal: None,
    ca_life: Duration::from_secs(150),
    ca_renewal: None,
    propagation: Duration::from_secs(5),
};
const RUNS: u64 = 1000;
const TICKS: usize = 500;
const REPLICAS: usize = 3;
const RECONCILERS: usize = 2;

/// A small random number generator, so that a seed reproduces a run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("below a usize")
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }
}

type Configuration = Option<Vec<Bundle>>;

/// All versions of one object; the last one is current.
struct Object<T> {
    versions: Vec<Version<T>>,
}

struct Version<T> {
    value: T,
    since: u64,
    is_ours: bool,
}

impl<T: Clone> Object<T> {
    fn new(value: T) -> Self {
        Self { versions: vec![Version { value, since: 0, is_ours: false }] }
    }

    fn latest(&self) -> usize {
        self.versions.len() - 1
    }

    fn value(&self) -> &T {
        &self.versions[self.latest()].value
    }

    /// Writes unless the object has changed since version `read`.
    fn write(&mut self, read: usize, value: T, since: u64) {
        if read == self.latest() {
            self.versions.push(Version { value, since, is_ours: true });
        }
    }

    fn tamper(&mut self, value: T, since: u64) {
        self.versions.push(Version { value, since, is_ours: false });
    }
}

/// A reconciler; several believe that they lead.
#[derive(Default)]
struct Reconciler {
    skew: u64,
    trusted: TrustHistory<u64>,
    configuration: Option<usize>,
    leaf: Option<usize>,
    plan: Option<(Step, usize, ObservedState)>,
}

#[derive(Default)]
struct Replica {
    leaf_view: usize,
    bundle_view: usize,
    serving: Option<Leaf>,
}

struct World {
    dice: Dice,
    now: u64,
    next_id: u8,
    cas: Vec<Ca>,
    authorities: Object<Option<Authorities>>,
    leaf: Object<Option<Option<Leaf>>>,
    configuration: Object<Configuration>,
    reconcilers: [Reconciler; RECONCILERS],
    replicas: [Replica; REPLICAS],
    api_servers: [usize; 2],
    /// Authorities whose certificate was removed from every object, so that no reconciler can know
    /// them.
    lost: BTreeSet<Fingerprint>,
    has_restored: bool,
    rotations: usize,
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds)
}

fn empty_configuration() -> Configuration {
    Some(vec![Bundle { is_clean: true, ..Bundle::default() }; 2])
}

impl World {
    fn new(seed: u64) -> Self {
        let mut reconcilers = <[Reconciler; RECONCILERS]>::default();
        reconcilers[1].skew = seed % 3;
        Self {
            dice: Dice(seed),
            now: 0,
            next_id: 0,
            cas: Vec::new(),
            authorities: Object::new(Some(Authorities::default())),
            leaf: Object::new(Some(None)),
            configuration: Object::new(empty_configuration()),
            reconcilers,
            replicas: Default::default(),
            api_servers: [0; 2],
            lost: BTreeSet::new(),
            has_restored: false,
            rotations: 0,
        }
    }

    /// Lets one random event happen.
    fn step(&mut self, may_tamper: bool) {
        match self.dice.below(10) {
            0..=4 => {
                let reconciler = self.dice.below(RECONCILERS);
                self.reconciler_acts(reconciler);
            }
            5 | 6 => self.replica_notices_changes(),
            7 => self.now += self.dice.below(3) as u64,
            8 if may_tamper && self.dice.one_in(4) => self.tamper(),
            8 if may_tamper && self.dice.one_in(4) => {
                let reconciler = self.dice.below(RECONCILERS);
                self.reconcilers[reconciler] =
                    Reconciler { skew: self.reconcilers[reconciler].skew, ..Reconciler::default() };
            }
            _ => {
                let server = self.dice.below(2);
                let latest = self.configuration.latest();
                self.api_servers[server] += self.dice.below(latest - self.api_servers[server] + 1);
            }
        }
        self.api_servers_notice_in_time();
    }

    /// An API server knows every version that is older than the propagation time.
    fn api_servers_notice_in_time(&mut self) {
        let old = |version: &Version<Configuration>| version.since + POLICY.propagation.as_secs() <= self.now;
        let known = self.configuration.versions.iter().rposition(old).unwrap_or(0);
        for view in &mut self.api_servers {
            *view = known.max(*view);
        }
    }

    fn reconciler_acts(&mut self, index: usize) {
        let reconciler = &mut self.reconcilers[index];
        if let Some((step, read, observed)) = reconciler.plan.take() {
            return self.apply(index, step, read, observed);
        }
        let Some(configuration) = reconciler.configuration else {
            reconciler.configuration = Some(self.configuration.latest());
            reconciler.trusted.record(self.configuration.value().as_deref(), self.now);
            return;
        };
        let Some(leaf) = reconciler.leaf else {
            reconciler.leaf = Some(self.leaf.latest());
            return;
        };
        (reconciler.configuration, reconciler.leaf) = (None, None);
        let authorities = self.authorities.latest();
        let mut observed = ObservedState {
            authorities: self.authorities.value().clone(),
            leaf: self.leaf.versions[leaf].value,
            bundles: self.configuration.versions[configuration].value.clone(),
            ..ObservedState::default()
        };
        let at = time(self.now + reconciler.skew);
        observed.stray = stray(&self.cas, &observed, at);
        reconciler.trusted.fill_in(&mut observed, |since| Duration::from_secs(self.now - since));
        let step = next(&observed, &POLICY, at);
        let read = match &step {
            Step::Authorities(_) => authorities,
            Step::Trust(_) => configuration,
            Step::Issue | Step::Wait(_) => leaf,
        };
        reconciler.plan = Some((step, read, observed));
    }

    fn apply(&mut self, index: usize, step: Step, read: usize, observed: ObservedState) {
        let at = time(self.now + self.reconcilers[index].skew);
        match step {
            Step::Wait(_) => {}
            Step::Authorities(change) => {
                let new = change.needs_new_ca().then(|| self.create_ca(at));
                let before = observed.authorities.expect("a change of what is there");
                self.authorities.write(read, Some(before.changed(&change, new)), self.now);
            }
            Step::Trust(trusts) => {
                let bundles = observed.bundles.expect("a change of what is there");
                let bundle = Bundle { trusts, is_clean: true };
                self.configuration.write(read, Some(vec![bundle; bundles.len()]), self.now);
            }
            Step::Issue => {
                let signing = observed.authorities.and_then(|authorities| authorities.signing).expect("an authority");
                let mut validity = Validity::starting(at, POLICY.leaf_life);
                validity.not_after = validity.not_after.min(signing.validity.not_after);
                self.leaf.write(read, Some(Some(Leaf { issuer: signing.id, validity, covers_hosts: true })), self.now);
            }
        }
    }

    fn create_ca(&mut self, at: SystemTime) -> Ca {
        self.next_id += 1;
        let ca = Ca { id: Fingerprint([self.next_id; 32]), validity: Validity::starting(at, POLICY.ca_life) };
        self.cas.push(ca);
        self.rotations += 1;
        ca
    }

    fn replica_notices_changes(&mut self) {
        let replica = self.dice.below(REPLICAS);
        let (leaf, bundle) = (self.leaf.latest(), self.configuration.latest());
        let replica = &mut self.replicas[replica];
        replica.leaf_view += self.dice.below(leaf - replica.leaf_view + 1);
        replica.bundle_view += self.dice.below(bundle - replica.bundle_view + 1);
        let Some(Some(leaf)) = self.leaf.versions[replica.leaf_view].value else { return };
        let bundles = &self.configuration.versions[replica.bundle_view].value;
        let covers = bundles.iter().flatten().all(|bundle| bundle.trusts.contains(&leaf.issuer));
        if covers && leaf.validity.holds(time(self.now)) {
            replica.serving = Some(leaf);
        }
    }

    /// Another client changes one of the objects.
    fn tamper(&mut self) {
        let now = self.now;
        match self.dice.below(12) {
            0 => self.configuration.tamper(empty_configuration(), now),
            1 => {
                let mut bundles = self.configuration.value().clone();
                if let Some(bundle) = bundles.as_mut().and_then(|bundles| bundles.first_mut()) {
                    *bundle = Bundle::default();
                }
                self.configuration.tamper(bundles, now);
            }
            2 => self.configuration.tamper(None, now),
            3 => {
                let old = self.dice.below(self.configuration.versions.len());
                let old = self.configuration.versions[old].value.clone();
                self.configuration.tamper(old.or_else(empty_configuration), now);
            }
            4 => self.authorities.tamper(None, now),
            5 => self.authorities.tamper(Some(Authorities::default()), now),
            // The key is unusable; the certificate beside it is good.
            6 => {
                let mut authorities = self.authorities.value().clone().unwrap_or_default();
                let signing = authorities.signing.take();
                authorities.retired.extend(signing.map(|ca| RetiredCa { ca, until: None }));
                self.authorities.tamper(Some(authorities), now);
            }
            7 if !self.has_restored => {
                self.has_restored = true;
                let old = self.dice.below(self.authorities.versions.len());
                self.authorities.tamper(self.authorities.versions[old].value.clone(), now);
            }
            8 => self.leaf.tamper(None, now),
            9 => self.leaf.tamper(Some(None), now),
            10 => {
                let old = self.dice.below(self.leaf.versions.len());
                self.leaf.tamper(self.leaf.versions[old].value, now);
            }
            _ => self.apply_again(),
        }
        let known = known(&self.cas, self.authorities.value(), self.leaf.value(), self.configuration.value());
        self.lost.extend(self.cas.iter().map(|ca| ca.id).filter(|id| !known.contains(id)));
    }

    /// Missing objects are applied again, empty.
    fn apply_again(&mut self) {
        if self.configuration.value().is_none() {
            self.configuration.tamper(empty_configuration(), self.now);
        }
        if self.authorities.value().is_none() {
            self.authorities.tamper(Some(Authorities::default()), self.now);
        }
        if self.leaf.value().is_none() {
            self.leaf.tamper(Some(None), self.now);
        }
    }

    fn check(&self) {
        for (index, replica) in self.replicas.iter().enumerate() {
            let Some(leaf) = replica.serving.filter(|leaf| leaf.validity.holds(time(self.now))) else { continue };
            for view in self.api_servers {
                let version = &self.configuration.versions[view];
                let Some(bundles) = version.value.as_ref().filter(|_| version.is_ours) else { continue };
                let covers = bundles.iter().all(|bundle| bundle.trusts.contains(&leaf.issuer));
                assert!(
                    covers || self.lost.contains(&leaf.issuer),
                    "at {} s replica {index} serves {leaf:?}, but an API server trusts {bundles:?}\n{:?}",
                    self.now,
                    self.authorities.value(),
                );
            }
        }
    }

    /// No other client interferes, and every reconciler and replica acts.
    fn settle(&mut self) {
        self.apply_again();
        for _ in 0..80 {
            for reconciler in 0..RECONCILERS {
                (0..8).for_each(|_| self.reconciler_acts(reconciler));
            }
            for replica in 0..REPLICAS {
                self.replicas[replica].leaf_view = self.leaf.latest();
                self.replicas[replica].bundle_view = self.configuration.latest();
            }
            (0..20).for_each(|_| self.replica_notices_changes());
            self.now += 1;
            self.api_servers_notice_in_time();
            self.check();
        }
    }

    fn assert_converged(&self) {
        let authorities = self.authorities.value().as_ref().expect("a Secret");
        let signing = authorities.signing.expect("an authority");
        let leaf = self.leaf.value().flatten().expect("a leaf");
        // A new authority may have started to sign just now.
        assert!(leaf.issuer == signing.id || authorities.retired.iter().any(|retired| retired.ca.id == leaf.issuer));
        assert!(leaf.validity.holds(time(self.now)) && signing.validity.holds(time(self.now)));
        let ids: BTreeSet<Fingerprint> = authorities.ids().collect();
        for bundle in self.configuration.value().iter().flatten() {
            assert!(bundle.is_clean && bundle.trusts.is_subset(&ids) && bundle.trusts.contains(&signing.id));
            assert!(bundle.trusts.contains(&leaf.issuer));
            assert!(bundle.trusts.len() <= 12, "{bundle:?}");
        }
        for replica in &self.replicas {
            assert!(replica.serving.is_some_and(|leaf| leaf.validity.holds(time(self.now))), "{:?}", replica.serving);
        }
    }
}

fn known(
    cas: &[Ca],
    authorities: &Option<Authorities>,
    leaf: &Option<Option<Leaf>>,
    configuration: &Configuration,
) -> BTreeSet<Fingerprint> {
    let bundles = configuration.iter().flatten().flat_map(|bundle| bundle.trusts.iter().copied());
    let leaf = leaf.flatten().map(|leaf| leaf.issuer);
    let ids = authorities.iter().flat_map(Authorities::ids).chain(bundles).chain(leaf);
    ids.filter(|id| cas.iter().any(|ca| ca.id == *id)).collect()
}

fn stray(cas: &[Ca], observed: &ObservedState, at: SystemTime) -> Vec<Ca> {
    let listed: BTreeSet<Fingerprint> = observed.authorities.iter().flat_map(Authorities::ids).collect();
    let found = known(cas, &None, &observed.leaf, &observed.bundles);
    let is_stray = |ca: &&Ca| found.contains(&ca.id) && !listed.contains(&ca.id) && ca.validity.holds(at);
    cas.iter().filter(is_stray).copied().collect()
}

#[test]
fn no_replica_serves_a_leaf_that_an_api_server_does_not_trust() {
    let mut rotations = 0;
    for seed in 0..RUNS {
        let mut world = World::new(seed);
        for _ in 0..TICKS {
            world.step(true);
            world.check();
        }
        world.settle();
        world.assert_converged();
        rotations += world.rotations;
    }
    assert!(rotations > 3 * RUNS as usize, "only {rotations} authorities were made");
}

#[test]
fn without_interference_no_authority_is_lost() {
    let mut rotations = 0;
    for seed in 0..RUNS / 5 {
        let mut world = World::new(seed);
        for _ in 0..3 * TICKS {
            world.step(false);
            world.check();
        }
        assert!(world.lost.is_empty());
        rotations += world.rotations;
    }
    assert!(rotations > 2 * RUNS as usize / 5, "only {rotations} authorities were made");
}
