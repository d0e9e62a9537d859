//! Reconciles the certificates on the leader: reads the cluster's state, takes one step, reads
//! again.
//!
//! It reads the objects, the authorities last. A write based on an outdated version of the others
//! is then rejected for its version, and every accepted write was signed or trusted by the
//! authorities as they were when the object it replaces already existed. Watches only tell when to
//! read.
//! Invariant: every write carries the version that was read, so a leader that was deposed without
//! noticing changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::configurations::{
    self, ConfigurationKind, ReadConfiguration, WatchedConfiguration, WebhookConfigurationObject,
};
use super::plan::{self, Authorities, Bundle, CHECK_INTERVAL, Change, ObservedState, Policy, Step, TrustHistory};
use super::secrets::{self, CertificateMaterial};
use super::write_throttle::{RepairThrottle, WriteThrottle};
use crate::cluster::jitter::Backoff;
use crate::cluster::watching::{self, ObjectState};
use crate::cluster::{Objects, explain};
use crate::pki::{Authority, AuthorityKind, Fingerprint};
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// Timeout of one call. API servers under load take seconds, and a step makes several calls.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to read the wall clock while waiting: it may be set, or the machine may sleep.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Pause between two steps, so that a client that undoes each of them cannot cause a busy loop.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// Creates, trusts and rotates the certificates while this replica leads.
pub(crate) struct Reconciler {
    configurations: Vec<WebhookConfigurationObject>,
    secrets: Api<Secret>,
    metadata: Api<PartialObjectMeta<Secret>>,
    objects: Objects,
    hosts: Vec<String>,
    policy: Policy,
    watched: WatchedObjects,
    missing: MissingObjects,
}

/// Receives a sentence for each required object that does not exist.
pub(crate) type MissingObjects = watch::Sender<Vec<String>>;

/// The objects whose changes start a new step.
#[derive(Clone)]
pub(crate) struct WatchedObjects {
    pub configurations: Vec<WatchedConfiguration>,
    pub serving: watch::Receiver<ObjectState<Secret>>,
}

/// The leader's memory beyond what the cluster stores.
#[derive(Default)]
struct ReconcileHistory {
    trusted: TrustHistory<Instant>,
    /// The last value that `caBundle` was set to.
    last_bundle: Option<BTreeSet<Fingerprint>>,
    repairs: RepairThrottle,
    writes: WriteThrottle,
}

/// The objects as they were read, with their versions.
struct ClusterState {
    observed: ObservedState,
    material: CertificateMaterial,
    /// In the order of [`Reconciler::configurations`].
    configurations: Vec<ReadConfiguration>,
    versions: Versions,
}

#[derive(Default)]
struct Versions {
    serving: Option<String>,
    authorities: Option<String>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("{}", explain(.0))]
    Api(#[from] kube::Error),
    #[error("cannot create a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the API server did not respond in time")]
    Timeout,
    #[error("the signing authority has no key")]
    NoKey,
}

impl StepError {
    /// Another client wrote first: nothing is wrong, and there is a new state to read.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 409)
    }
}

impl Reconciler {
    pub(crate) fn new(
        client: &Client,
        objects: Objects,
        configurations: Vec<WebhookConfigurationObject>,
        (hosts, policy): (Vec<String>, Policy),
        watched: WatchedObjects,
        missing: MissingObjects,
    ) -> Self {
        Self {
            configurations,
            secrets: Api::namespaced(client.clone(), &objects.namespace),
            metadata: Api::namespaced(client.clone(), &objects.namespace),
            objects,
            hosts,
            policy,
            watched,
            missing,
        }
    }

    /// Takes step after step; never ends by itself. The future may be dropped at any time.
    pub(crate) async fn run(&self) {
        let mut watched = self.watched.clone();
        let mut authorities = watching::changes(self.metadata.clone(), &self.objects.ca_secret);
        let (mut history, mut backoff) = (ReconcileHistory::default(), Backoff::default());
        let mut problems = ProblemLog::default();
        loop {
            watched.configurations.iter_mut().for_each(|watched| watched.state.mark_unchanged());
            watched.serving.mark_unchanged();
            authorities.mark_unchanged();
            let wait = match self.step(&mut history, &mut problems).await {
                Ok(wait) => {
                    backoff.succeeded();
                    wait
                }
                Err(error) if error.is_conflict() => backoff.failed(),
                Err(error) => {
                    let problem = error.to_string();
                    problems.error.report(&problem, Urgency::Immediate, || {
                        tracing::error!(problem, "the certificates cannot be reconciled")
                    });
                    sleep(backoff.failed()).await;
                    continue;
                }
            };
            tokio::select! {
                () = sleep_on_clock(SystemTime::now, wait) => {}
                Ok(()) = configurations::changed(&mut watched.configurations) => {}
                () = changed(&mut watched.serving) => {}
                () = changed(&mut authorities) => {}
            }
        }
    }

