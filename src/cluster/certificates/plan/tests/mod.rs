//! Each step by itself: what leads to it.

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
    Some(Some(Leaf { issuer: issuer.id, validity: Validity::starting(made, POLICY.leaf_life), names_us: true }))
}

fn ids(cas: &[Ca]) -> BTreeSet<Fingerprint> {
    cas.iter().map(|ca| ca.id).collect()
}

/// Everybody has trusted these for an hour.
fn trusting(cas: &[Ca]) -> Observed {
    let bundle = Bundle { trusts: ids(cas), is_clean: true };
    Observed {
        authorities: Some(Authorities { signing: cas.first().copied(), ..Authorities::default() }),
        bundles: Some(vec![bundle.clone(), bundle]),
        trusted_for: cas.iter().map(|ca| (ca.id, HOUR)).collect(),
        ..Observed::default()
    }
}

fn next_step(observed: &Observed) -> Step {
    next(observed, &POLICY, now())
}

#[test]
fn an_installation_begins_with_an_authority_then_trust_then_a_leaf() {
    let empty = Observed { authorities: Some(Authorities::default()), leaf: Some(None), ..trusting(&[]) };
    assert_eq!(next_step(&empty), Step::Authorities(Change::Begin));
    let a = ca(1, now());
    let begun = Observed { authorities: Some(Authorities::default().changed(&Change::Begin, Some(a))), ..empty };
    assert_eq!(next_step(&begun), Step::Trust(ids(&[a])));
    let mut trusted = Observed { leaf: Some(None), ..trusting(&[a]) };
    trusted.trusted_for = BTreeMap::from([(a.id, Duration::from_secs(4))]);
    assert_eq!(next_step(&trusted), Step::Rest(Duration::from_secs(6)));
    trusted.trusted_for = BTreeMap::from([(a.id, Duration::from_secs(10))]);
    assert_eq!(next_step(&trusted), Step::Issue);
    let done = Observed { leaf: leaf(a, now()), ..trusted };
    assert_eq!(next_step(&done), Step::Rest(CHECK));
}

#[test]
fn a_leaf_is_renewed_after_two_thirds_of_its_life_and_never_before() {
    let a = ca(1, now() - HOUR);
    let with_leaf = |made| Observed { leaf: leaf(a, made), ..trusting(&[a]) };
    let two_thirds = POLICY.leaf_life * 2 / 3;
    assert_eq!(next_step(&with_leaf(now() - two_thirds)), Step::Issue);
    assert_eq!(next_step(&with_leaf(now() - two_thirds + Duration::from_secs(5))), Step::Rest(Duration::from_secs(5)));
    let often = Policy { leaf_renewal: Some(Duration::from_secs(60)), ..POLICY };
    assert_eq!(next(&with_leaf(now() - Duration::from_secs(60)), &often, now()), Step::Issue);
    assert_eq!(next(&with_leaf(now()), &often, now()), Step::Rest(Duration::from_secs(60)));
    let mut elsewhere = with_leaf(now());
    elsewhere.leaf = elsewhere.leaf.map(|leaf| leaf.map(|leaf| Leaf { names_us: false, ..leaf }));
    assert_eq!(next_step(&elsewhere), Step::Issue, "it is for other hosts");
    // The clock was set back by more than an hour since it was made.
    assert_eq!(next_step(&with_leaf(now() + 2 * HOUR)), Step::Issue);
}

#[test]
fn a_rotation_goes_step_by_step() {
    let made = now() - POLICY.ca_life * 2 / 3;
    let (a, b) = (ca(1, made), ca(2, now()));
    let mut observed = Observed { leaf: leaf(a, now() - HOUR), ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Authorities(Change::MakeNext));
    let both = Authorities { signing: Some(a), next: Some(b), retired: Vec::new() };
    observed.authorities = Some(both.clone());
    assert_eq!(next_step(&observed), Step::Trust(ids(&[a, b])));
    observed = Observed { authorities: observed.authorities, leaf: observed.leaf, ..trusting(&[a, b]) };
    observed.trusted_for.insert(b.id, Duration::from_secs(1));
    assert_eq!(next_step(&observed), Step::Rest(Duration::from_secs(9)), "the old one signs on meanwhile");
    observed.trusted_for.insert(b.id, Duration::from_secs(10));
    assert_eq!(next_step(&observed), Step::Authorities(Change::Promote));
    let promoted = both.changed(&Change::Promote, None);
    assert_eq!((promoted.signing, promoted.next), (Some(b), None));
    assert_eq!(promoted.retired, [Retired { ca: a, until: None }]);
    observed.authorities = Some(promoted.clone());
    assert_eq!(next_step(&observed), Step::Issue);
    observed.leaf = leaf(b, now());
    let until = now() + POLICY.leaf_life * 5 / 4;
    assert_eq!(next_step(&observed), Step::Authorities(Change::Limit(until)));
    let limited = promoted.changed(&Change::Limit(until), None);
    observed.authorities = Some(limited.clone());
    assert_eq!(next_step(&observed), Step::Rest(CHECK));
    // Much later.
    let later = |observed: &Observed| next(observed, &POLICY, until);
    observed.leaf = leaf(b, until);
    assert_eq!(later(&observed), Step::Trust(ids(&[b])));
    let untrusted = Observed { authorities: Some(limited), leaf: observed.leaf, ..trusting(&[b]) };
    assert_eq!(later(&untrusted), Step::Authorities(Change::Forget(ids(&[a]))));
}

