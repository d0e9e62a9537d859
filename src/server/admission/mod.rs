//! The webhook: bodies, the memory and threads that reviews get, and their responses.

pub(super) mod body;
pub(super) mod body_buffer;
pub(super) mod budget;
pub(super) mod review_pool;
pub(super) mod webhook;
