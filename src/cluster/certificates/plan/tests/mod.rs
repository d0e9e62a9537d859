//! Tests the conditions of each step.

mod model;

use std::time::UNIX_EPOCH;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const POLICY: Policy = Policy {
    leaf_life: Duration::from_secs(7 * 24 * 3600),
    leaf_renewal: None,
    ca_life: Duration::from_secs(365 * 24 * 3600),
    ca_renewal: None,
    propagation: Duration::from_secs(10),
};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn ca(id: u8, made: SystemTime) -> Ca {
    Ca { id: Fingerprint([id; 32]), validity: Validity::starting(made, POLICY.ca_life) }
}

fn leaf(issuer: Ca, made: SystemTime) -> Option<Option<Leaf>> {
    Some(Some(Leaf { issuer: issuer.id, validity: Validity::starting(made, POLICY.leaf_life), covers_hosts: true }))
}

fn ids(cas: &[Ca]) -> BTreeSet<Fingerprint> {
    cas.iter().map(|ca| ca.id).collect()
}

/// All bundles have trusted these for an hour.
fn trusting(cas: &[Ca]) -> ObservedState {
    let bundle = Bundle { trusts: ids(cas), is_clean: true };
    ObservedState {
        authorities: Some(Authorities { signing: cas.first().copied(), ..Authorities::default() }),
        bundles: Some(vec![bundle.clone(), bundle]),
        trusted_for: cas.iter().map(|ca| (ca.id, HOUR)).collect(),
        ..ObservedState::default()
    }
}

fn next_step(observed: &ObservedState) -> Step {
    next(observed, &POLICY, now())
}

#[test]
fn an_installation_begins_with_an_authority_then_trust_then_a_leaf() {
    let empty = ObservedState { authorities: Some(Authorities::default()), leaf: Some(None), ..trusting(&[]) };
    assert_eq!(next_step(&empty), Step::Authorities(Change::CreateFirst));
    let a = ca(1, now());
    let started =
        ObservedState { authorities: Some(Authorities::default().changed(&Change::CreateFirst, Some(a))), ..empty };
    assert_eq!(next_step(&started), Step::Trust(ids(&[a])));
    let mut trusted = ObservedState { leaf: Some(None), ..trusting(&[a]) };
    trusted.trusted_for = BTreeMap::from([(a.id, Duration::from_secs(4))]);
    assert_eq!(next_step(&trusted), Step::Wait(Duration::from_secs(6)));
    trusted.trusted_for = BTreeMap::from([(a.id, Duration::from_secs(10))]);
    assert_eq!(next_step(&trusted), Step::Issue);
    let done = ObservedState { leaf: leaf(a, now()), ..trusted };
    assert_eq!(next_step(&done), Step::Wait(CHECK_INTERVAL));
}

#[test]
fn a_leaf_is_renewed_after_two_thirds_of_its_life_and_never_before() {
    let a = ca(1, now() - HOUR);
    let with_leaf = |made| ObservedState { leaf: leaf(a, made), ..trusting(&[a]) };
    let two_thirds = POLICY.leaf_life * 2 / 3;
    assert_eq!(next_step(&with_leaf(now() - two_thirds)), Step::Issue);
    assert_eq!(next_step(&with_leaf(now() - two_thirds + Duration::from_secs(5))), Step::Wait(Duration::from_secs(5)));
    let often = Policy { leaf_renewal: Some(Duration::from_secs(60)), ..POLICY };
    assert_eq!(next(&with_leaf(now() - Duration::from_secs(60)), &often, now()), Step::Issue);
    assert_eq!(next(&with_leaf(now()), &often, now()), Step::Wait(Duration::from_secs(60)));
    let mut elsewhere = with_leaf(now());
    elsewhere.leaf = elsewhere.leaf.map(|leaf| leaf.map(|leaf| Leaf { covers_hosts: false, ..leaf }));
    assert_eq!(next_step(&elsewhere), Step::Issue, "it is for other hosts");
    // The clock was set back by more than an hour since the leaf was made.
    assert_eq!(next_step(&with_leaf(now() + 2 * HOUR)), Step::Issue);
}