#[test]
fn the_old_authority_has_no_limit_before_a_new_leaf_is_there() {
    let (a, b) = (ca(1, now() - HOUR), ca(2, now() - HOUR));
    let authorities = Authorities { signing: Some(b), next: None, retired: vec![Retired { ca: a, until: None }] };
    let mut observed = Observed { authorities: Some(authorities), leaf: leaf(a, now()), ..trusting(&[a, b]) };
    observed.trusted_for.remove(&b.id);
    assert_eq!(next_step(&observed), Step::Rest(POLICY.propagation));
}

#[test]
fn what_somebody_does_to_a_bundle_is_repaired_first() {
    let a = ca(1, now());
    let good = Observed { leaf: leaf(a, now()), ..trusting(&[a]) };
    let foreign = Bundle { trusts: ids(&[a]), is_clean: false };
    for bad in [Bundle { is_clean: true, ..Bundle::default() }, foreign] {
        let mut observed = good.clone();
        observed.bundles.as_mut().expect("bundles")[1] = bad;
        assert_eq!(next_step(&observed), Step::Trust(ids(&[a])));
    }
}

#[test]
fn an_authority_that_was_lost_from_its_secret_is_trusted_on() {
    let (a, b) = (ca(1, now() - HOUR), ca(2, now()));
    let emptied =
        Observed { authorities: Some(Authorities::default()), leaf: leaf(a, now()), stray: vec![a], ..trusting(&[a]) };
    let adopt = Change::Adopt(vec![a]);
    assert_eq!(next_step(&emptied), Step::Authorities(adopt.clone()));
    let adopted = Authorities::default().changed(&adopt, None);
    let mut observed = Observed { authorities: Some(adopted.clone()), stray: Vec::new(), ..emptied };
    assert_eq!(next_step(&observed), Step::Authorities(Change::Begin));
    observed.authorities = Some(adopted.changed(&Change::Begin, Some(b)));
    assert_eq!(next_step(&observed), Step::Trust(ids(&[a, b])));
}

#[test]
fn whoever_makes_us_lose_our_authority_for_ever_does_not_make_the_bundle_grow_for_ever() {
    let cas: Vec<Ca> = (1..=100).map(|id| ca(id, now() + Duration::from_secs(60) * u32::from(id))).collect();
    // The oldest one of all has signed what is in use.
    let mut observed = Observed { authorities: Some(Authorities::default()), ..trusting(&cas) };
    (observed.stray, observed.leaf) = (cas.clone(), leaf(cas[0], now()));
    let Step::Authorities(Change::Adopt(adopted)) = next_step(&observed) else { panic!("{:?}", next_step(&observed)) };
    let expected: BTreeSet<Fingerprint> = &ids(&cas[..1]) | &ids(&cas[100 - MOST_RETIRED..]);
    assert_eq!(ids(&adopted), expected);
    let signing = ca(200, now());
    let authorities =
        Authorities::default().changed(&Change::Begin, Some(signing)).changed(&Change::Adopt(adopted), None);
    // What is left in the bundle is not taken back again.
    observed.stray.retain(|ca| !expected.contains(&ca.id));
    observed.authorities = Some(authorities);
    assert_eq!(next_step(&observed), Step::Trust(&expected | &ids(&[signing])));
    // A Secret that was filled with all of them is emptied as well.
    let all = Authorities::default().changed(&Change::Begin, Some(signing)).changed(&Change::Adopt(cas.clone()), None);
    let all = all.changed(&Change::Limit(now() + HOUR), None);
    let trusted: Vec<Ca> = cas.iter().copied().filter(|ca| expected.contains(&ca.id)).chain([signing]).collect();
    let mut observed = Observed { authorities: Some(all), leaf: leaf(cas[0], now()), ..trusting(&trusted) };
    observed.trusted_for.insert(signing.id, Duration::ZERO);
    let over = &ids(&cas) - &expected;
    assert_eq!(next_step(&observed), Step::Authorities(Change::Forget(over)));
}

