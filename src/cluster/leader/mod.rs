//! Elects a leader through an existing Lease and tells the other tasks who leads.
//!
//! [`election`] has the rules. Every write carries the version that was read. The program never
//! creates a Lease: that would need a right that no installation should have to grant.
//! Invariant: [`Leadership`] is true only while the last successful write is younger than the
//! renewal deadline.

pub mod election;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::election::{Election, LeaderElectionRecord, LeaseAction, LeaseTiming};
use super::jitter::jittered;
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// Longest wait for the release at shutdown.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes part in the election for one Lease.
pub struct LeaderElector {
    /// The Leases of the namespace.
    pub leases: Api<Lease>,
    /// Name of the Lease.
    pub name: String,
    /// Unique per process, so that a restarted replica does not mistake its predecessor's lease for
    /// its own.
    pub identity: String,
    /// Times of the election.
    pub timing: LeaseTiming,
}

/// The time until which this replica leads, unless it renews.
#[derive(Clone)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Whether this replica leads now.
    pub fn is_leader(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica leads; for ever if the election has ended.
    pub async fn gained(&mut self) {
        loop {
            if self.is_leader() {
                return;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this replica no longer leads, because another one does or the renewal is late.
    pub async fn lost(&mut self) {
        loop {
            let until = *self.0.borrow_and_update();
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                changed = self.0.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }
}

impl LeaderElector {
    /// Takes part in the election until `end` completes, then releases the lease.
    pub async fn run(self, announce: watch::Sender<Option<Instant>>, end: impl Future<Output = ()>) {
        let mut election = Election::new(self.identity.clone(), self.timing);
        tokio::select! {
            () = self.campaign(&mut election, &announce) => {}
            () = end => {}
        }
        // Stop leading before another replica may start.
        announce.send_replace(None);
        if election.may_hold_lease() {
            self.release().await;
        }
    }

    async fn campaign(&self, election: &mut Election, announce: &watch::Sender<Option<Instant>>) {
        let (mut throttle, mut held) = (ProblemThrottle::default(), None);
        // As it was last logged. Asking the clock at the start of a round would miss the end of a
        // lease that ran out while the process was frozen.
        let mut leads = false;
        let lease = self.name.as_str();
        loop {
            let started = Instant::now();
            let was_leader = election.is_leader(started);
            // Leaves a leader time for a second attempt.
            let limit = if was_leader { self.timing.renew_deadline / 2 } else { self.timing.renew_deadline };
            let problem = match timeout(limit, self.attempt(election, &mut held)).await {
                Ok(Ok(())) => None,
                // Another replica wrote first.
                Ok(Err(error)) if is_status(&error, 409) => None,
                Ok(Err(error)) if is_status(&error, 404) => {
                    Some("the lease does not exist; apply it again: outrigger never creates it".to_owned())
                }
                Ok(Err(error)) => Some(super::explain(&error)),
                Err(_) => Some("the API server did not respond in time".to_owned()),
            };
            match problem {
                Some(problem) => throttle.report(&problem, Urgency::Immediate, || {
                    tracing::warn!(lease, problem, "cannot take part in the leader election");
                }),
                None => throttle.clear(|| tracing::info!(lease, "taking part in the leader election again")),
            }
            announce.send_replace(election.leads_until());
            let is_leader = election.is_leader(Instant::now());
            if is_leader != leads {
                leads = is_leader;
                tracing::info!(lease, identity = self.identity, leads, "leadership changed");
            }
            sleep(self.pause(started.elapsed())).await;
        }
    }

    /// Time until the next attempt. The duration of the calls is part of the interval; otherwise
    /// slow responses would cost a leader its lease.
    fn pause(&self, elapsed: Duration) -> Duration {
        jittered(self.timing.retry_period).saturating_sub(elapsed).max(jittered(self.timing.retry_period / 4))
    }

    /// Renews the Lease if we hold it. Otherwise reads it and, if the rules allow it, acquires it.
    async fn attempt(&self, election: &mut Election, held: &mut Option<Lease>) -> kube::Result<()> {
        // The Lease as we last wrote it: if it has not changed since, one call is enough.
        if let Some(lease) = held.take().filter(|_| election.is_leader(Instant::now())) {
            match self.write_holder(election, lease, LeaseAction::Renew).await {
                Err(error) if is_status(&error, 409) => {}
                written => return written.map(|lease| *held = Some(lease)),
            }
        }
        let lease = self.leases.get(&self.name).await?;
        let next = election.observe(record(lease.spec.as_ref()), Instant::now());
        if next != LeaseAction::Wait {
            *held = Some(self.write_holder(election, lease, next).await?);
        }
        Ok(())
    }

    /// Writes our identity to the Lease.
    async fn write_holder(&self, election: &mut Election, lease: Lease, next: LeaseAction) -> kube::Result<Lease> {
        let (started, now) = (Instant::now(), MicroTime(Timestamp::now()));
        let spec = lease.spec.clone().unwrap_or_default();
        let (transition, acquired) = match next {
            LeaseAction::Renew => (0, spec.acquire_time.clone()),
            LeaseAction::Acquire | LeaseAction::Wait => (1, None),
        };
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(whole_seconds(self.timing.lease_duration)),
            acquire_time: acquired.or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(spec.lease_transitions.unwrap_or(0).saturating_add(transition)),
            ..spec
        };
        election.begin_write();
        let written = self.write(lease, spec).await?;
        election.written(record(written.spec.as_ref()), started);
        Ok(written)
    }

    /// Writes the spec unless the Lease has changed since it was read: its `resourceVersion` is
    /// part of the write.
    async fn write(&self, lease: Lease, spec: LeaseSpec) -> kube::Result<Lease> {
        let lease = Lease { spec: Some(spec), ..lease };
        self.leases.replace(&self.name, &PostParams::default(), &lease).await
    }

    /// Clears the holder, if it is still us, so that the next leader need not wait.
    async fn release(&self) {
        let release = async {
            loop {
                match self.clear_holder().await {
                    // One of our renewals was still in flight.
                    Err(error) if is_status(&error, 409) => {}
                    done => return done,
                }
            }
        };
        let error = match timeout(RELEASE_TIMEOUT, release).await {
            Ok(Ok(())) => return tracing::info!(lease = self.name, "no longer the leader; the lease is released"),
            Ok(Err(error)) => super::explain(&error),
            Err(_) => "the API server did not respond in time".to_owned(),
        };
        tracing::warn!(
            lease = self.name,
            error,
            "the lease could not be released; the next leader waits until it expires"
        );
    }

    async fn clear_holder(&self) -> kube::Result<()> {
        let lease = self.leases.get(&self.name).await?;
        if record(lease.spec.as_ref()).holder != self.identity {
            return Ok(());
        }
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..lease.spec.clone().unwrap_or_default()
        };
        self.write(lease, spec).await.map(drop)
    }
}

fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Starts the election; it runs until `end` completes.
pub fn start_election(
    elector: LeaderElector,
    end: impl Future<Output = ()> + Send + 'static,
) -> (Leadership, tokio::task::JoinHandle<()>) {
    let (announce, leadership) = watch::channel(None);
    (Leadership(leadership), tokio::spawn(elector.run(announce, end)))
}

fn record(spec: Option<&LeaseSpec>) -> LeaderElectionRecord {
    let Some(spec) = spec else { return LeaderElectionRecord::default() };
    let text = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0.to_string());
    LeaderElectionRecord {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        acquired: text(&spec.acquire_time),
        renewed: text(&spec.renew_time),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

/// The API takes whole seconds, at least one.
fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1)
}
