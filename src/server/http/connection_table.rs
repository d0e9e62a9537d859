//! The open connections of one listener. At the limit, the connection that has been idle longest is
//! evicted.
//!
//! [`super::deadline`] says which connections are idle. Only the task that accepts connections uses
//! the table, so nothing here is shared or locked. One search through all connections serves
//! [`CANDIDATES`] new ones.
//! Invariants: there are never more connections than the limit; none with a request in flight is
//! evicted; finished connections leave nothing behind.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use super::deadline::ConnectionState;

/// Most connections that one search remembers for eviction. A remembered connection that is still
/// idle has been idle for longer than any that became idle since.
const CANDIDATES: usize = 64;
/// How long the result of a search is used: a slow head counts as idle only after a while.
const SEARCH_LIFETIME: Duration = Duration::from_secs(1);

/// The connections, each a task of its own.
pub(in crate::server) struct ConnectionTable {
    limit: usize,
    tasks: JoinSet<()>,
    open: HashMap<Id, TableEntry>,
    /// Idle connections, the longest idle last.
    idle: Vec<(Instant, Id)>,
    searched_at: Instant,
}

struct TableEntry {
    state: ConnectionState,
    task: AbortHandle,
}

impl ConnectionTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, tasks: JoinSet::new(), open: HashMap::new(), idle: Vec::new(), searched_at: Instant::now() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= self.limit
    }

    /// Adds a connection and spawns its task.
    pub(crate) fn add(&mut self, state: ConnectionState, serve: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(serve);
        self.open.insert(task.id(), TableEntry { state, task });
    }

    /// Evicts the connection that has been idle longest; `false` when every connection has a
    /// request in flight.
    pub(crate) fn evict_idle(&mut self) -> bool {
        if self.searched_at.elapsed() > SEARCH_LIFETIME {
            self.idle.clear();
        }
        let is_new_search = self.idle.is_empty();
        if is_new_search {
            self.search_idle();
        }
        if self.evict_candidate() {
            return true;
        }
        // All remembered connections have ended or are busy again.
        !is_new_search && {
            self.search_idle();
            self.evict_candidate()
        }
    }

    fn search_idle(&mut self) {
        self.searched_at = Instant::now();
        self.idle.clear();
        let idle = self.open.iter().filter_map(|(id, entry)| Some((entry.state.idle_since()?, *id)));
        self.idle.extend(idle);
        if self.idle.len() > CANDIDATES {
            self.idle.select_nth_unstable_by_key(CANDIDATES, |(since, _)| *since);
            self.idle.truncate(CANDIDATES);
        }
        self.idle.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
    }

    fn evict_candidate(&mut self) -> bool {
        while let Some((since, id)) = self.idle.pop() {
            let is_evicted = self.open.get(&id).is_some_and(|entry| entry.state.evict(since));
            if is_evicted && let Some(entry) = self.open.remove(&id) {
                entry.task.abort();
                return true;
            }
        }
        false
    }

    /// Waits until a connection has ended; for ever when there is none.
    pub(crate) async fn next_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return pending().await,
        };
        self.open.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::in_flight::InFlight;

    /// A table of connections that never end by themselves.
    async fn table(limit: usize, count: usize) -> (ConnectionTable, Vec<ConnectionState>) {
        let mut table = ConnectionTable::new(limit);
        let mut states = Vec::new();
        for _ in 0..count {
            let state = ConnectionState::new(InFlight::default());
            state.handshake_done();
            table.add(state.clone(), pending());
            states.push(state);
            // Not every clock is fine enough to give each connection another time.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        (table, states)
    }

    fn gone(states: &[ConnectionState]) -> Vec<usize> {
        (0..states.len()).filter(|index| !states[*index].received(1)).collect()
    }

    #[tokio::test]
    async fn the_longest_idle_connection_is_evicted_first_and_a_busy_one_never() {
        let (mut table, states) = table(4, 4).await;
        assert!(table.is_full());
        states[0].head_received();
        states[0].body_received();
        assert!(table.evict_idle() && !table.is_full());
        assert!(table.evict_idle());
        // Remembered as idle, but no longer idle.
        states[3].head_received();
        states[3].body_received();
        assert!(!table.evict_idle());
        assert_eq!(gone(&states), [1, 2]);
        assert_eq!(table.open.len(), 2);
    }

    #[tokio::test]
    async fn connections_are_evicted_in_the_order_in_which_they_became_idle() {
        let (mut table, states) = table(3, 3).await;
        states[0].head_received();
        states[0].response_begins(crate::server::http::deadline::AfterResponse::KeepAlive);
        states[0].flushed();
        for _ in 0..2 {
            assert!(table.evict_idle());
        }
        assert_eq!(gone(&states), [1, 2]);
        assert!(states[0].idle_since().is_none(), "it has just been asked for a byte");
    }

    #[tokio::test]
    async fn more_connections_can_be_evicted_than_one_search_remembers() {
        let mut table = ConnectionTable::new(1_000);
        for _ in 0..3 * CANDIDATES {
            let state = ConnectionState::new(InFlight::default());
            table.add(state, pending());
        }
        for left in (0..3 * CANDIDATES).rev() {
            assert!(table.evict_idle());
            assert_eq!(table.open.len(), left);
        }
        assert!(!table.evict_idle());
    }

    #[tokio::test]
    async fn finished_connections_leave_nothing_behind() {
        let mut table = ConnectionTable::new(10);
        table.add(ConnectionState::new(InFlight::default()), pending());
        assert!(table.evict_idle());
        for _ in 0..5 {
            table.add(ConnectionState::new(InFlight::default()), async {});
        }
        for _ in 0..6 {
            table.next_ended().await;
        }
        assert!(table.open.is_empty() && table.tasks.is_empty());
    }
}
