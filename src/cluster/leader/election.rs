//! Who leads, by the rules of client-go: pure, given what was seen in the Lease and when.
//!
//! Nobody compares clocks: whether a holder is still there is told by how long its record has not changed **here**, so
//! replicas need not agree on the time. A write carries the version that was read, so that of two who try one succeeds.
//! Invariant: a leader gives up `deadline` after it last renewed; nobody else takes over before `duration` after that, which is longer.

use std::time::{Duration, Instant};

/// client-go's three durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A record that has not changed for so long has no holder any more.
    pub duration: Duration,
    /// A leader that could not renew for so long leads no more.
    pub deadline: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// What a Lease says. Times are text here: they are only ever compared for equality.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Empty when it was released.
    pub holder: String,
    pub acquired: Option<String>,
    pub renewed: Option<String>,
    pub transitions: i32,
}

/// What to do about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Somebody else leads.
    Wait,
    /// Nobody leads: write ourselves in, and count the transition.
    Take,
    /// We lead: renew.
    Renew,
}

/// One candidate's view of the election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    seen: Option<(Record, Instant)>,
    /// When the last write that succeeded was begun.
    renewed: Option<Instant>,
    /// Whether a write of ours may have succeeded, told or not, and nobody else has been seen since.
    may_hold: bool,
}

impl Election {
    pub fn new(identity: String, timing: Timing) -> Self {
        Self { identity, timing, seen: None, renewed: None, may_hold: false }
    }

    /// The record as it is, and what to do about it.
    pub fn observe(&mut self, record: Record, now: Instant) -> Move {
        let is_ours = record.holder == self.identity;
        if !is_ours {
            self.renewed = None;
            self.may_hold = false;
        }
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, now));
        }
        let (record, since) = match &self.seen {
            Some((record, since)) => (record, *since),
            None => return Move::Wait,
        };
        if is_ours {
            return Move::Renew;
        }
        let is_over = now.saturating_duration_since(since) >= self.timing.duration;
        if record.holder.is_empty() || is_over { Move::Take } else { Move::Wait }
    }

    /// A write of ours is about to begin: whatever becomes of it, we may hold the lease from here on.
    pub fn begin_write(&mut self) {
        self.may_hold = true;
    }

    /// Whether the lease may be ours, to be released at the end.
    pub fn may_hold(&self) -> bool {
        self.may_hold
    }

    /// Our write, begun at `begun`, succeeded; from then on we lead.
    pub fn written(&mut self, record: Record, begun: Instant) {
        self.seen = Some((record, begun));
        self.renewed = Some(begun);
    }

    /// We lead until this time, if no write succeeds before.
    pub fn leads_until(&self) -> Option<Instant> {
        Some(self.renewed? + self.timing.deadline)
    }

    pub fn is_leader(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, renewed: u32) -> Record {
        Record { holder: holder.to_owned(), renewed: Some(renewed.to_string()), ..Record::default() }
    }

    fn election(identity: &str) -> Election {
        Election::new(identity.to_owned(), Timing::default())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_without_a_holder_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(election("a").observe(Record::default(), now), Move::Take);
        assert_eq!(election("a").observe(record("", 7), now), Move::Take);
    }

    #[test]
    fn a_holder_is_gone_when_its_record_has_not_changed_here_for_the_whole_duration() {
        let (mut election, start) = (election("a"), Instant::now());
        // What the record says of the time does not matter: it may be years off.
        assert_eq!(election.observe(record("b", 1), start), Move::Wait);
        assert_eq!(election.observe(record("b", 1), start + seconds(14)), Move::Wait);
        assert_eq!(election.observe(record("b", 2), start + seconds(14)), Move::Wait);
        assert_eq!(election.observe(record("b", 2), start + seconds(28)), Move::Wait);
        assert_eq!(election.observe(record("b", 2), start + seconds(29)), Move::Take);
    }

    #[test]
    fn another_holder_starts_the_wait_anew() {
        let (mut election, start) = (election("a"), Instant::now());
        assert_eq!(election.observe(record("b", 1), start), Move::Wait);
        assert_eq!(election.observe(record("c", 1), start + seconds(15)), Move::Wait);
        assert_eq!(election.observe(record("c", 1), start + seconds(30)), Move::Take);
    }

    #[test]
    fn a_leader_gives_up_before_anybody_else_may_take_over() {
        let (mut leader, mut other, start) = (election("a"), election("b"), Instant::now());
        assert!(!leader.is_leader(start));
        leader.written(record("a", 1), start);
        // The other sees the record at the very moment at which it was written, the soonest that it can.
        assert_eq!(other.observe(record("a", 1), start), Move::Wait);
        assert!(leader.is_leader(start + seconds(9)) && !leader.is_leader(start + seconds(10)));
        assert_eq!(other.observe(record("a", 1), start + seconds(14)), Move::Wait);
        assert_eq!(other.observe(record("a", 1), start + seconds(15)), Move::Take);
    }

    #[test]
    fn a_leader_renews_and_leads_on() {
        let (mut leader, start) = (election("a"), Instant::now());
        leader.written(record("a", 1), start);
        assert_eq!(leader.observe(record("a", 1), start + seconds(2)), Move::Renew);
        leader.written(record("a", 2), start + seconds(2));
        assert!(leader.is_leader(start + seconds(11)) && !leader.is_leader(start + seconds(12)));
    }

    #[test]
    fn whoever_sees_another_holder_leads_no_more() {
        let (mut leader, start) = (election("a"), Instant::now());
        leader.written(record("a", 1), start);
        assert_eq!(leader.observe(record("b", 1), start + seconds(1)), Move::Wait);
        assert!(!leader.is_leader(start + seconds(1)));
    }

    #[test]
    fn a_record_that_was_released_counts_for_nobody() {
        let (mut leader, start) = (election("a"), Instant::now());
        leader.written(record("a", 1), start);
        assert_eq!(leader.observe(record("", 2), start + seconds(1)), Move::Take);
        assert!(!leader.is_leader(start + seconds(1)));
    }

    #[test]
    fn a_lease_may_be_ours_from_the_first_write_until_another_holder_is_seen() {
        let (mut candidate, start) = (election("a"), Instant::now());
        assert!(!candidate.may_hold());
        candidate.observe(record("", 1), start);
        candidate.begin_write();
        assert!(candidate.may_hold() && !candidate.is_leader(start), "the answer was lost");
        candidate.observe(record("a", 2), start);
        assert!(candidate.may_hold());
        candidate.observe(record("b", 3), start);
        assert!(!candidate.may_hold());
    }

    #[test]
    fn a_write_of_ours_whose_answer_was_lost_is_renewed_before_we_lead() {
        let (mut candidate, start) = (election("a"), Instant::now());
        assert_eq!(candidate.observe(record("a", 1), start), Move::Renew);
        assert!(!candidate.is_leader(start), "not before a write has succeeded");
    }
}
