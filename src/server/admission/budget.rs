//! Budgets for the bytes of bodies in flight. This module only counts; [`super::body_buffer`] keeps
//! the bytes.
//!
//! There are two budgets, so that large bodies never crowd out small ones. The last part of the
//! budget for small bodies is for ordinary ones alone.
//! Invariants: a budget is never exceeded; a reservation is released exactly once, when its
//! [`Reservation`] is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

/// The size class of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    /// Nearly every review.
    Ordinary,
    /// Can take as long as hundreds of ordinary reviews.
    Medium,
    /// Up to 9 MiB for a legal pod of 1.49 MiB: the API server escapes `<`, `>` and `&` sixfold.
    Large,
}

impl Size {
    const ORDINARY: usize = 64 * 1024;
    /// Bodies above are large.
    pub(super) const SMALL: usize = 1024 * 1024;

    pub(super) const fn of(bytes: usize) -> Self {
        if bytes <= Self::ORDINARY {
            Self::Ordinary
        } else if bytes <= Self::SMALL {
            Self::Medium
        } else {
            Self::Large
        }
    }

    pub(super) const fn pool(self) -> Pool {
        match self {
            Self::Ordinary | Self::Medium => Pool::Small,
            Self::Large => Pool::Large,
        }
    }
}

/// The budget that a body reserves from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    Small,
    Large,
}

/// Both budgets. Clones share them.
#[derive(Clone)]
pub(super) struct Budgets(Arc<SharedBudgets>);

struct SharedBudgets {
    small: ByteBudget,
    large: ByteBudget,
    gauge: IntGauge,
}

struct ByteBudget {
    limit: usize,
    used: AtomicUsize,
}

impl Budgets {
    /// `gauge` shows the sum of all reservations.
    pub(super) fn new(small: usize, large: usize, gauge: IntGauge) -> Self {
        let budget = |limit| ByteBudget { limit, used: AtomicUsize::new(0) };
        Self(Arc::new(SharedBudgets { small: budget(small), large: budget(large), gauge }))
    }

    /// Reserves `bytes` for a body, or for a part of one, whose size class is `size`; `None` when
    /// the budget is exhausted.
    pub(super) fn reserve(&self, bytes: usize, size: Size) -> Option<Reservation> {
        let pool = size.pool();
        let budget = self.budget(pool);
        budget.take(bytes, budget.limit_for(size))?;
        self.0.gauge.add(gauge_value(bytes));
        Some(Reservation { budgets: self.clone(), pool, bytes })
    }

    fn budget(&self, pool: Pool) -> &ByteBudget {
        match pool {
            Pool::Small => &self.0.small,
            Pool::Large => &self.0.large,
        }
    }
}

impl ByteBudget {
    /// Medium bodies keep their bytes while they wait for a thread: without a part that they cannot
    /// take, a few of them could crowd out all ordinary ones.
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

/// Bytes reserved from a budget until the value is dropped.
pub(super) struct Reservation {
    budgets: Budgets,
    pool: Pool,
    bytes: usize,
}

impl Reservation {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn pool(&self) -> Pool {
        self.pool
    }

    /// Both reservations as one if they are of one pool; otherwise this one is released.
    pub(super) fn merge(mut self, mut more: Self) -> Self {
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
    fn size_classes() {
        let sizes = [0, 64 * KIB, 64 * KIB + 1, MIB, MIB + 1].map(Size::of);
        assert_eq!(sizes, [Size::Ordinary, Size::Ordinary, Size::Medium, Size::Medium, Size::Large]);
    }

    #[test]
    fn large_bodies_do_not_crowd_out_small_ones() {
        let budgets = budgets();
        let large: Vec<_> = std::iter::from_fn(|| reserve(&budgets, 9 * MIB)).collect();
        assert_eq!(large.len(), 5);
        assert!(reserve(&budgets, MIB).is_some() && reserve(&budgets, KIB).is_some());
        drop(large);
        assert!(reserve(&budgets, 10 * MIB).is_some());
    }

    #[test]
    fn medium_bodies_do_not_crowd_out_ordinary_ones() {
        let budgets = budgets();
        let medium: Vec<_> = std::iter::from_fn(|| reserve(&budgets, MIB)).collect();
        assert_eq!(medium.len(), 12);
        let ordinary: Vec<_> = std::iter::from_fn(|| reserve(&budgets, 64 * KIB)).collect();
        assert_eq!(ordinary.len(), 64);
        assert!(reserve(&budgets, 1).is_none());
        assert_eq!(budgets.0.gauge.get(), 16 * 1024 * 1024);
    }

    #[test]
    fn reservations_of_one_pool_are_merged() {
        let budgets = budgets();
        let both = reserve(&budgets, KIB).expect("room").merge(reserve(&budgets, MIB).expect("room"));
        assert_eq!((both.bytes(), used(&budgets)), (MIB + KIB, [MIB + KIB, 0]));
        let moved = both.merge(reserve(&budgets, 2 * MIB).expect("room"));
        assert_eq!((moved.bytes(), used(&budgets)), (2 * MIB, [0, 2 * MIB]));
        drop(moved);
        assert_eq!((used(&budgets), budgets.0.gauge.get()), ([0, 0], 0));
    }

    #[test]
    fn a_reservation_that_overflows_is_refused() {
        let budgets = budgets();
        let _one = reserve(&budgets, 2 * MIB).expect("room");
        assert!(reserve(&budgets, usize::MAX).is_none());
        assert_eq!(used(&budgets), [0, 2 * MIB]);
    }

    proptest! {
        /// `Some` reserves bytes, `None` releases the oldest reservation.
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