#[test]
fn a_rotation_trusts_the_next_authority_before_it_signs() {
    let made = now() - POLICY.ca_life * 2 / 3;
    let (a, b) = (ca(1, made), ca(2, now()));
    let mut observed = ObservedState { leaf: leaf(a, now() - HOUR), ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Authorities(Change::CreateNext));
    let both = Authorities { signing: Some(a), next: Some(b), retired: Vec::new() };
    observed.authorities = Some(both.clone());
    assert_eq!(next_step(&observed), Step::Trust(ids(&[a, b])));
    observed = ObservedState { authorities: observed.authorities, leaf: observed.leaf, ..trusting(&[a, b]) };
    observed.trusted_for.insert(b.id, Duration::from_secs(1));
    assert_eq!(next_step(&observed), Step::Wait(Duration::from_secs(9)), "the old one signs on meanwhile");
    observed.trusted_for.insert(b.id, Duration::from_secs(10));
    assert_eq!(next_step(&observed), Step::Authorities(Change::Promote));
    let promoted = both.changed(&Change::Promote, None);
    assert_eq!((promoted.signing, promoted.next), (Some(b), None));
    assert_eq!(promoted.retired, [RetiredCa { ca: a, until: None }]);
    observed.authorities = Some(promoted.clone());
    assert_eq!(next_step(&observed), Step::Issue);
    observed.leaf = leaf(b, now());
    let until = now() + POLICY.leaf_life * 5 / 4;
    assert_eq!(next_step(&observed), Step::Authorities(Change::SetExpiry(until)));
    let limited = promoted.changed(&Change::SetExpiry(until), None);
    observed.authorities = Some(limited.clone());
    assert_eq!(next_step(&observed), Step::Wait(CHECK_INTERVAL));
    // Much later.
    let later = |observed: &ObservedState| next(observed, &POLICY, until);
    observed.leaf = leaf(b, until);
    assert_eq!(later(&observed), Step::Trust(ids(&[b])));
    let untrusted = ObservedState { authorities: Some(limited), leaf: observed.leaf, ..trusting(&[b]) };
    assert_eq!(later(&untrusted), Step::Authorities(Change::Forget(ids(&[a]))));
}

#[test]
fn the_old_authority_has_no_expiry_before_a_new_leaf_exists() {
    let (a, b) = (ca(1, now() - HOUR), ca(2, now() - HOUR));
    let authorities = Authorities { signing: Some(b), next: None, retired: vec![RetiredCa { ca: a, until: None }] };
    let mut observed = ObservedState { authorities: Some(authorities), leaf: leaf(a, now()), ..trusting(&[a, b]) };
    observed.trusted_for.remove(&b.id);
    assert_eq!(next_step(&observed), Step::Wait(POLICY.propagation));
}

#[test]
fn a_changed_bundle_is_repaired_first() {
    let a = ca(1, now());
    let good = ObservedState { leaf: leaf(a, now()), ..trusting(&[a]) };
    let foreign = Bundle { trusts: ids(&[a]), is_clean: false };
    for bad in [Bundle { is_clean: true, ..Bundle::default() }, foreign] {
        let mut observed = good.clone();
        observed.bundles.as_mut().expect("bundles")[1] = bad;
        assert_eq!(next_step(&observed), Step::Trust(ids(&[a])));
    }
}

#[test]
fn an_authority_missing_from_its_secret_stays_trusted() {
    let (a, b) = (ca(1, now() - HOUR), ca(2, now()));
    let emptied = ObservedState {
        authorities: Some(Authorities::default()),
        leaf: leaf(a, now()),
        stray: vec![a],
        ..trusting(&[a])
    };
    let adopt = Change::Adopt(vec![a]);
    assert_eq!(next_step(&emptied), Step::Authorities(adopt.clone()));
    let adopted = Authorities::default().changed(&adopt, None);
    let mut observed = ObservedState { authorities: Some(adopted.clone()), stray: Vec::new(), ..emptied };
    assert_eq!(next_step(&observed), Step::Authorities(Change::CreateFirst));
    observed.authorities = Some(adopted.changed(&Change::CreateFirst, Some(b)));
    assert_eq!(next_step(&observed), Step::Trust(ids(&[a, b])));
}

#[test]
fn repeated_loss_of_the_authority_does_not_grow_the_bundle_without_limit() {
    let cas: Vec<Ca> = (1..=100).map(|id| ca(id, now() + Duration::from_secs(60) * u32::from(id))).collect();
    // The oldest authority signed the leaf in use.
    let mut observed = ObservedState { authorities: Some(Authorities::default()), ..trusting(&cas) };
    (observed.stray, observed.leaf) = (cas.clone(), leaf(cas[0], now()));
    let Step::Authorities(Change::Adopt(adopted)) = next_step(&observed) else { panic!("{:?}", next_step(&observed)) };
    let expected: BTreeSet<Fingerprint> = &ids(&cas[..1]) | &ids(&cas[100 - MAX_RETIRED..]);
    assert_eq!(ids(&adopted), expected);
    let signing = ca(200, now());
    let authorities =
        Authorities::default().changed(&Change::CreateFirst, Some(signing)).changed(&Change::Adopt(adopted), None);
    // An excess authority that is still in the bundle is not adopted again.
    observed.stray.retain(|ca| !expected.contains(&ca.id));
    observed.authorities = Some(authorities);
    assert_eq!(next_step(&observed), Step::Trust(&expected | &ids(&[signing])));
    // An overfull Secret is reduced too.
    let all =
        Authorities::default().changed(&Change::CreateFirst, Some(signing)).changed(&Change::Adopt(cas.clone()), None);
    let all = all.changed(&Change::SetExpiry(now() + HOUR), None);
    let trusted: Vec<Ca> = cas.iter().copied().filter(|ca| expected.contains(&ca.id)).chain([signing]).collect();
    let mut observed = ObservedState { authorities: Some(all), leaf: leaf(cas[0], now()), ..trusting(&trusted) };
    observed.trusted_for.insert(signing.id, Duration::ZERO);
    let over = &ids(&cas) - &expected;
    assert_eq!(next_step(&observed), Step::Authorities(Change::Forget(over)));
}

