//! The process itself: health, shutdown and processor time.

pub mod health;
pub(crate) mod processor_time;
pub mod shutdown;
