//! Decides who leads by client-go's rules; pure, given the observed Lease and the time.
//!
//! Replicas need not agree on the time: a holder is considered gone when **this replica** has not
//! seen its record change for the lease duration. A write carries the version that was read, so of
//! two concurrent attempts one succeeds.
//! Invariant: a leader gives up `renew_deadline` after its last renewal; no other replica takes
//! over before `lease_duration` after that, which is longer.

use std::time::{Duration, Instant};

/// client-go's three durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTiming {
    /// A record that has not changed for this long has lost its holder.
    pub lease_duration: Duration,
    /// A leader that could not renew for this long no longer leads.
    pub renew_deadline: Duration,
    /// Time between two attempts.
    pub retry_period: Duration,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The content of a Lease. Times are text, since they are only compared for equality.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderElectionRecord {
    /// Empty after a release.
    pub holder: String,
    /// `acquireTime`, as the Lease has it.
    pub acquired: Option<String>,
    /// `renewTime`, as the Lease has it.
    pub renewed: Option<String>,
    /// `leaseTransitions`.
    pub transitions: i32,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// Another replica leads.
    Wait,
    /// No replica leads: write our identity and count the transition.
    Acquire,
    /// We lead: renew.
    Renew,
}

/// One replica's view of the election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: LeaseTiming,
    last_change: Option<(LeaderElectionRecord, Instant)>,
    /// Start time of the last successful write.
    renewed: Option<Instant>,
    /// Whether one of our writes may have succeeded, even without a response, and no other holder
    /// has been seen since.
    may_hold_lease: bool,
}

impl Election {
    /// An election in which nothing is known of the Lease yet.
    pub fn new(identity: String, timing: LeaseTiming) -> Self {
        Self { identity, timing, last_change: None, renewed: None, may_hold_lease: false }
    }

