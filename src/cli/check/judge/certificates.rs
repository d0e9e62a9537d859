//! Whether the API server trusts what is served: `caBundle`, the chain of each replica, the name, and how long all of it holds.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use rustls::pki_types::CertificateDer;

use super::super::facts::{Facts, From, Served};
use super::super::finding::{Code, Finding};
use super::configuration::ours;
use crate::pki::{self, Certificate, Validity};

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut bundles: Vec<(&MutatingWebhook, Vec<Certificate>)> = Vec::new();
    for entry in ours(facts) {
        match bundle(facts, entry) {
            Ok(Some(certificates)) => bundles.push((entry, certificates)),
            Ok(None) => {}
            Err(finding) => findings.push(finding),
        }
    }
    let mut good: Vec<String> = Vec::new();
    for served in &facts.served {
        let chain = match &served.chain {
            Ok(chain) => chain,
            Err(problem) => {
                findings.push(unseen(facts, served, problem));
                continue;
            }
        };
        let Some(leaf) = chain.first().cloned().and_then(Certificate::from_der) else {
            findings.push(unseen(facts, served, "its certificate cannot be parsed"));
            continue;
        };
        let seen = Seen { facts, served, chain, leaf };
        if served.from == From::Secret {
            findings.push(seen.from_secret());
        }
        let found: Vec<Finding> = seen.judge(&bundles);
        if found.is_empty() && !bundles.is_empty() {
            good.push(format!("{} (until {})", served.by, date(seen.leaf.validity.not_after)));
        }
        findings.extend(found);
    }
    if !good.is_empty() {
        let certificates = super::listed(good.iter().map(String::as_str));
        findings.push(Code::Certificates.good(format!("caBundle covers what is served by {certificates}")));
    }
    without_repetitions(findings)
}

/// Several entries with one bundle say the same of it.
fn without_repetitions(findings: Vec<Finding>) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    findings.into_iter().filter(|finding| seen.insert((finding.code, finding.message.clone()))).collect()
}

/// The certificates that an entry trusts; none where the API server trusts its system's.
fn bundle(facts: &Facts, entry: &MutatingWebhook) -> Result<Option<Vec<Certificate>>, Finding> {
    let pem = entry.client_config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()).unwrap_or_default();
    if pem.is_empty() {
        let by_url = entry.client_config.url.is_some();
        let finding = Code::BundleEmpty.found(
            format!("entry {:?} has no caBundle: the API server trusts no certificate of a Service", entry.name),
            keeper(facts),
        );
        return if by_url { Ok(None) } else { Err(finding) };
    }
    let (certificates, _) = pki::read_bundle(pem);
    if certificates.is_empty() {
        return Err(Code::BundleInvalid.found(
            format!("the caBundle of entry {:?} holds no certificate that can be read", entry.name),
            keeper(facts),
        ));
    }
    Ok(Some(certificates))
}

/// Who writes the bundle, and what keeps it from being right.
fn keeper(facts: &Facts) -> String {
    let namespace = &facts.target.namespace;
    format!(
        "the leading replica sets it within seconds, cert-manager's CA injector or you with other certificates: look for `caBundle` in `kubectl -n {namespace} logs deployment/outrigger`, at who else writes it (`kubectl get mutatingwebhookconfiguration {} -o yaml --show-managed-fields`), and for tools such as Argo CD that write it back",
        facts.target.configuration
    )
}

fn unseen(facts: &Facts, served: &Served, problem: &str) -> Finding {
    Code::NoCertificate.found(
        format!("the certificate of {} could not be seen: {problem}", served.by),
        format!(
            "look at the log with `kubectl -n {} logs deployment/outrigger`; the dry-run pod below shows whether the API server gets through",
            facts.target.namespace
        ),
    )
}

/// A certificate that is served.
struct Seen<'f> {
    facts: &'f Facts,
    served: &'f Served,
    chain: &'f [CertificateDer<'static>],
    leaf: Certificate,
}

