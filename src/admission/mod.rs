//! The admission protocol: bytes of an `AdmissionReview` in, bytes of an `AdmissionReview` out. Pure.
//!
//! It knows neither HTTP connections nor clocks; what is to be logged and counted leaves as a [`Record`].
//! Invariant: whatever the bytes, there is an [`ReviewResponse`], and its [`Record`] holds no value of the object.

/// Path of the webhook, as the server serves it and the webhook configuration names it.
pub const MUTATE_PATH: &str = "/mutate";

mod protocol_error;
mod record;
mod respond;
mod review;
mod wire;

pub use protocol_error::ProtocolError;
pub use record::{Record, ReviewResult};
pub use respond::{MediaType, ReviewResponse};
pub use review::review;
