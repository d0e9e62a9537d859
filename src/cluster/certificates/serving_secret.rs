//! Takes the serving certificate from its Secret on every replica, or reports why the last one
//! stays in use.
//!
//! A certificate that API servers would reject is not taken, regardless of its author: it must be
//! complete, valid, and covered by every bundle of the last known mutating webhook configuration.
//! Invariant: a certificate in use is replaced only by a better one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use tokio::sync::watch;
use tokio::time::sleep;

use super::configurations::{self, ConfigurationKind, WatchedConfiguration, entries};
use super::plan::CHECK_INTERVAL;
use super::secrets::{read_issuer, read_pair};
use crate::cluster::watching::ObjectState;
use crate::pki::{CertifiedPair, PairError, Validity, covers, is_for, read_bundle};
use crate::telemetry::metrics::{CaBundleMetrics, CertificateKind, Metrics, Reload};
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// The first certificate may take this long before its absence is logged.
const STARTUP_GRACE: Duration = Duration::from_secs(5);

/// The certificate to serve; `None` until there is one.
pub(crate) type CurrentCertificate = watch::Receiver<Option<Arc<CertifiedPair>>>;

/// Why the certificate in the Secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ServingSecretError {
    #[error("the secret has not been read from the API server yet")]
    UnknownSecret,
    #[error("the webhook configuration has not been read from the API server yet")]
    UnknownConfiguration,
    #[error("the secret does not exist; apply it again: outrigger never creates it")]
    MissingSecret,
    #[error("{0}")]
    Bad(#[from] PairError),
    #[error("the certificate has expired, or is not valid yet")]
    Expired,
    #[error("the API server does not trust the certificate yet: caBundle does not cover it")]
    NotTrusted,
    #[error("the certificate is for other hosts than this webhook's")]
    OtherHosts,
}

/// Follows the Secret and publishes each certificate that can be served.
#[derive(Clone)]
pub(crate) struct ServingSecretFollower {
    pub secret_name: String,
    pub secret: watch::Receiver<ObjectState<Secret>>,
    pub configurations: Vec<WatchedConfiguration>,
    /// The names by which API servers call the webhook.
    pub hosts: Vec<String>,
    pub metrics: Arc<Metrics>,
    pub ca_bundle: CaBundleMetrics,
}

impl ServingSecretFollower {
    /// Runs until no receiver is left.
    pub(crate) async fn run(mut self, publish: watch::Sender<Option<Arc<CertifiedPair>>>) {
        let (mut throttle, mut last_error) = (ProblemThrottle::default(), None);
        loop {
            let secret = self.secret.borrow_and_update().clone();
            let configurations = KnownConfigurations::of(&mut self.configurations);
            let served = publish.borrow().clone();
            let accept = |pair: CertifiedPair| {
                self.is_better(&pair, served.as_deref()).then_some(pair).ok_or(ServingSecretError::OtherHosts)
            };
            match check_secret(&secret, &configurations, SystemTime::now()).and_then(accept) {
                Ok(pair) => {
                    last_error = None;
                    let name = self.secret_name.as_str();
                    throttle.clear(|| tracing::info!(secret = name, "the secret has a usable certificate"));
                    self.publish_pair(pair, &secret, &publish);
                }
                Err(error) => self.report_error(error, &mut last_error, &mut throttle, publish.borrow().is_some()),
            }
            let served = publish.borrow().clone();
            self.ca_bundle.in_sync(served.is_some_and(|pair| configurations.are_in_sync(&pair)));
            tokio::select! {
                changed = self.secret.changed() => if changed.is_err() { return },
                changed = configurations::changed(&mut self.configurations) => if changed.is_err() { return },
                // A certificate may become valid with time, and a persistent error is logged again.
                () = sleep(recheck_interval(publish.borrow().is_some())) => {}
                () = publish.closed() => return,
            }
        }
    }

    /// A certificate for other hosts is better than none, for example after a change of the
    /// Service's name, but never replaces one for the right hosts.
    fn is_better(&self, pair: &CertifiedPair, served: Option<&CertifiedPair>) -> bool {
        let is_for_us = |pair: &CertifiedPair| is_for(&pair.certificate.der, &self.hosts);
        is_for_us(pair) || !served.is_some_and(is_for_us)
    }

