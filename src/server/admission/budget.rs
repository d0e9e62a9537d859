//! How many bytes of bodies may be in flight. Counts only; what is done with the bytes is [`super::body_buffer`]'s.
//!
//! There are two budgets, so that large bodies never keep out small ones, and the last part of the one for small bodies is for
//! ordinary ones alone.
//! Invariants: a budget is never exceeded, and what is reserved is given back exactly once, when its [`Reservation`] is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

/// How large a body is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// Nearly every review. It is answered where it is read.
    Ordinary,
    /// Answered on a thread of its own, since that can take as long as hundreds of ordinary ones.
    Medium,
    /// A legal pod of 1.49 MiB can be one: the API server escapes `<`, `>` and `&` sixfold.
    Large,
}

impl Size {
    const ORDINARY: usize = 64 * 1024;
    /// Bodies above are large.
    pub const SMALL: usize = 1024 * 1024;

    pub const fn of(bytes: usize) -> Self {
        if bytes <= Self::ORDINARY {
            Self::Ordinary
        } else if bytes <= Self::SMALL {
            Self::Medium
        } else {
            Self::Large
        }
    }

    pub const fn pool(self) -> Pool {
        match self {
            Self::Ordinary | Self::Medium => Pool::Small,
            Self::Large => Pool::Large,
        }
    }
}

/// Which of the two budgets a body takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    Small,
    Large,
}

/// Both budgets; clones are the same ones.
#[derive(Clone)]
pub struct Budgets(Arc<Inner>);

struct Inner {
    small: Budget,
    large: Budget,
    gauge: IntGauge,
}

struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budgets {
    /// `gauge` shows what is reserved of both.
    pub fn new(small: usize, large: usize, gauge: IntGauge) -> Self {
        let budget = |limit| Budget { limit, used: AtomicUsize::new(0) };
        Self(Arc::new(Inner { small: budget(small), large: budget(large), gauge }))
    }

    /// Takes `bytes` for a body, or a part of one, that is of this size as a whole; if they are there.
    pub fn reserve(&self, bytes: usize, size: Size) -> Option<Reservation> {
        let pool = size.pool();
        let budget = self.budget(pool);
        budget.take(bytes, budget.limit_for(size))?;
        self.0.gauge.add(gauge_value(bytes));
        Some(Reservation { budgets: self.clone(), pool, bytes })
    }

    fn budget(&self, pool: Pool) -> &Budget {
        match pool {
            Pool::Small => &self.0.small,
            Pool::Large => &self.0.large,
        }
    }
}

impl Budget {
    /// Medium bodies wait for threads while they hold their bytes: without a part that they cannot take, a few of them could
    /// keep out all ordinary ones.
    fn limit_for(&self, size: Size) -> usize {
        match size {
            Size::Ordinary | Size::Large => self.limit,
            Size::Medium => self.limit - self.limit / 4,
        }
    }

    fn take(&self, bytes: usize, limit: usize) -> Option<()> {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| ())
    }
}

/// Bytes that are taken from a budget, until the value is dropped.
pub struct Reservation {
    budgets: Budgets,
    pool: Pool,
    bytes: usize,
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// Both as one, where they are of one pool; otherwise this one is given back.
    pub fn and(mut self, mut more: Self) -> Self {
        if self.pool == more.pool {
            more.bytes += std::mem::take(&mut self.bytes);
        }
        more
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budgets.budget(self.pool).used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budgets.0.gauge.sub(gauge_value(self.bytes));
    }
}

