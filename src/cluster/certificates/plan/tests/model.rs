//! A model of a cluster in which events happen in random order: reconcilers crash, stall and act at
//! the same time, replicas and API servers notice changes late, and other clients change and delete
//! the objects. There are two webhook configurations, which a reconciler writes one after the other.
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
/// The mutating and the validating configuration, and how many entries each has.
const ENTRIES: [usize; 2] = [2, 1];

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
    /// The versions of the configurations that it has read.
    configurations: Vec<usize>,
    leaf: Option<usize>,
    plan: Option<(Step, Read, ObservedState)>,
    /// What is left to write of a new bundle: the configuration, the version that was read, and the
    /// authorities.
    trusting: Vec<(usize, usize, BTreeSet<Fingerprint>)>,
}

impl Reconciler {
    fn is_between_steps(&self) -> bool {
        self.configurations.is_empty() && self.leaf.is_none() && self.plan.is_none() && self.trusting.is_empty()
    }
}

/// The versions that a reconciler has read.
struct Read {
    configurations: Vec<usize>,
    leaf: usize,
    authorities: usize,
}

#[derive(Default)]
struct Replica {
    leaf_view: usize,
    bundle_views: [usize; 2],
    serving: Option<Leaf>,
}

struct World {
    dice: Dice,
    now: u64,
    next_id: u8,
    cas: Vec<Ca>,
    authorities: Object<Option<Authorities>>,
    leaf: Object<Option<Option<Leaf>>>,
    configurations: [Object<Configuration>; 2],
    reconcilers: [Reconciler; RECONCILERS],
    replicas: [Replica; REPLICAS],
    /// The version of each configuration that each API server uses.
    api_servers: [[usize; 2]; 2],
    /// Authorities whose certificate was removed from every object, so that no reconciler can know
    /// them.
    lost: BTreeSet<Fingerprint>,
    has_restored: bool,
    rotations: usize,
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds)
}

