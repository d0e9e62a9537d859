//! Checks whether the API server trusts the served certificates: `caBundle`, chain, name and
//! expiry.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use rustls::pki_types::CertificateDer;

use super::super::finding::{Code, Finding};
use super::super::observations::{CertificateOrigin, Observations, ServedCertificate};
use super::configuration::ours;
use crate::pki::{self, Certificate, Validity};

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut trusts = Vec::new();
    for bundle in bundles(observations) {
        match bundle.certificates(observations) {
            Ok(Some(certificates)) => trusts.push(ParsedBundle { bundle, certificates }),
            Ok(None) => {}
            Err(finding) => findings.push(finding),
        }
    }
    let mut good: Vec<String> = Vec::new();
    for served in grouped(&observations.served) {
        match PresentedCertificate::of(observations, &served) {
            Err(problem) => findings.push(unreadable(observations, &served, &problem)),
            Ok(certificate) => {
                findings.extend((served.from == CertificateOrigin::Secret).then(|| certificate.secret_finding()));
                let found = certificate.evaluate(&trusts);
                if found.is_empty() && !trusts.is_empty() {
                    good.push(format!("{} (until {})", served.by, date(certificate.leaf.validity.not_after)));
                }
                findings.extend(found);
            }
        }
    }
    // Problems of the certificates concern advice too, and are reported once.
    if findings.is_empty() {
        findings.extend(super::advice::evaluate(observations));
    }
    if !good.is_empty() {
        let certificates = super::listed(good.iter().map(String::as_str));
        findings.push(Code::Certificates.good(format!("caBundle covers the certificates of {certificates}")));
    }
    findings
}

/// Groups the servers of one certificate, so that each certificate is reported once.
fn grouped(all: &[ServedCertificate]) -> Vec<ServedCertificate> {
    let mut alike: Vec<ServedCertificate> = Vec::new();
    for served in all {
        match alike.iter_mut().find(|other| other.chain == served.chain && other.from == served.from) {
            Some(other) => other.by = format!("{}, {}", other.by, served.by),
            None => alike.push(served.clone()),
        }
    }
    alike
}

/// The entries with one client configuration.
struct Bundle {
    /// `entry "a"`, or `entries "a", "b"`.
    title: String,
    config: WebhookClientConfig,
}

/// A bundle with its parsed certificates.
struct ParsedBundle {
    bundle: Bundle,
    certificates: Vec<Certificate>,
}

fn bundles(observations: &Observations) -> Vec<Bundle> {
    let mut groups: Vec<(Vec<String>, WebhookClientConfig)> = Vec::new();
    for entry in ours(observations) {
        let name = format!("{:?}", entry.name);
        match groups.iter_mut().find(|(_, config)| *config == entry.client_config) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], entry.client_config.clone())),
        }
    }
    let title = |names: Vec<String>| match names.as_slice() {
        [name] => format!("entry {name}"),
        names => format!("entries {}", names.join(", ")),
    };
    groups.into_iter().map(|(names, config)| Bundle { title: title(names), config }).collect()
}

impl Bundle {
    /// The trusted certificates; `None` if the API server trusts those of its system.
    fn certificates(&self, observations: &Observations) -> Result<Option<Vec<Certificate>>, Finding> {
        let pem = self.config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()).unwrap_or_default();
        if pem.is_empty() {
            let message = format!("no caBundle in {}: the API server trusts no certificate of a Service", self.title);
            let is_by_url = self.config.url.is_some();
            return if is_by_url { Ok(None) } else { Err(Code::BundleEmpty.found(message, bundle_hint(observations))) };
        }
        let (certificates, _) = pki::read_bundle(pem);
        if certificates.is_empty() {
            let message = format!("the caBundle of {} contains no certificate that can be read", self.title);
            return Err(Code::BundleInvalid.found(message, bundle_hint(observations)));
        }
        Ok(Some(certificates))
    }

    /// The host name that the API server expects.
    fn host(&self) -> String {
        match (&self.config.service, &self.config.url) {
            (Some(service), _) => format!("{}.{}.svc", service.name, service.namespace),
            (None, Some(url)) => host_of(url).0,
            (None, None) => String::new(),
        }
    }
}

/// The hint for a wrong bundle: who writes it, and who may overwrite it.
fn bundle_hint(observations: &Observations) -> String {
    let namespace = &observations.target.namespace;
    format!(
        "the leading replica sets it within seconds, cert-manager's CA injector or you with other certificates: look for `caBundle` in `kubectl -n {namespace} logs deployment/outrigger`, at who else writes it (`kubectl get mutatingwebhookconfiguration {} -o yaml --show-managed-fields`), and for tools such as Argo CD that write it back",
        observations.target.configuration
    )
}

