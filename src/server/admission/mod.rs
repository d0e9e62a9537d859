//! The webhook: `webhook` handles `POST /mutate` and `POST /advise`; `body` reads its body into a `body_buffer`, which
//! reserves memory of a `budget` as bytes arrive; `review_pool` runs the review inline or on a
//! thread.

pub(super) mod body;
pub(super) mod body_buffer;
pub(super) mod budget;
pub(super) mod freshness;
pub(super) mod review_pool;
pub(super) mod webhook;
