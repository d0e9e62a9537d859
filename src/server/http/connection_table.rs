//! The open connections of one listener, and room for one more: at the limit the one that has been silent longest is closed.
//!
//! Silence is [`super::deadline`]'s. Only the task that takes connections uses the table, so nothing here is shared or locked; a
//! look at all connections is paid for by [`AT_ONCE`] new ones.
//! Invariants: never more connections than the limit; none with a request in flight is closed; finished ones leave nothing.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use super::deadline::Clock;

/// So many of the longest silent ones are remembered. What stays silent has been so for longer than whoever fell silent since.
const AT_ONCE: usize = 64;
/// Longer than this the memory is not used: a slow head counts as silence only after a while.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
pub struct Table {
    limit: usize,
    tasks: JoinSet<()>,
    open: HashMap<Id, Connection>,
    /// Silent ones, the longest silent last, and when they were looked for.
    silent: Vec<(Instant, Id)>,
    looked: Instant,
}

struct Connection {
    clock: Clock,
    task: AbortHandle,
}

impl Table {
    pub fn new(limit: usize) -> Self {
        Self { limit, tasks: JoinSet::new(), open: HashMap::new(), silent: Vec::new(), looked: Instant::now() }
    }

    pub fn is_full(&self) -> bool {
        self.open.len() >= self.limit
    }

    /// Adds a connection, whose task is `serve`.
    pub fn add(&mut self, clock: Clock, serve: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(serve);
        self.open.insert(task.id(), Connection { clock, task });
    }

    /// Closes the longest silent connection; `false` where each has a request in flight.
    pub fn make_room(&mut self) -> bool {
        if self.looked.elapsed() > FRESH {
            self.silent.clear();
        }
        let was_fresh = self.silent.is_empty();
        if was_fresh {
            self.look();
        }
        if self.dismiss_one() {
            return true;
        }
        // What was remembered is all gone or busy again.
        !was_fresh && {
            self.look();
            self.dismiss_one()
        }
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        self.silent.clear();
        let silent = self.open.iter().filter_map(|(id, connection)| Some((connection.clock.silent_since()?, *id)));
        self.silent.extend(silent);
        if self.silent.len() > AT_ONCE {
            self.silent.select_nth_unstable_by_key(AT_ONCE, |(since, _)| *since);
            self.silent.truncate(AT_ONCE);
        }
        self.silent.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
    }

    fn dismiss_one(&mut self) -> bool {
        while let Some((since, id)) = self.silent.pop() {
            let is_dismissed = self.open.get(&id).is_some_and(|connection| connection.clock.dismiss(since));
            if is_dismissed && let Some(connection) = self.open.remove(&id) {
                connection.task.abort();
                return true;
            }
        }
        false
    }

    /// Waits until a connection has ended; for ever where there is none.
    pub async fn one_ended(&mut self) {
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
    use crate::server::http::deadline::Http;
    use crate::server::http::in_flight::InFlight;

    /// A table of connections that never end by themselves.
    async fn table(limit: usize, count: usize) -> (Table, Vec<Clock>) {
        let mut table = Table::new(limit);
        let mut clocks = Vec::new();
        for _ in 0..count {
            let clock = Clock::new(InFlight::default());
            clock.begin(Http::One);
            table.add(clock.clone(), pending());
            clocks.push(clock);
            // Clocks are not so fine everywhere that each of these has another time.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        (table, clocks)
    }

    fn gone(clocks: &[Clock]) -> Vec<usize> {
        (0..clocks.len()).filter(|index| !clocks[*index].received(1)).collect()
    }

    #[tokio::test]
    async fn the_longest_silent_goes_first_and_the_busy_never() {
        let (mut table, clocks) = table(4, 4).await;
        assert!(table.is_full());
        clocks[0].busy();
        clocks[0].whole();
        assert!(table.make_room() && !table.is_full());
        assert!(table.make_room());
        // Remembered as silent, and not so any more.
        clocks[3].busy();
        clocks[3].whole();
        assert!(!table.make_room());
        assert_eq!(gone(&clocks), [1, 2]);
        assert_eq!(table.open.len(), 2);
    }

    #[tokio::test]
    async fn whoever_fell_silent_later_goes_later() {
        let (mut table, clocks) = table(3, 3).await;
        clocks[0].busy();
        clocks[0].answered(crate::server::http::deadline::Then::NextRequest);
        clocks[0].flushed();
        for _ in 0..2 {
            assert!(table.make_room());
        }
        assert_eq!(gone(&clocks), [1, 2]);
        assert!(clocks[0].silent_since().is_none(), "it has just been asked for a byte");
    }

    #[tokio::test]
    async fn more_than_are_remembered_at_once_can_go() {
        let mut table = Table::new(1_000);
        for _ in 0..3 * AT_ONCE {
            let clock = Clock::new(InFlight::default());
            table.add(clock, pending());
        }
        for left in (0..3 * AT_ONCE).rev() {
            assert!(table.make_room());
            assert_eq!(table.open.len(), left);
        }
        assert!(!table.make_room());
    }

    #[tokio::test]
    async fn what_ends_leaves_nothing() {
        let mut table = Table::new(10);
        table.add(Clock::new(InFlight::default()), pending());
        assert!(table.make_room());
        for _ in 0..5 {
            table.add(Clock::new(InFlight::default()), async {});
        }
        for _ in 0..6 {
            table.one_ended().await;
        }
        assert!(table.open.is_empty() && table.tasks.is_empty());
    }
}
