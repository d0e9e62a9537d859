//! A table of problems of an installation, one a row.

mod certificates;
mod installation;
mod pods;

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;

use super::super::super::finding::Code;
use super::super::super::observations::{CertificateOrigin, DryRun, DryRunOutcome, Observations, PodState};
use super::healthy::*;
use crate::cli::cluster::{Failure, Lookup};
use crate::inject::KeyPlace;
use crate::pki::{Authority, AuthorityKind};

/// Name of the problem, the change that causes it, the expected codes, and a part of a message.
pub(super) type Row = (&'static str, fn(&mut Observations), &'static [Code], &'static str);

fn failed(cause: &str) -> String {
    format!("failed calling webhook \"pods.inject.outrigger.dev\": failed to call webhook: {cause}")
}

fn other_authority(kind: AuthorityKind) -> Authority {
    Authority::make(kind, CERTIFICATES.now, 365 * DAY).expect("an authority")
}

fn expect_in_bundle(observations: &mut Observations, index: usize, authority: &Authority) {
    let bundle = authority.certificate().pem().into_bytes();
    entries(observations)[index].client_config.ca_bundle = Some(k8s_openapi::ByteString(bundle));
}

/// All rows.
pub(super) fn table() -> impl Iterator<Item = &'static Row> {
    [installation::ROWS, certificates::ROWS, pods::ROWS].into_iter().flatten()
}
