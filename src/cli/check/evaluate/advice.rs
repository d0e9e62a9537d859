//! Checks whether the API server can ask for advice about workloads.
//!
//! Without the configuration there is no advice by choice. Its failures refuse nothing, so nobody
//! would notice them.

use super::super::finding::{Code, Finding};
use super::super::observations::Observations;
use super::listed;
use crate::pki;

pub(super) fn evaluate(observations: &Observations) -> Option<Finding> {
    let name = format!("advice.{}", observations.target.domain);
    let entries = observations.advice.found()?.webhooks.as_deref().unwrap_or_default();
    let config = &entries.iter().find(|entry| entry.name == name)?.client_config;
    let bundle = config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()).unwrap_or_default();
    if bundle.is_empty() && config.url.is_some() {
        // The API server trusts what its system trusts.
        return None;
    }
    let (authorities, _) = pki::read_bundle(bundle);
    let chains = observations.served.iter().filter_map(|served| Some((&*served.by, served.chain.as_ref().ok()?)));
    let is_trusted = |chain: &[_]| pki::covers(&authorities, chain, observations.now);
    let untrusted: Vec<&str> = chains.filter(|(_, chain)| !is_trusted(chain)).map(|(by, _)| by).collect();
    (!untrusted.is_empty()).then(|| {
        let configuration = &observations.target.configuration;
        Code::AdviceUntrusted.found(
            format!(
                "the caBundle of ValidatingWebhookConfiguration {configuration:?} does not cover the certificate of {}: `kubectl apply` prints no advice about workloads",
                listed(untrusted)
            ),
            format!(
                "the leading replica sets it within seconds, as that of the MutatingWebhookConfiguration: look for `caBundle` in `kubectl -n {} logs deployment/outrigger`, and for tools that write it back",
                observations.target.namespace
            ),
        )
    })
}