fn gauge_value(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;

    fn budgets() -> Budgets {
        Budgets::new(16 * MIB, 48 * MIB, IntGauge::new("bytes", "bytes").expect("a gauge"))
    }

    fn reserve(budgets: &Budgets, bytes: usize) -> Option<Reservation> {
        budgets.reserve(bytes, Size::of(bytes))
    }

    fn used(budgets: &Budgets) -> [usize; 2] {
        [Pool::Small, Pool::Large].map(|pool| budgets.budget(pool).used.load(Ordering::Acquire))
    }

    #[test]
    fn sizes() {
        let sizes = [0, 64 * KIB, 64 * KIB + 1, MIB, MIB + 1].map(Size::of);
        assert_eq!(sizes, [Size::Ordinary, Size::Ordinary, Size::Medium, Size::Medium, Size::Large]);
    }

    #[test]
    fn large_bodies_keep_out_no_small_ones() {
        let budgets = budgets();
        let large: Vec<_> = std::iter::from_fn(|| reserve(&budgets, 9 * MIB)).collect();
        assert_eq!(large.len(), 5);
        assert!(reserve(&budgets, MIB).is_some() && reserve(&budgets, KIB).is_some());
        drop(large);
        assert!(reserve(&budgets, 10 * MIB).is_some());
    }

    #[test]
    fn medium_bodies_keep_out_no_ordinary_ones() {
        let budgets = budgets();
        let medium: Vec<_> = std::iter::from_fn(|| reserve(&budgets, MIB)).collect();
        assert_eq!(medium.len(), 12);
        let ordinary: Vec<_> = std::iter::from_fn(|| reserve(&budgets, 64 * KIB)).collect();
        assert_eq!(ordinary.len(), 64);
        assert!(reserve(&budgets, 1).is_none());
        assert_eq!(budgets.0.gauge.get(), 16 * 1024 * 1024);
    }

    #[test]
    fn reservations_are_put_together() {
        let budgets = budgets();
        let both = reserve(&budgets, KIB).expect("room").and(reserve(&budgets, MIB).expect("room"));
        assert_eq!((both.bytes(), used(&budgets)), (MIB + KIB, [MIB + KIB, 0]));
        let moved = both.and(reserve(&budgets, 2 * MIB).expect("room"));
        assert_eq!((moved.bytes(), used(&budgets)), (2 * MIB, [0, 2 * MIB]));
        drop(moved);
        assert_eq!((used(&budgets), budgets.0.gauge.get()), ([0, 0], 0));
    }

    #[test]
    fn what_cannot_be_counted_is_not_there() {
        let budgets = budgets();
        let _one = reserve(&budgets, 2 * MIB).expect("room");
        assert!(reserve(&budgets, usize::MAX).is_none());
        assert_eq!(used(&budgets), [0, 2 * MIB]);
    }

    proptest! {
        /// `Some` reserves so many bytes, `None` gives back the oldest.
        #[test]
        fn a_budget_is_never_exceeded_and_never_leaks(
            steps in proptest::collection::vec(proptest::option::weighted(0.7, 0..12 * MIB), 1..200)
        ) {
            let budgets = budgets();
            let mut held = std::collections::VecDeque::new();
            for step in steps {
                match step {
                    Some(bytes) => held.extend(reserve(&budgets, bytes)),
                    None => drop(held.pop_front()),
                }
                let sum = |pool| held.iter().filter(|one| one.pool() == pool).map(Reservation::bytes).sum::<usize>();
                let [small, large] = used(&budgets);
                prop_assert_eq!([small, large], [sum(Pool::Small), sum(Pool::Large)]);
                prop_assert!(small <= 16 * MIB && large <= 48 * MIB);
                prop_assert_eq!(budgets.0.gauge.get(), gauge_value(small + large));
            }
            drop(held);
            prop_assert_eq!(used(&budgets), [0, 0]);
        }
    }

    #[test]
    fn threads_share_a_budget_without_exceeding_it() {
        let budgets = budgets();
        std::thread::scope(|scope| {
            for thread in 1..=4 {
                let budgets = budgets.clone();
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let held: Vec<_> = (0..5).map(|one| reserve(&budgets, (thread * round + one) * 611)).collect();
                        let [small, large] = used(&budgets);
                        assert!(small <= 16 * MIB && large <= 48 * MIB);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!((used(&budgets), budgets.0.gauge.get()), ([0, 0], 0));
    }
}