#[test]
fn an_authority_that_has_expired_signs_nothing_while_the_next_one_becomes_trusted() {
    let (old, new) = (ca(1, now() - POLICY.ca_life - HOUR), ca(2, now()));
    let authorities = Authorities { signing: Some(old), next: Some(new), retired: Vec::new() };
    let mut observed = Observed { leaf: Some(None), ..trusting(&[old, new]) };
    observed.authorities = Some(authorities);
    observed.trusted_for.insert(new.id, Duration::from_secs(4));
    assert_eq!(next_step(&observed), Step::Rest(Duration::from_secs(6)));
    observed.trusted_for.insert(new.id, POLICY.propagation);
    assert_eq!(next_step(&observed), Step::Authorities(Change::Promote));
}

#[test]
fn without_the_secret_of_the_authorities_the_leaf_is_kept_trusted() {
    let a = ca(1, now());
    let mut observed = Observed { authorities: None, leaf: leaf(a, now()), stray: vec![a], ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Rest(CHECK));
    observed.bundles.as_mut().expect("bundles")[0] = Bundle::default();
    assert_eq!(next_step(&observed), Step::Trust(ids(&[a])));
    observed.stray.clear();
    assert_eq!(next_step(&observed), Step::Rest(CHECK), "its certificate is not known");
    observed.leaf = None;
    assert_eq!(next_step(&observed), Step::Rest(CHECK));
}

#[test]
fn without_the_secret_of_the_leaf_everything_else_goes_on() {
    let a = ca(1, now() - POLICY.ca_life * 2 / 3);
    let observed = Observed { leaf: None, ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Authorities(Change::MakeNext));
    let fresh = ca(1, now());
    assert_eq!(next_step(&Observed { leaf: None, ..trusting(&[fresh]) }), Step::Rest(CHECK));
}

#[test]
fn without_a_configuration_nobody_waits_for_trust_once_all_have_heard() {
    let a = ca(1, now());
    let mut observed = Observed { leaf: Some(None), bundles: None, ..trusting(&[a]) };
    assert_eq!(next_step(&observed), Step::Rest(POLICY.propagation));
    observed.absent_for = POLICY.propagation;
    assert_eq!(next_step(&observed), Step::Issue);
}

#[test]
fn a_clock_that_jumps_ahead_does_not_take_the_issuer_of_what_is_served() {
    let (a, b) = (ca(1, now()), ca(2, now()));
    let retired = Retired { ca: a, until: Some(now() + HOUR) };
    let authorities = Authorities { signing: Some(b), next: None, retired: vec![retired] };
    let served = leaf(a, now()).flatten();
    assert_eq!(authorities.trusted(served, now() + 2 * HOUR), ids(&[a, b]));
    assert_eq!(authorities.trusted(leaf(b, now()).flatten(), now() + 2 * HOUR), ids(&[b]));
    // Nor is it forgotten, or it would be found as a stray one and taken back.
    let mut observed = Observed { authorities: Some(authorities), leaf: leaf(a, now()), ..trusting(&[a, b]) };
    observed.trusted_for.insert(b.id, Duration::ZERO);
    assert_eq!(next(&observed, &POLICY, now() + 2 * HOUR), Step::Rest(POLICY.propagation));
}

#[test]
fn trust_is_counted_from_when_it_was_seen_everywhere_and_anew_after_a_break() {
    let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    let bundle = |ids: &[Fingerprint]| Bundle { trusts: ids.iter().copied().collect(), is_clean: true };
    let mut trusted = Trusted::default();
    let told = |trusted: &Trusted<u64>, now: u64| {
        let mut observed = Observed::default();
        trusted.tell(&mut observed, |since| Duration::from_secs(now - since));
        (
            observed.trusted_for.get(&a).map(Duration::as_secs),
            observed.trusted_for.get(&b).map(Duration::as_secs),
            observed.absent_for.as_secs(),
        )
    };
    trusted.note(Some(&[bundle(&[a, b]), bundle(&[a])]), 0);
    assert_eq!(told(&trusted, 3), (Some(3), None, 0));
    trusted.note(Some(&[bundle(&[a, b]), bundle(&[a, b])]), 4);
    assert_eq!(told(&trusted, 5), (Some(5), Some(1), 0));
    trusted.note(Some(&[bundle(&[b]), bundle(&[a, b])]), 6);
    assert_eq!(told(&trusted, 6), (None, Some(2), 0));
    trusted.note(None, 7);
    assert_eq!(told(&trusted, 9), (None, None, 2));
    trusted.note(Some(&[]), 10);
    assert_eq!(told(&trusted, 10), (None, None, 0), "a configuration without entries is one");
}
