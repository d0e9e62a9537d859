//! Leader election with the rights of the program: one candidate leads, never two, and a lost
//! leader is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use outrigger::cluster::leader::election::LeaseTiming;
use outrigger::cluster::leader::{LeaderElector, Leadership, start_election};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, shared};
use crate::installation::{Installation, LEASE};
use crate::process::eventually;
use crate::replicas;

tests! {
    one_of_three_candidates_leads_and_releases_the_lease_on_shutdown,
    a_lost_leader_is_replaced_only_after_its_lease_expires,
    a_lease_that_is_taken_by_hand_makes_the_leader_step_down,
    candidates_do_not_recreate_a_deleted_lease_and_lead_again_when_it_is_applied,
    replicas_log_a_deleted_lease_and_a_leader_that_was_frozen_that_it_leads_no_more,
}

/// Shorter than the default, but long compared to a slow response.
const TIMING: LeaseTiming = LeaseTiming {
    lease_duration: Duration::from_secs(6),
    renew_deadline: Duration::from_secs(4),
    retry_period: Duration::from_millis(250),
};
const LIMIT: Duration = Duration::from_secs(60);

/// A running candidate.
struct Running {
    name: &'static str,
    leadership: Leadership,
    task: JoinHandle<()>,
    end: Option<oneshot::Sender<()>>,
}

impl Running {
    fn start(cluster: &Cluster, installation: &Installation, name: &'static str) -> Self {
        let client = installation.client();
        let candidate = LeaderElector {
            leases: Api::<Lease>::namespaced(client, installation.name()),
            name: LEASE.to_owned(),
            identity: name.to_owned(),
            timing: TIMING,
        };
        let (end, ended) = oneshot::channel();
        let _runtime = cluster.runtime.enter();
        let (leadership, task) = start_election(candidate, async move { drop(ended.await) });
        Self { name, leadership, task, end: Some(end) }
    }

    fn leads(&self) -> bool {
        self.leadership.is_leader()
    }
}

/// Counts continuously how many candidates lead.
struct Observer {
    most: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Observer {
    fn start(cluster: &Cluster, candidates: &[Running]) -> Self {
        let leaderships: Vec<Leadership> = candidates.iter().map(|candidate| candidate.leadership.clone()).collect();
        let (most, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, over) = (Arc::clone(&most), Arc::clone(&is_over));
        let task = cluster.runtime.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                seen.fetch_max(leaderships.iter().filter(|one| one.is_leader()).count(), Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self { most, is_over, task }
    }

    /// The largest number of leaders at the same time.
    fn most(self, cluster: &Cluster) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        cluster.runtime.block_on(self.task).expect("no panic");
        self.most.load(Ordering::SeqCst)
    }
}

fn with_candidates(
    name: &str,
    names: &[&'static str],
    test: impl FnOnce(&'static Cluster, &Installation, &mut Vec<Running>),
) {
    let cluster = shared();
    let installation = Installation::apply(cluster, name);
    let mut candidates: Vec<Running> = names.iter().map(|name| Running::start(cluster, &installation, name)).collect();
    let observer = Observer::start(cluster, &candidates);
    test(cluster, &installation, &mut candidates);
    assert_eq!(observer.most(cluster), 1, "leaders at a time");
}

/// Removes the leader from the candidates.
fn leader(candidates: &mut Vec<Running>) -> Running {
    let index = eventually("a candidate leads", LIMIT, || candidates.iter().position(Running::leads));
    candidates.remove(index)
}

fn one_of_three_candidates_leads_and_releases_the_lease_on_shutdown() {
    with_candidates("leader-release", &["a", "b", "c"], |cluster, installation, candidates| {
        let mut before = leader(candidates);
        assert_eq!(installation.holder(), before.name);
        before.end.take().expect("running").send(()).expect("it listens");
        cluster.runtime.block_on(&mut before.task).expect("it ends");
        assert_ne!(installation.holder(), before.name, "the lease is released");
        let ended = Instant::now();
        let next = leader(candidates);
        // Two attempts are enough; the limit allows for a slow machine.
        assert!(ended.elapsed() < TIMING.lease_duration, "{:?}", ended.elapsed());
        eventually("the lease names the new leader", LIMIT, || (installation.holder() == next.name).then_some(()));
    });
}

fn a_lost_leader_is_replaced_only_after_its_lease_expires() {
    with_candidates("leader-lost", &["a", "b"], |_, installation, candidates| {
        let lost = leader(candidates);
        lost.task.abort();
        let since = Instant::now();
        let next = leader(candidates);
        // The last renewal may be up to one attempt older.
        assert!(since.elapsed() > TIMING.lease_duration - 2 * TIMING.retry_period, "{:?}", since.elapsed());
        assert!(!lost.leads(), "it knows itself that it leads no more");
        assert_eq!(installation.holder(), next.name);
    });
}

fn a_lease_that_is_taken_by_hand_makes_the_leader_step_down() {
    with_candidates("leader-by-hand", &["a", "b"], |cluster, installation, candidates| {
        let before = leader(candidates);
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEASE}", installation.name());
        let patch = br#"{"spec": {"holderIdentity": "somebody"}}"#.to_vec();
        cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
        eventually("the leader steps down", LIMIT, || (!before.leads()).then_some(()));
        candidates.push(before);
        // Nobody renews the lease for "somebody", so a candidate leads again later.
        let next = leader(candidates);
        assert!(["a", "b"].contains(&next.name));
        candidates.push(next);
    });
}

fn candidates_do_not_recreate_a_deleted_lease_and_lead_again_when_it_is_applied() {
    with_candidates("leader-deleted", &["a", "b"], |_, installation, candidates| {
        let before = leader(candidates);
        installation.delete_lease();
        eventually("nobody leads without a lease", LIMIT, || (!before.leads()).then_some(()));
        candidates.push(before);
        assert!(!candidates.iter().any(Running::leads));
        installation.apply_lease();
        let next = leader(candidates);
        assert_eq!(installation.holder(), next.name);
        candidates.push(next);
    });
}

fn replicas_log_a_deleted_lease_and_a_leader_that_was_frozen_that_it_leads_no_more() {
    let running = replicas::Running::start(shared(), "leader-log", 2, &["--ca-propagation=1s"]);
    let logs = |part: &str| running.replicas.iter().filter(|replica| replica.process.log().contains(part)).count();
    let leaders = || running.replicas.iter().filter(|one| one.metric("outrigger_leader") == Some(1.0)).count();
    running.installation.delete_lease();
    eventually("both say why", LIMIT, || (logs("the lease does not exist; apply it again") == 2).then_some(()));
    eventually("no replica leads", LIMIT, || (leaders() == 0).then_some(()));
    running.installation.apply_lease();
    eventually("a replica leads again", LIMIT, || (leaders() == 1).then_some(()));
    eventually("both say so", LIMIT, || (logs("taking part in the leader election again") == 2).then_some(()));

    let leader = &running.replicas[running.leader()];
    let lines = || leader.process.log().matches("\"leads\":false").count();
    let before = lines();
    leader.process.signal("STOP");
    let other = |running: &replicas::Running| running.replicas[running.leader()].name != leader.name;
    eventually("the other one leads", LIMIT, || other(&running).then_some(()));
    leader.process.signal("CONT");
    eventually("it says that it leads no more", LIMIT, || (lines() == before + 1).then_some(()));
    running.assert_no_key_is_logged();
}