    /// Reads the state and takes the next step. Returns how long to wait afterwards.
    async fn step(&self, history: &mut ReconcileHistory, problems: &mut ProblemLog) -> Result<Duration, StepError> {
        let state = self.read_state(&mut history.trusted).await?;
        problems.update(&self.required(&state), &self.missing);
        let step = plan::next(&state.observed, &self.policy, SystemTime::now());
        if let Step::Wait(wait) = step {
            return Ok(wait.min(CHECK_INTERVAL));
        }
        let set = if let Step::Trust(trusted) = &step { Some(trusted) } else { None };
        let is_repair = set.is_some() && set == history.last_bundle.as_ref();
        let repair_wait = if is_repair { history.repairs.wait(Instant::now()) } else { Duration::ZERO };
        let wait = history.writes.wait(Instant::now());
        if !wait.is_zero() {
            problems.overwritten.report("repeated", Urgency::Immediate, || {
                tracing::warn!("certificates keep changing; if another client overwrites the Secrets, configure it to leave them alone");
            });
        }
        let wait = wait.max(repair_wait);
        if !wait.is_zero() {
            // Then read again: the state may have changed meanwhile.
            sleep(wait).await;
            return Ok(Duration::ZERO);
        }
        history.writes.record(Instant::now());
        self.apply(&step, state).await?;
        if is_repair && history.repairs.record(Instant::now()) {
            problems.conflict.report("repeated", Urgency::Immediate, || {
                tracing::warn!("another client keeps setting caBundle; configure it to leave that field alone");
            });
        }
        history.last_bundle = set.cloned().or(history.last_bundle.take());
        Ok(STEP_PAUSE)
    }

    /// Reads the objects. Their order matters: see the module's comment.
    async fn read_state(&self, trusted: &mut TrustHistory<Instant>) -> Result<ClusterState, StepError> {
        let mut configurations = Vec::with_capacity(self.configurations.len());
        for configuration in &self.configurations {
            configurations.push(match with_timeout(configuration.read()).await {
                Err(_) if configuration.can_be_left_out() => ReadConfiguration::Unusable,
                read => read?,
            });
        }
        let read = Instant::now();
        let serving = with_timeout(self.secrets.get_opt(&self.objects.serving_secret)).await?;
        let authorities = with_timeout(self.secrets.get_opt(&self.objects.ca_secret)).await?;

        let mut material = CertificateMaterial::default();
        let mut observed = ObservedState {
            authorities: authorities.as_ref().map(|secret| secrets::read_authorities(secret, &mut material)),
            ..ObservedState::default()
        };
        observed.bundles = read_bundles(&configurations, &mut material);
        observed.leaf = serving.as_ref().map(|secret| secrets::read_leaf(secret, &self.hosts, &mut material));
        trusted.record(observed.bundles.as_deref(), read);
        // Counts only up to the time of reading: later changes are unknown.
        trusted.fill_in(&mut observed, |since| read.saturating_duration_since(since));

        let listed: BTreeSet<Fingerprint> = observed.authorities.iter().flat_map(Authorities::ids).collect();
        let in_bundles = observed.bundles.iter().flatten().flat_map(|bundle| bundle.trusts.iter().copied());
        let found: BTreeSet<Fingerprint> = in_bundles.chain(observed.leaf.flatten().map(|leaf| leaf.issuer)).collect();
        observed.stray = material.stray(&found, &listed, SystemTime::now());

        let versions = Versions {
            serving: serving.and_then(|object| object.metadata.resource_version),
            authorities: authorities.and_then(|object| object.metadata.resource_version),
        };
        Ok(ClusterState { observed, material, configurations, versions })
    }

    async fn apply(&self, step: &Step, state: ClusterState) -> Result<(), StepError> {
        match step {
            Step::Wait(_) => Ok(()),
            Step::Authorities(change) => self.change_authorities(change, state).await,
            Step::Trust(trusted) => self.trust(trusted, state).await,
            Step::Issue => self.issue(state).await,
        }
    }

    async fn change_authorities(&self, change: &Change, state: ClusterState) -> Result<(), StepError> {
        let ClusterState { observed, mut material, versions, .. } = state;
        let new = match change.needs_new_ca() {
            true => Some(Authority::make(AuthorityKind::Cluster, SystemTime::now(), self.policy.ca_life)?),
            false => None,
        };
        let new = new.map(|authority| material.add_authority(authority));
        let authorities = observed.authorities.unwrap_or_default().changed(change, new);
        let data = secrets::write_authorities(&authorities, &material);
        self.write_secret(&self.objects.ca_secret, versions.authorities, data).await?;
        tracing::info!(
            step = step_name(change),
            authorities = authorities.ids().count(),
            "certificate authorities changed"
        );
        Ok(())
    }