    fn publish_pair(
        &self,
        pair: CertifiedPair,
        secret: &ObjectState<Secret>,
        publish: &watch::Sender<Option<Arc<CertifiedPair>>>,
    ) {
        let served = publish.borrow().as_ref().map(|served| served.certificate.fingerprint);
        if served == Some(pair.certificate.fingerprint) {
            return;
        }
        let Validity { not_before, not_after } = pair.certificate.validity;
        self.metrics.certificate_valid(CertificateKind::Serving, not_before, not_after);
        if let ObjectState::Present(secret) = secret
            && let Some(issuer) = read_issuer(secret, &pair)
        {
            let Validity { not_before, not_after } = issuer.validity;
            self.metrics.certificate_valid(CertificateKind::Ca, not_before, not_after);
        }
        // The first certificate is no rotation.
        if served.is_some() {
            self.metrics.certificate_rotated(Reload::Success);
        }
        tracing::info!(secret = self.secret_name, certificate = %pair.certificate.fingerprint, "serving a new certificate");
        publish.send_replace(Some(Arc::new(pair)));
    }

    fn report_error(
        &self,
        error: ServingSecretError,
        last_error: &mut Option<ServingSecretError>,
        throttle: &mut ProblemThrottle,
        is_serving: bool,
    ) {
        let is_new = last_error.replace(error) != Some(error);
        if is_new && is_serving {
            self.metrics.certificate_rotated(Reload::Error);
        }
        let (secret, problem) = (self.secret_name.as_str(), error.to_string());
        // At the start a missing certificate is an error only if it persists.
        let urgency = if is_serving { Urgency::Immediate } else { Urgency::After(STARTUP_GRACE) };
        throttle.report(&problem, urgency, || match is_serving {
            true => {
                tracing::error!(secret, problem, "the secret has no usable certificate; the last one is still served")
            }
            false => tracing::warn!(secret, problem, "waiting for a certificate"),
        });
    }
}

/// Without a certificate, check every second.
fn recheck_interval(is_serving: bool) -> Duration {
    if is_serving { CHECK_INTERVAL } else { Duration::from_secs(1) }
}

/// The certificate in the Secret, if API servers would accept it.
fn check_secret(
    secret: &ObjectState<Secret>,
    configurations: &KnownConfigurations,
    now: SystemTime,
) -> Result<CertifiedPair, ServingSecretError> {
    let secret = match secret {
        ObjectState::Unknown => return Err(ServingSecretError::UnknownSecret),
        ObjectState::Absent => return Err(ServingSecretError::MissingSecret),
        ObjectState::Present(secret) => secret,
    };
    let pair = read_pair(secret)?;
    if !pair.certificate.validity.holds(now) {
        return Err(ServingSecretError::Expired);
    }
    match &configurations.mutating {
        ObjectState::Unknown => Err(ServingSecretError::UnknownConfiguration),
        _ if configurations.trust(&pair) => Ok(pair),
        _ => Err(ServingSecretError::NotTrusted),
    }
}

/// The webhook configurations as they were last seen.
struct KnownConfigurations {
    mutating: ObjectState<DynamicObject>,
    /// Without advice it is `Absent`. It keeps no certificate from being served: no pod depends on it.
    validating: ObjectState<DynamicObject>,
}

impl KnownConfigurations {
    fn of(watched: &mut [WatchedConfiguration]) -> Self {
        let mut known = Self { mutating: ObjectState::Unknown, validating: ObjectState::Absent };
        for watched in watched {
            let state = watched.state.borrow_and_update().clone();
            match watched.kind {
                ConfigurationKind::Mutating => known.mutating = state,
                ConfigurationKind::Validating => known.validating = state,
            }
        }
        known
    }

    /// Whether every mutating entry covers the certificate; true if there is no configuration, since
    /// no API server calls then.
    fn trust(&self, pair: &CertifiedPair) -> bool {
        all_cover(&self.mutating, pair)
    }

    /// The value of the metric: false without the mutating configuration, since then no API server
    /// calls the webhook, which an alert should report.
    fn are_in_sync(&self, pair: &CertifiedPair) -> bool {
        self.mutating.present().is_some() && self.trust(pair) && all_cover(&self.validating, pair)
    }
}