impl Seen<'_> {
    fn judge(&self, bundles: &[(&MutatingWebhook, Vec<Certificate>)]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (by, now, validity) = (&self.served.by, self.facts.now, self.leaf.validity);
        let restart = self.renew();
        if now > validity.not_after {
            let message = format!("the certificate of {by} has expired on {}", date(validity.not_after));
            findings.push(Code::LeafExpired.found(message, restart));
        } else if now < validity.not_before {
            findings.push(Code::LeafNotYetValid.found(
                format!(
                    "the certificate of {by} holds from {} on, and it is {} here",
                    date(validity.not_before),
                    date(now)
                ),
                "set the clocks of the nodes and of this machine right",
            ));
        }
        for (entry, bundle) in bundles {
            findings.extend(self.against(entry, bundle));
        }
        if findings.is_empty() && is_overdue(validity, self.share(), now) {
            let message = format!(
                "the certificate of {by} expires on {} and should have been renewed by now",
                date(validity.not_after)
            );
            findings.push(Code::LeafOverdue.found(message, self.renew()));
        }
        findings
    }

    /// What the bundle of an entry has against it.
    fn against(&self, entry: &MutatingWebhook, bundle: &[Certificate]) -> Vec<Finding> {
        let (by, now) = (&self.served.by, self.facts.now);
        let mut findings = Vec::new();
        let host = host(entry);
        if !host.is_empty() && !pki::is_for(&self.chain[0], std::slice::from_ref(&host)) {
            findings.push(Code::WrongName.found(
                format!("the certificate of {by} is not for {host:?}, by which the API server calls"),
                "name the Service of the installation in the setting `service`, or the host in `certificateHosts`; a certificate of your own needs it among its alternative names",
            ));
        }
        let issuers: Vec<&Certificate> = bundle.iter().filter(|authority| self.is_signed_by(authority)).collect();
        let Some(authority) = issuers.iter().max_by_key(|authority| authority.validity.not_after) else {
            findings.push(Code::WrongBundle.found(
                format!(
                    "the caBundle of entry {:?} does not cover the certificate of {by}: the API server will say \"certificate signed by unknown authority\"",
                    entry.name
                ),
                keeper(self.facts),
            ));
            return findings;
        };
        let not_after = authority.validity.not_after;
        if now > not_after {
            let message = format!("the authority of the certificate of {by} has expired on {}", date(not_after));
            findings.push(Code::CaExpired.found(message, self.renew()));
        } else if is_overdue(authority.validity, share(authority), now) {
            let message = format!(
                "the authority of the certificate of {by} expires on {} and should have been renewed by now",
                date(not_after)
            );
            findings.push(Code::CaOverdue.found(message, self.renew()));
        }
        findings
    }

    /// At whatever time.
    fn is_signed_by(&self, authority: &Certificate) -> bool {
        let at = authority.validity.not_before.max(self.leaf.validity.not_before);
        pki::covers([authority], self.chain, at)
    }

    /// Whether it is ours is told by who signed it.
    fn share(&self) -> u32 {
        let bundles = ours(self.facts).filter_map(|entry| entry.client_config.ca_bundle.as_ref());
        let mut authorities = bundles.flat_map(|bundle| pki::read_bundle(&bundle.0).0);
        authorities.find(|authority| self.is_signed_by(authority)).map_or(OTHERS, |authority| share(&authority))
    }

    fn renew(&self) -> String {
        let namespace = &self.facts.target.namespace;
        format!(
            "the leading replica renews it by itself: look for `certificate` in `kubectl -n {namespace} logs deployment/outrigger` and whether `kubectl -n {namespace} get lease outrigger` is held; cert-manager's and your own certificates are renewed by cert-manager and by you"
        )
    }

    fn from_secret(&self) -> Finding {
        Code::FromSecret.found(
            format!(
                "no replica could be asked: what follows is of {}, which may not be what is served",
                self.served.by
            ),
            "the rights `get` and `create` on pods/portforward let it be seen",
        )
    }
}

/// By which name the API server calls.
fn host(entry: &MutatingWebhook) -> String {
    match (&entry.client_config.service, &entry.client_config.url) {
        (Some(service), _) => format!("{}.{}.svc", service.name, service.namespace),
        (None, Some(url)) => host_of(url).0,
        (None, None) => String::new(),
    }
}

/// Host and port of a URL that the API server has checked.
pub fn host_of(url: &str) -> (String, u16) {
    let authority = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(443)),
        _ => (authority, 443),
    };
    (host.trim_matches(['[', ']']).to_owned(), port)
}

/// Our own are renewed after two thirds of their life: less than a quarter of it is never left.
const OURS: u32 = 4;
/// When others renew is their choice; with less than a tenth nobody is easy.
const OTHERS: u32 = 10;

fn share(authority: &Certificate) -> u32 {
    if authority.is_cluster_authority { OURS } else { OTHERS }
}

fn is_overdue(validity: Validity, share: u32, now: SystemTime) -> bool {
    let life = validity.not_after.duration_since(validity.not_before).unwrap_or_default();
    let left = validity.not_after.duration_since(now).unwrap_or(Duration::ZERO);
    left < life / share
}

/// `2026-11-21T17:00:00Z`
fn date(time: SystemTime) -> String {
    let time = time::OffsetDateTime::from(time);
    let (date, clock) = (time.date(), time.time());
    format!("{date}T{:02}:{:02}:{:02}Z", clock.hour(), clock.minute(), clock.second())
}