#[test]
fn an_expired_authority_does_not_sign_while_the_next_one_becomes_trusted() {
    let (old, new) = (ca(1, now() - POLICY.ca_life - HOUR), ca(2, now()));
    let authorities = Authorities { signing: Some(old), next: Some(new), retired: Vec::new() };
    let mut observed = ObservedState { leaf: Some(None), ..trusting(&[old, new]) };
    observed.authorities = Some(authorities);
    observed.trusted_for.insert(new.id, Duration::from_secs(4));
    assert_eq!(next_step(&observed), Step::Wait(Duration::from_secs(6)));
    observed.trusted_for.insert(new.id, POLICY.propagation);
    assert_eq!(next_step(&observed), Step::Authorities(Change::Promote));
}

#[test]
fn without_the_authorities_secret_the_leaf_stays_trusted() {
    let a = ca(1, now());
    let mut observed = ObservedState { authorities: None, leaf: leaf(a, now()), stray: vec![a], ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Wait(CHECK_INTERVAL));
    observed.bundles.as_mut().expect("bundles")[0] = Bundle::default();
    assert_eq!(next_step(&observed), Step::Trust(ids(&[a])));
    observed.stray.clear();
    assert_eq!(next_step(&observed), Step::Wait(CHECK_INTERVAL), "its certificate is not known");
    observed.leaf = None;
    assert_eq!(next_step(&observed), Step::Wait(CHECK_INTERVAL));
}

#[test]
fn without_the_serving_secret_the_authorities_still_rotate() {
    let a = ca(1, now() - POLICY.ca_life * 2 / 3);
    let observed = ObservedState { leaf: None, ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Authorities(Change::CreateNext));
    let fresh = ca(1, now());
    assert_eq!(next_step(&ObservedState { leaf: None, ..trusting(&[fresh]) }), Step::Wait(CHECK_INTERVAL));
}

#[test]
fn without_a_configuration_a_leaf_is_issued_once_all_api_servers_have_noticed() {
    let a = ca(1, now());
    let mut observed = ObservedState { leaf: Some(None), bundles: None, ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Wait(POLICY.propagation));
    observed.absent_for = POLICY.propagation;
    assert_eq!(next_step(&observed), Step::Issue);
}

#[test]
fn a_clock_that_jumps_ahead_does_not_remove_the_issuer_of_the_served_leaf() {
    let (a, b) = (ca(1, now()), ca(2, now()));
    let retired = RetiredCa { ca: a, until: Some(now() + HOUR) };
    let authorities = Authorities { signing: Some(b), next: None, retired: vec![retired] };
    let served = leaf(a, now()).flatten();
    assert_eq!(authorities.trusted(served, now() + 2 * HOUR), ids(&[a, b]));
    assert_eq!(authorities.trusted(leaf(b, now()).flatten(), now() + 2 * HOUR), ids(&[b]));
    // It is not removed either; otherwise it would be found as stray and adopted again.
    let mut observed = ObservedState { authorities: Some(authorities), leaf: leaf(a, now()), ..trusting(&[a, b]) };
    observed.trusted_for.insert(b.id, Duration::ZERO);
    assert_eq!(next(&observed, &POLICY, now() + 2 * HOUR), Step::Wait(POLICY.propagation));
}

#[test]
fn trust_is_counted_from_when_every_bundle_has_it_and_restarts_after_an_interruption() {
    let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    let bundle = |ids: &[Fingerprint]| Bundle { trusts: ids.iter().copied().collect(), is_clean: true };
    let mut trusted = TrustHistory::default();
    let durations = |trusted: &TrustHistory<u64>, now: u64| {
        let mut observed = ObservedState::default();
        trusted.fill_in(&mut observed, |since| Duration::from_secs(now - since));
        (
            observed.trusted_for.get(&a).map(Duration::as_secs),
            observed.trusted_for.get(&b).map(Duration::as_secs),
            observed.absent_for.as_secs(),
        )
    };
    trusted.record(Some(&[bundle(&[a, b]), bundle(&[a])]), 0);
    assert_eq!(durations(&trusted, 3), (Some(3), None, 0));
    trusted.record(Some(&[bundle(&[a, b]), bundle(&[a, b])]), 4);
    assert_eq!(durations(&trusted, 5), (Some(5), Some(1), 0));
    trusted.record(Some(&[bundle(&[b]), bundle(&[a, b])]), 6);
    assert_eq!(durations(&trusted, 6), (None, Some(2), 0));
    trusted.record(None, 7);
    assert_eq!(durations(&trusted, 9), (None, None, 2));
    trusted.record(Some(&[]), 10);
    assert_eq!(durations(&trusted, 10), (None, None, 0), "a configuration without entries is one");
}