/// Whether every entry of the configuration covers the certificate, if it exists.
fn all_cover(configuration: &ObjectState<DynamicObject>, pair: &CertifiedPair) -> bool {
    // Checked at the end of its lifetime, which the authority outlives: expiry is checked
    // separately.
    let at = pair.certificate.validity.not_after;
    let mut entries = configuration.present().into_iter().flat_map(entries);
    entries.all(|entry| covers(&read_bundle(entry.ca_bundle()).0, &pair.key.cert, at))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::certificates::secrets::write_leaf;
    use crate::pki::{Authority, AuthorityKind};

    const LIFE: Duration = Duration::from_secs(3600);

    fn authority(now: SystemTime) -> Authority {
        Authority::make(AuthorityKind::Cluster, now, 10 * LIFE).expect("an authority")
    }

    fn secret(authority: &Authority, now: SystemTime) -> Secret {
        secret_for("a.b.svc", authority, now)
    }

    fn secret_for(host: &str, authority: &Authority, now: SystemTime) -> Secret {
        let leaf = authority.issue(&[host.to_owned()], now, LIFE).expect("a leaf");
        let fields = write_leaf(leaf, authority.certificate());
        let data = fields.into_iter().map(|(key, value)| (key, serde_json::from_value(value).expect("bytes")));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn present<T>(object: T) -> ObjectState<T> {
        ObjectState::Present(Arc::new(object))
    }

    /// A configuration with one entry per bundle.
    fn trusting(bundles: &[&[&Authority]]) -> ObjectState<DynamicObject> {
        let entry = |bundle: &&[&Authority]| {
            let pem: String = bundle.iter().map(|authority| authority.certificate().pem()).collect();
            json!({"name": "a.b.c", "clientConfig": {"caBundle": BASE64.encode(pem)}})
        };
        let webhooks: Vec<Value> = bundles.iter().map(entry).collect();
        present(serde_json::from_value(json!({"metadata": {}, "webhooks": webhooks})).expect("an object"))
    }

    fn error(
        secret: &ObjectState<Secret>,
        mutating: &ObjectState<DynamicObject>,
        now: SystemTime,
    ) -> Option<ServingSecretError> {
        let known = KnownConfigurations { mutating: mutating.clone(), validating: ObjectState::Absent };
        check_secret(secret, &known, now).err()
    }

    #[test]
    fn a_certificate_is_taken_when_every_entry_covers_it() {
        let now = SystemTime::now();
        let (ours, other) = (authority(now), authority(now));
        let secret = present(secret(&ours, now));
        let cases = [
            (trusting(&[&[&ours], &[&other, &ours]]), None),
            (trusting(&[]), None),
            (ObjectState::Absent, None),
            (trusting(&[&[&ours], &[&other]]), Some(ServingSecretError::NotTrusted)),
            (trusting(&[&[&ours], &[]]), Some(ServingSecretError::NotTrusted)),
            (ObjectState::Unknown, Some(ServingSecretError::UnknownConfiguration)),
        ];
        for (configuration, expected) in cases {
            assert_eq!(error(&secret, &configuration, now), expected);
        }
    }

    #[test]
    fn the_validating_configuration_counts_for_the_metric_alone() {
        let now = SystemTime::now();
        let (ours, other) = (authority(now), authority(now));
        let (secret, mutating) = (present(secret(&ours, now)), trusting(&[&[&ours]]));
        let cases = [
            (trusting(&[&[&ours, &other]]), true),
            (trusting(&[&[&other]]), false),
            (trusting(&[&[]]), false),
            (ObjectState::Absent, true),
            (ObjectState::Unknown, true),
        ];
        for (validating, expected) in cases {
            let known = KnownConfigurations { mutating: mutating.clone(), validating };
            let pair = check_secret(&secret, &known, now).expect("it is served");
            assert_eq!(known.are_in_sync(&pair), expected);
        }
    }

    #[test]
    fn an_unusable_certificate_is_never_taken() {
        let now = SystemTime::now();
        let ours = authority(now);
        let trusting = trusting(&[&[&ours]]);
        let good = secret(&ours, now);
        assert_eq!(error(&ObjectState::Unknown, &trusting, now), Some(ServingSecretError::UnknownSecret));
        assert_eq!(error(&ObjectState::Absent, &trusting, now), Some(ServingSecretError::MissingSecret));
        assert_eq!(
            error(&present(Secret::default()), &trusting, now),
            Some(ServingSecretError::Bad(PairError::NoCertificate))
        );
        assert_eq!(error(&present(good.clone()), &trusting, now + 2 * LIFE), Some(ServingSecretError::Expired));
        let mut garbage = good;
        garbage.data.get_or_insert_default().insert("tls.key".to_owned(), ByteString(b"secret garbage".to_vec()));
        let error = error(&present(garbage), &trusting, now).expect("a error");
        assert_eq!(error, ServingSecretError::Bad(PairError::NoKey));
        assert!(!error.to_string().contains("secret garbage"));
    }

    fn rendered(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().expect("a text")).expect("UTF-8")
    }

    #[tokio::test]
    async fn the_last_good_certificate_stays_in_use() {
        let now = SystemTime::now();
        let ours = authority(now);
        let metrics = Arc::new(Metrics::new().expect("unique names"));
        let (secret_sender, secret_receiver) = watch::channel(present(secret(&ours, now)));
        let (configuration_sender, configuration) = watch::channel(trusting(&[&[&ours]]));
        let follower = ServingSecretFollower {
            secret_name: "outrigger-serving".to_owned(),
            secret: secret_receiver,
            configurations: vec![WatchedConfiguration { kind: ConfigurationKind::Mutating, state: configuration }],
            hosts: vec!["a.b.svc".to_owned()],
            ca_bundle: metrics.ca_bundle().expect("unique names"),
            metrics: Arc::clone(&metrics),
        };
        let (publish, mut current) = watch::channel(None);
        tokio::spawn(follower.run(publish));
        let mut errors = 0;
        current.changed().await.expect("a certificate");
        let first = current.borrow_and_update().clone().expect("a certificate").certificate.fingerprint;
        for bad in [ObjectState::Absent, present(Secret::default()), present(secret_for("c.d.svc", &ours, now))] {
            secret_sender.send_replace(bad);
            // Only the metrics show that a certificate was not taken.
            errors += 1;
            let expected = format!("rotations_total{{result=\"error\"}} {errors}");
            while !rendered(&metrics).contains(&expected) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        secret_sender.send_replace(present(secret(&ours, now)));
        current.changed().await.expect("a certificate");
        let second = current.borrow_and_update().clone().expect("a certificate").certificate.fingerprint;
        assert_ne!(first, second);
        let text = rendered(&metrics);
        assert!(text.contains("outrigger_certificate_rotations_total{result=\"success\"} 1"), "{text}");
        assert!(text.contains("outrigger_ca_bundle_in_sync 1"), "{text}");
        configuration_sender.send_replace(ObjectState::Absent);
        while !rendered(&metrics).contains("outrigger_ca_bundle_in_sync 0") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_certificate_for_other_hosts_is_better_than_none() {
        let now = SystemTime::now();
        let ours = authority(now);
        let metrics = Arc::new(Metrics::new().expect("unique names"));
        let (secret_sender, secret_receiver) = watch::channel(present(secret_for("old.b.svc", &ours, now)));
        let (_configuration_sender, configuration) = watch::channel(trusting(&[&[&ours]]));
        let follower = ServingSecretFollower {
            secret_name: "outrigger-serving".to_owned(),
            secret: secret_receiver,
            configurations: vec![WatchedConfiguration { kind: ConfigurationKind::Mutating, state: configuration }],
            hosts: vec!["a.b.svc".to_owned()],
            ca_bundle: metrics.ca_bundle().expect("unique names"),
            metrics,
        };
        let (publish, mut current) = watch::channel(None);
        tokio::spawn(follower.run(publish));
        for next in [secret_for("old.b.svc", &ours, now), secret_for("a.b.svc", &ours, now)] {
            current.changed().await.expect("a certificate");
            assert!(current.borrow_and_update().is_some());
            secret_sender.send_replace(present(next));
        }
        current.changed().await.expect("a certificate");
        assert!(current.borrow().as_ref().is_some_and(|pair| is_for(&pair.certificate.der, &["a.b.svc".to_owned()])));
    }
}