fn unreadable(observations: &Observations, served: &ServedCertificate, problem: &str) -> Finding {
    Code::NoCertificate.found(
        format!("the certificate of {} could not be read: {problem}", served.by),
        format!(
            "look at the log with `kubectl -n {} logs deployment/outrigger`; the dry-run pod below shows whether the API server reaches the webhook",
            observations.target.namespace
        ),
    )
}

/// A certificate that a server presented.
struct PresentedCertificate<'f> {
    observations: &'f Observations,
    served: &'f ServedCertificate,
    chain: &'f [CertificateDer<'static>],
    leaf: Certificate,
}

impl<'f> PresentedCertificate<'f> {
    fn of(observations: &'f Observations, served: &'f ServedCertificate) -> Result<Self, String> {
        let chain = served.chain.as_ref().map_err(Clone::clone)?;
        let leaf = chain.first().cloned().and_then(Certificate::from_der);
        Ok(Self { observations, served, chain, leaf: leaf.ok_or("its certificate cannot be parsed")? })
    }

    fn evaluate(&self, trusts: &[ParsedBundle]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (by, now, validity) = (&self.served.by, self.observations.now, self.leaf.validity);
        let restart = self.renew();
        if now > validity.not_after {
            let message = format!("the certificate of {by} has expired on {}", date(validity.not_after));
            findings.push(Code::LeafExpired.found(message, restart));
        } else if now < validity.not_before {
            findings.push(Code::LeafNotYetValid.found(
                format!(
                    "the certificate of {by} is valid from {}, and this machine's clock says {}",
                    date(validity.not_before),
                    date(now)
                ),
                "set the clocks of the nodes and of this machine right",
            ));
        }
        for trust in trusts {
            findings.extend(self.against(trust));
        }
        if findings.is_empty() && is_overdue(validity, self.share(trusts), now) {
            let message = format!(
                "the certificate of {by} expires on {} and should have been renewed by now",
                date(validity.not_after)
            );
            findings.push(Code::LeafOverdue.found(message, self.renew()));
        }
        findings
    }

    /// The findings that compare the certificate with the bundle of an entry.
    fn against(&self, trust: &ParsedBundle) -> Vec<Finding> {
        let (by, now) = (&self.served.by, self.observations.now);
        let mut findings = Vec::new();
        let host = trust.bundle.host();
        if !host.is_empty() && !pki::is_for(&self.chain[0], std::slice::from_ref(&host)) {
            findings.push(Code::WrongName.found(
                format!("the certificate of {by} is not for {host:?}, by which the API server calls"),
                "name the Service of the installation in the setting `service`, or the host in `certificateHosts`; a certificate of your own needs it among its alternative names",
            ));
        }
        let issuers: Vec<&Certificate> =
            trust.certificates.iter().filter(|authority| self.is_signed_by(authority)).collect();
        let Some(authority) = issuers.iter().max_by_key(|authority| authority.validity.not_after) else {
            findings.push(Code::WrongBundle.found(
                format!(
                    "the caBundle of {} does not cover the certificate of {by}: the API server will say \"certificate signed by unknown authority\"",
                    trust.bundle.title
                ),
                bundle_hint(self.observations),
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

    /// Checks the signature only, ignoring expiry.
    fn is_signed_by(&self, authority: &Certificate) -> bool {
        let at = authority.validity.not_before.max(self.leaf.validity.not_before);
        pki::covers([authority], self.chain, at)
    }

    /// The renewal limit, which depends on the issuer.
    fn share(&self, trusts: &[ParsedBundle]) -> u32 {
        let mut authorities = trusts.iter().flat_map(|trust| &trust.certificates);
        authorities.find(|authority| self.is_signed_by(authority)).map_or(OTHERS, share)
    }

    fn renew(&self) -> String {
        let namespace = &self.observations.target.namespace;
        format!(
            "the leading replica renews it by itself: look for `certificate` in `kubectl -n {namespace} logs deployment/outrigger` and whether `kubectl -n {namespace} get lease outrigger` is held; cert-manager's and your own certificates are renewed by cert-manager and by you"
        )
    }

    fn secret_finding(&self) -> Finding {
        Code::FromSecret.found(
            format!(
                "no replica responded: what follows is about {}, which may differ from the certificate that is served",
                self.served.by
            ),
            "the rights `get` and `create` on pods/portforward let `check` read it from a replica",
        )
    }
}

/// Host and port of a URL that the API server has checked.
pub(crate) fn host_of(url: &str) -> (String, u16) {
    let authority = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(443)),
        _ => (authority, 443),
    };
    (host.trim_matches(['[', ']']).to_owned(), port)
}

/// Outrigger renews after two thirds of the lifetime: less than a quarter should never be left.
const OURS: u32 = 4;
/// Other issuers choose their renewal time; less than a tenth is suspicious.
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