    /// Sets `caBundle` of every entry of every configuration. Between two of them another client may
    /// write, or the process may end: the next step finds what is left to do.
    async fn trust(&self, trusted: &BTreeSet<Fingerprint>, state: ClusterState) -> Result<(), StepError> {
        let pem = state.material.bundle(trusted);
        let base64 = BASE64.encode(&pem);
        for (object, read) in self.configurations.iter().zip(&state.configurations) {
            let ReadConfiguration::Present(read) = read else { continue };
            let is_set = match with_timeout(object.set_bundle(read, &pem, &base64)).await {
                Err(error) if !error.is_conflict() && object.can_be_left_out() => false,
                is_set => is_set?,
            };
            if is_set {
                let (kind, configuration) = (object.kind.words(), object.name.as_str());
                tracing::info!(kind, configuration, certificates = trusted.len(), "caBundle was updated");
            }
        }
        Ok(())
    }

    async fn issue(&self, state: ClusterState) -> Result<(), StepError> {
        let signing = state.observed.authorities.and_then(|authorities| authorities.signing);
        let authority = signing.and_then(|ca| state.material.authority(ca.id)).ok_or(StepError::NoKey)?;
        let leaf = authority.issue(&self.hosts, SystemTime::now(), self.policy.leaf_life)?;
        let data = secrets::write_leaf(leaf, authority.certificate());
        self.write_secret(&self.objects.serving_secret, state.versions.serving, data).await?;
        tracing::info!(secret = self.objects.serving_secret, issuer = %authority.certificate().fingerprint, "issued a new serving certificate");
        Ok(())
    }

    /// The objects that must exist, with what is wrong with each.
    fn required(&self, state: &ClusterState) -> Vec<RequiredObject<'_>> {
        let configurations = self.configurations.iter().zip(&state.configurations);
        let secret = |name, is_absent: bool| RequiredObject {
            kind: "secret",
            name,
            problem: is_absent.then_some(ObjectProblem::Absent),
        };
        let mut required: Vec<RequiredObject<'_>> = configurations.map(RequiredObject::configuration).collect();
        required.push(secret(&self.objects.ca_secret, state.observed.authorities.is_none()));
        required.push(secret(&self.objects.serving_secret, state.observed.leaf.is_none()));
        required
    }

    /// Changes fields of a Secret unless it has changed since `version`.
    async fn write_secret(
        &self,
        name: &str,
        version: Option<String>,
        data: Map<String, Value>,
    ) -> Result<(), StepError> {
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": data}));
        with_timeout(self.secrets.patch(name, &PatchParams::default(), &patch)).await.map(drop)
    }
}

fn step_name(change: &Change) -> &'static str {
    match change {
        Change::CreateFirst => "begin",
        Change::CreateNext => "make next",
        Change::Promote => "promote next",
        Change::Adopt(_) => "adopt",
        Change::SetExpiry(_) => "limit retired",
        Change::Forget(_) => "forget retired",
    }
}

/// The API server's response, or an error after [`CALL_TIMEOUT`].
async fn with_timeout<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, StepError> {
    Ok(timeout(CALL_TIMEOUT, call).await.map_err(|_| StepError::Timeout)??)
}

/// Waits for `duration` on a clock that advances while the machine sleeps; returns at once if that
/// clock is set back.
async fn sleep_on_clock(clock: impl Fn() -> SystemTime, duration: Duration) {
    let started = clock();
    while let Some(left) = clock().duration_since(started).ok().and_then(|passed| duration.checked_sub(passed)) {
        if left.is_zero() {
            return;
        }
        sleep(left.min(CLOCK_CHECK_INTERVAL)).await;
    }
}

/// Waits for a change; for ever if the watch has ended, so that only the clock wakes the loop.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The bundles of all entries; `None` if no configuration exists, so that no API server calls.
fn read_bundles(configurations: &[ReadConfiguration], material: &mut CertificateMaterial) -> Option<Vec<Bundle>> {
    let present = configurations.iter().filter_map(|read| match read {
        ReadConfiguration::Present(present) => Some(present),
        ReadConfiguration::Absent | ReadConfiguration::Unusable => None,
    });
    let mut bundles: Option<Vec<Bundle>> = None;
    for present in present {
        let read = present.entries.iter().map(|entry| material.read_bundle(entry.ca_bundle()));
        bundles.get_or_insert_default().extend(read);
    }
    bundles
}