    /// Takes note of the current record and returns what to do about it.
    pub fn observe(&mut self, record: LeaderElectionRecord, now: Instant) -> LeaseAction {
        let is_ours = record.holder == self.identity;
        if !is_ours {
            self.renewed = None;
            self.may_hold_lease = false;
        }
        if self.last_change.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.last_change = Some((record, now));
        }
        let (record, since) = match &self.last_change {
            Some((record, since)) => (record, *since),
            None => return LeaseAction::Wait,
        };
        if is_ours {
            return LeaseAction::Renew;
        }
        let is_over = now.saturating_duration_since(since) >= self.timing.lease_duration;
        if record.holder.is_empty() || is_over { LeaseAction::Acquire } else { LeaseAction::Wait }
    }

    /// Call before each write: whatever its outcome, the lease may be ours from here on.
    pub fn begin_write(&mut self) {
        self.may_hold_lease = true;
    }

    /// Whether the lease may be ours and has to be released at shutdown.
    pub fn may_hold_lease(&self) -> bool {
        self.may_hold_lease
    }

    /// Our write, started at `started`, succeeded; from then on we lead.
    pub fn written(&mut self, record: LeaderElectionRecord, started: Instant) {
        self.last_change = Some((record, started));
        self.renewed = Some(started);
    }

    /// Leadership ends at this time unless a write succeeds before.
    pub fn leads_until(&self) -> Option<Instant> {
        Some(self.renewed? + self.timing.renew_deadline)
    }

    /// Whether this replica leads at `now`.
    pub fn is_leader(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, renewed: u32) -> LeaderElectionRecord {
        LeaderElectionRecord {
            holder: holder.to_owned(),
            renewed: Some(renewed.to_string()),
            ..LeaderElectionRecord::default()
        }
    }

    fn election(identity: &str) -> Election {
        Election::new(identity.to_owned(), LeaseTiming::default())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_without_a_holder_is_acquired_at_once() {
        let now = Instant::now();
        assert_eq!(election("a").observe(LeaderElectionRecord::default(), now), LeaseAction::Acquire);
        assert_eq!(election("a").observe(record("", 7), now), LeaseAction::Acquire);
    }

    #[test]
    fn a_holder_is_gone_when_its_record_has_not_changed_for_the_lease_duration() {
        let (mut election, start) = (election("a"), Instant::now());
        // The time in the record does not matter: it may be years off.
        assert_eq!(election.observe(record("b", 1), start), LeaseAction::Wait);
        assert_eq!(election.observe(record("b", 1), start + seconds(14)), LeaseAction::Wait);
        assert_eq!(election.observe(record("b", 2), start + seconds(14)), LeaseAction::Wait);
        assert_eq!(election.observe(record("b", 2), start + seconds(28)), LeaseAction::Wait);
        assert_eq!(election.observe(record("b", 2), start + seconds(29)), LeaseAction::Acquire);
    }

    #[test]
    fn a_new_holder_restarts_the_wait() {
        let (mut election, start) = (election("a"), Instant::now());
        assert_eq!(election.observe(record("b", 1), start), LeaseAction::Wait);
        assert_eq!(election.observe(record("c", 1), start + seconds(15)), LeaseAction::Wait);
        assert_eq!(election.observe(record("c", 1), start + seconds(30)), LeaseAction::Acquire);
    }

    #[test]
    fn a_leader_gives_up_before_another_replica_may_take_over() {
        let (mut leader, mut other, start) = (election("a"), election("b"), Instant::now());
        assert!(!leader.is_leader(start));
        leader.written(record("a", 1), start);
        // The other replica sees the record at the very moment it was written, as early as it can.
        assert_eq!(other.observe(record("a", 1), start), LeaseAction::Wait);
        assert!(leader.is_leader(start + seconds(9)) && !leader.is_leader(start + seconds(10)));
        assert_eq!(other.observe(record("a", 1), start + seconds(14)), LeaseAction::Wait);
        assert_eq!(other.observe(record("a", 1), start + seconds(15)), LeaseAction::Acquire);
    }

    #[test]
    fn a_leader_renews_and_leads_on() {
        let (mut leader, start) = (election("a"), Instant::now());
        leader.written(record("a", 1), start);
        assert_eq!(leader.observe(record("a", 1), start + seconds(2)), LeaseAction::Renew);
        leader.written(record("a", 2), start + seconds(2));
        assert!(leader.is_leader(start + seconds(11)) && !leader.is_leader(start + seconds(12)));
    }

    #[test]
    fn a_leader_that_sees_another_holder_stops_leading() {
        let (mut leader, start) = (election("a"), Instant::now());
        leader.written(record("a", 1), start);
        assert_eq!(leader.observe(record("b", 1), start + seconds(1)), LeaseAction::Wait);
        assert!(!leader.is_leader(start + seconds(1)));
    }

    #[test]
    fn a_released_record_has_no_leader() {
        let (mut leader, start) = (election("a"), Instant::now());
        leader.written(record("a", 1), start);
        assert_eq!(leader.observe(record("", 2), start + seconds(1)), LeaseAction::Acquire);
        assert!(!leader.is_leader(start + seconds(1)));
    }

    #[test]
    fn a_lease_may_be_ours_from_the_first_write_until_another_holder_is_seen() {
        let (mut elector, start) = (election("a"), Instant::now());
        assert!(!elector.may_hold_lease());
        elector.observe(record("", 1), start);
        elector.begin_write();
        assert!(elector.may_hold_lease() && !elector.is_leader(start), "the answer was lost");
        elector.observe(record("a", 2), start);
        assert!(elector.may_hold_lease());
        elector.observe(record("b", 3), start);
        assert!(!elector.may_hold_lease());
    }

    #[test]
    fn a_write_without_a_response_is_renewed_before_leading() {
        let (mut elector, start) = (election("a"), Instant::now());
        assert_eq!(elector.observe(record("a", 1), start), LeaseAction::Renew);
        assert!(!elector.is_leader(start), "not before a write has succeeded");
    }
}
