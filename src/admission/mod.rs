//! The admission protocol: takes the bytes of an `AdmissionReview`, returns those of the response.
//!
//! `review` decides about pods, `advise` about workloads.
//! This module is pure: it has no HTTP connections and no clock. Its caller logs and counts the
//! [`Record`] that comes with each response.
//! Invariant: any bytes get a [`ReviewResponse`]; its [`Record`] contains no value of the object.

/// Path of the webhook, as the server serves it and the webhook configuration names it.
pub const MUTATE_PATH: &str = "/mutate";
/// Path of the webhook that advises on workloads.
pub const ADVISE_PATH: &str = "/advise";
/// Path of the webhook that checks templates.
pub const VALIDATE_PATH: &str = "/validate";

mod advise;
mod envelope;
mod notice;
mod protocol_error;
mod record;
mod respond;
mod review;
mod wire;

pub use advise::{AdviceMode, advise};
pub use notice::{Cause, Owner, OwnerNotice};
pub use protocol_error::ProtocolError;
pub use record::{Record, ReviewResult};
pub use respond::{MediaType, ReviewResponse};
pub use review::review;