fn empty_configuration(index: usize) -> Configuration {
    Some(vec![Bundle { is_clean: true, ..Bundle::default() }; ENTRIES[index]])
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
            configurations: [0, 1].map(|index| Object::new(empty_configuration(index))),
            reconcilers,
            replicas: Default::default(),
            api_servers: [[0; 2]; 2],
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
                let (server, index) = (self.dice.below(2), self.dice.below(2));
                let latest = self.configurations[index].latest();
                let view = &mut self.api_servers[server][index];
                *view += self.dice.below(latest - *view + 1);
            }
        }
        self.api_servers_notice_in_time();
    }

    /// An API server knows every version that is older than the propagation time.
    fn api_servers_notice_in_time(&mut self) {
        let old = |version: &Version<Configuration>| version.since + POLICY.propagation.as_secs() <= self.now;
        for (index, configuration) in self.configurations.iter().enumerate() {
            let known = configuration.versions.iter().rposition(old).unwrap_or(0);
            for views in &mut self.api_servers {
                views[index] = known.max(views[index]);
            }
        }
    }

    /// The bundles of these versions of the configurations.
    fn bundles(&self, versions: &[usize]) -> Configuration {
        let configurations = self.configurations.iter().zip(versions);
        let present = configurations.filter_map(|(object, version)| object.versions[*version].value.clone());
        present.reduce(|bundles, more| [bundles, more].concat())
    }

    fn reconciler_acts(&mut self, index: usize) {
        let reconciler = &mut self.reconcilers[index];
        if let Some((configuration, read, trusts)) = reconciler.trusting.pop() {
            return self.write_bundles(configuration, read, trusts);
        }
        if let Some((step, read, observed)) = reconciler.plan.take() {
            return self.apply(index, step, &read, observed);
        }
        if reconciler.configurations.len() < 2 {
            let next = reconciler.configurations.len();
            reconciler.configurations.push(self.configurations[next].latest());
            if next == 1 {
                let versions = reconciler.configurations.clone();
                let bundles = self.bundles(&versions);
                self.reconcilers[index].trusted.record(bundles.as_deref(), self.now);
            }
            return;
        }
        let Some(leaf) = reconciler.leaf.take() else {
            reconciler.leaf = Some(self.leaf.latest());
            return;
        };
        let configurations = std::mem::take(&mut reconciler.configurations);
        let bundles = self.bundles(&configurations);
        let read = Read { configurations, leaf, authorities: self.authorities.latest() };
        let mut observed = ObservedState {
            authorities: self.authorities.value().clone(),
            leaf: self.leaf.versions[leaf].value,
            bundles,
            ..ObservedState::default()
        };
        let reconciler = &mut self.reconcilers[index];
        let at = time(self.now + reconciler.skew);
        observed.stray = stray(&self.cas, &observed, at);
        reconciler.trusted.fill_in(&mut observed, |since| Duration::from_secs(self.now - since));
        let step = next(&observed, &POLICY, at);
        reconciler.plan = Some((step, read, observed));
    }

    /// Acts until the reconciler has read everything and written what it planned.
    fn reconciler_takes_a_step(&mut self, index: usize) {
        self.reconciler_acts(index);
        while !self.reconcilers[index].is_between_steps() {
            self.reconciler_acts(index);
        }
    }

    fn apply(&mut self, index: usize, step: Step, read: &Read, observed: ObservedState) {
        let at = time(self.now + self.reconcilers[index].skew);
        match step {
            Step::Wait(_) => {}
            Step::Authorities(change) => {
                let new = change.needs_new_ca().then(|| self.create_ca(at));
                let before = observed.authorities.expect("a change of what is there");
                self.authorities.write(read.authorities, Some(before.changed(&change, new)), self.now);
            }
            Step::Trust(trusts) => {
                // The last one is written first.
                let writes = read.configurations.iter().enumerate().rev();
                let writes = writes.map(|(configuration, version)| (configuration, *version, trusts.clone()));
                self.reconcilers[index].trusting = writes.collect();
                self.reconciler_acts(index);
            }
            Step::Issue => {
                let signing = observed.authorities.and_then(|authorities| authorities.signing).expect("an authority");
                let mut validity = Validity::starting(at, POLICY.leaf_life);
                validity.not_after = validity.not_after.min(signing.validity.not_after);
                let leaf = Leaf { issuer: signing.id, validity, covers_hosts: true };
                self.leaf.write(read.leaf, Some(Some(leaf)), self.now);
            }
        }
    }

    /// Writes one configuration, as the reconciler does: not if it is absent or has these bundles.
    fn write_bundles(&mut self, configuration: usize, read: usize, trusts: BTreeSet<Fingerprint>) {
        let object = &mut self.configurations[configuration];
        let Some(bundles) = &object.versions[read].value else { return };
        let new = vec![Bundle { trusts, is_clean: true }; bundles.len()];
        if *bundles != new {
            object.write(read, Some(new), self.now);
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
        let leaf = self.leaf.latest();
        let bundles = [0, 1].map(|index| self.configurations[index].latest());
        let view = &mut self.replicas[replica];
        view.leaf_view += self.dice.below(leaf - view.leaf_view + 1);
        for (view, latest) in view.bundle_views.iter_mut().zip(bundles) {
            *view += self.dice.below(latest - *view + 1);
        }
        let Some(Some(leaf)) = self.leaf.versions[view.leaf_view].value else { return };
        let views = view.bundle_views;
        let bundles = self.bundles(&views);
        let covers = bundles.iter().flatten().all(|bundle| bundle.trusts.contains(&leaf.issuer));
        if covers && leaf.validity.holds(time(self.now)) {
            self.replicas[replica].serving = Some(leaf);
        }
    }

    /// Another client changes one of the objects.
    fn tamper(&mut self) {
        let now = self.now;
        let index = self.dice.below(2);
        let configuration = &mut self.configurations[index];
        match self.dice.below(12) {
            0 => configuration.tamper(empty_configuration(index), now),
            1 => {
                let mut bundles = configuration.value().clone();
                if let Some(bundle) = bundles.as_mut().and_then(|bundles| bundles.first_mut()) {
                    *bundle = Bundle::default();
                }
                configuration.tamper(bundles, now);
            }
            2 => configuration.tamper(None, now),
            3 => {
                let old = self.dice.below(configuration.versions.len());
                let old = configuration.versions[old].value.clone();
                configuration.tamper(old.or_else(|| empty_configuration(index)), now);
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
        let known = known(&self.cas, self.authorities.value(), self.leaf.value(), &self.all_bundles());
        self.lost.extend(self.cas.iter().map(|ca| ca.id).filter(|id| !known.contains(id)));
    }

    /// The current bundles of both configurations.
    fn all_bundles(&self) -> Configuration {
        self.bundles(&[0, 1].map(|index| self.configurations[index].latest()))
    }

    /// Missing objects are applied again, empty.
    fn apply_again(&mut self) {
        for (index, configuration) in self.configurations.iter_mut().enumerate() {
            if configuration.value().is_none() {
                configuration.tamper(empty_configuration(index), self.now);
            }
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
            let views = self.api_servers.iter().flat_map(|views| views.iter().zip(&self.configurations));
            for (view, configuration) in views {
                let version = &configuration.versions[*view];
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
                (0..2).for_each(|_| self.reconciler_takes_a_step(reconciler));
            }
            for replica in 0..REPLICAS {
                self.replicas[replica].leaf_view = self.leaf.latest();
                self.replicas[replica].bundle_views = [0, 1].map(|index| self.configurations[index].latest());
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
        for bundle in self.all_bundles().iter().flatten() {
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
