//! Checks whether a replica leads: without a leader nobody renews certificates.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::Lease;

use super::super::finding::{Code, Finding};
use super::super::observations::Observations;
use super::APPLY_AGAIN;
use super::configuration::ours;
use crate::cli::cluster::Lookup;
use crate::pki;

/// The clocks of a replica and of this machine may differ by this much.
const SKEW: Duration = Duration::from_secs(60);

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let namespace = &observations.target.namespace;
    let effect = "pods are injected as before, but no replica renews certificates or repairs caBundle";
    let finding = match &observations.lease {
        Lookup::Absent if issues_certificates(observations) => Code::LeaseMissing.found(
            format!("there is no Lease {namespace}/outrigger, so no replica leads: {effect}"),
            format!("the program never creates it: {APPLY_AGAIN}"),
        ),
        Lookup::Found(lease) if !is_held(lease, observations.now) && issues_certificates(observations) => {
            Code::NoLeader.found(
                format!("no replica holds the Lease {namespace}/outrigger: {effect}"),
                format!(
                    "look for `leader` in `kubectl -n {namespace} logs deployment/outrigger`: a replica needs the rights `get` and `update` on the lease, and must reach the API server"
                ),
            )
        }
        Lookup::Found(_) | Lookup::Absent | Lookup::Unknown => return Vec::new(),
    };
    vec![finding]
}

/// Whether Outrigger issues its certificates itself, as an authority in `caBundle` shows.
fn issues_certificates(observations: &Observations) -> bool {
    let bundles = ours(observations).filter_map(|entry| entry.client_config.ca_bundle.as_ref());
    bundles.flat_map(|bundle| pki::read_bundle(&bundle.0).0).any(|authority| authority.is_cluster_authority)
}

fn is_held(lease: &Lease, now: SystemTime) -> bool {
    let Some(spec) = &lease.spec else { return false };
    let has_holder = spec.holder_identity.as_deref().is_some_and(|holder| !holder.is_empty());
    let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    let renewed = spec.renew_time.as_ref().map(|renewed| SystemTime::from(renewed.0));
    has_holder && renewed.is_some_and(|renewed| now <= renewed + Duration::from_secs(seconds) + SKEW)
}