/// An object that the installation must have.
struct RequiredObject<'a> {
    kind: &'static str,
    name: &'a str,
    problem: Option<ObjectProblem>,
}

/// What is wrong with a required object.
#[derive(Clone, Copy)]
enum ObjectProblem {
    Absent,
    /// Absent, but no pod depends on it.
    ValidatingAbsent,
    /// A call about it failed; no pod depends on it.
    ValidatingUnusable,
}

impl ObjectProblem {
    /// What is wrong, and what an operator does.
    const fn words(self) -> &'static str {
        match self {
            Self::Absent | Self::ValidatingAbsent => "does not exist; apply it again",
            Self::ValidatingUnusable => "cannot be read and written; if that lasts, apply the roles again",
        }
    }

    fn log(self, kind: &str, name: &str) {
        match self {
            Self::Absent => {
                tracing::error!(kind, name, "object does not exist; apply it again: outrigger never creates it");
            }
            Self::ValidatingAbsent => tracing::warn!(
                kind,
                name,
                "object does not exist; apply it again: until then templates are not checked when they are applied, and nobody gets advice"
            ),
            Self::ValidatingUnusable => tracing::warn!(
                kind,
                name,
                "object cannot be read and written; if that lasts, apply the roles again: until then templates are not checked when they are applied, and nobody gets advice"
            ),
        }
    }
}

impl<'a> RequiredObject<'a> {
    fn configuration((object, read): (&'a WebhookConfigurationObject, &ReadConfiguration)) -> Self {
        let problem = match (read, object.kind) {
            (ReadConfiguration::Present(_), _) => None,
            (ReadConfiguration::Absent, ConfigurationKind::Mutating) => Some(ObjectProblem::Absent),
            (ReadConfiguration::Absent, ConfigurationKind::Validating) => Some(ObjectProblem::ValidatingAbsent),
            (ReadConfiguration::Unusable, _) => Some(ObjectProblem::ValidatingUnusable),
        };
        Self { kind: object.kind.words(), name: &object.name, problem }
    }

    fn sentence(&self) -> Option<String> {
        Some(format!("the {} {} {}", self.kind, self.name, self.problem?.words()))
    }
}

/// The problems that are logged with a throttle.
#[derive(Default)]
struct ProblemLog {
    error: ProblemThrottle,
    conflict: ProblemThrottle,
    overwritten: ProblemThrottle,
    required: Vec<ProblemThrottle>,
}

impl ProblemLog {
    /// After a successful read: logs and reports which objects do not exist.
    fn update(&mut self, required: &[RequiredObject<'_>], report: &MissingObjects) {
        self.error.clear(|| tracing::info!("the certificates are reconciled again"));
        report.send_replace(required.iter().filter_map(RequiredObject::sentence).collect());
        self.required.resize_with(required.len(), ProblemThrottle::default);
        for (throttle, RequiredObject { kind, name, problem }) in self.required.iter_mut().zip(required) {
            match problem {
                Some(problem) => throttle.report(problem.words(), Urgency::Immediate, || problem.log(kind, name)),
                None => throttle.clear(|| tracing::info!(kind, name, "object exists again")),
            }
        }
    }
}

/// Runs the reconciler while this replica leads.
pub(crate) async fn reconcile_while_leading(
    reconciler: Arc<Reconciler>,
    mut leadership: crate::cluster::leader::Leadership,
) {
    loop {
        leadership.gained().await;
        tokio::select! {
            () = reconciler.run() => {}
            () = leadership.lost() => {}
        }
        // A replica that does not lead does not know which objects exist.
        reconciler.missing.send_replace(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// How long a wait of `duration` takes on a clock that shows these seconds one after the other.
    async fn waited(duration: Duration, seconds: &[u64]) -> Duration {
        let (index, started) = (AtomicU64::new(0), Instant::now());
        let clock = || {
            let index = usize::try_from(index.fetch_add(1, Ordering::SeqCst)).expect("few");
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds[index.min(seconds.len() - 1)])
        };
        timeout(Duration::from_secs(60), sleep_on_clock(clock, duration)).await.expect("it ends");
        started.elapsed()
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_machine_wakes_up_or_the_clock_is_set_back() {
        let hour = Duration::from_secs(3600);
        let slept = waited(hour, &[1000, 1000, 5000]).await;
        assert!(slept >= CLOCK_CHECK_INTERVAL && slept < 10 * CLOCK_CHECK_INTERVAL, "{slept:?}");
        let set_back = waited(hour, &[1000, 1000, 900]).await;
        assert!(set_back < 10 * CLOCK_CHECK_INTERVAL, "{set_back:?}");
        assert!(waited(Duration::ZERO, &[1000]).await < CLOCK_CHECK_INTERVAL);
    }
}
