//! What every replica makes of the Secret of the serving certificate: a certificate to serve, or a reason to serve on with the old one.
//!
//! A certificate that the API server would not accept is not taken, whoever wrote it: it has to be whole, to hold, and to be covered
//! by every bundle of our webhook configuration as it was last heard of.
//! Invariant: a certificate that was served is given up only for a better one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use tokio::sync::watch;
use tokio::time::sleep;

use super::plan::CHECK;
use super::secrets::{read_issuer, read_pair};
use crate::cluster::watching::Seen;
use crate::pki::{Pair, PairError, covers, is_for, read_bundle};
use crate::telemetry::metrics::{Certificate, ClusterMetrics, Metrics, Reload};
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// How long the first certificate may take.
const STARTING: Duration = Duration::from_secs(5);

/// The certificate to serve; `None` before there ever was one.
pub type Current = watch::Receiver<Option<Arc<Pair>>>;

/// Why the Secret's certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the API server has not told of the secret yet")]
    UnknownSecret,
    #[error("the API server has not told of the webhook configuration yet")]
    UnknownConfiguration,
    #[error("the secret is not there; apply it again: it is not ours to create")]
    NoSecret,
    #[error("{0}")]
    Bad(#[from] PairError),
    #[error("the certificate has expired, or is not valid yet")]
    Expired,
    #[error("the API server does not trust the certificate yet: caBundle does not cover it")]
    NotTrusted,
    #[error("the certificate is for other hosts than ours")]
    Elsewhere,
}

/// Follows the Secret and publishes every certificate that can be served.
#[derive(Clone)]
pub struct Follower {
    pub secret_name: String,
    pub secret: watch::Receiver<Seen<Secret>>,
    pub configuration: watch::Receiver<Seen<MutatingWebhookConfiguration>>,
    /// By which names API servers call us.
    pub hosts: Vec<String>,
    pub metrics: Arc<Metrics>,
    pub cluster_metrics: ClusterMetrics,
}

impl Follower {
    /// Runs for as long as anybody serves what is published.
    pub async fn run(mut self, publish: watch::Sender<Option<Arc<Pair>>>) {
        let (mut throttle, mut refused) = (ProblemThrottle::default(), None);
        loop {
            let secret = self.secret.borrow_and_update().clone();
            let configuration = self.configuration.borrow_and_update().clone();
            let served = publish.borrow().clone();
            let better =
                |pair: Pair| self.is_better(&pair, served.as_deref()).then_some(pair).ok_or(Refusal::Elsewhere);
            match acceptable(&secret, &configuration, SystemTime::now()).and_then(better) {
                Ok(pair) => {
                    refused = None;
                    let name = self.secret_name.as_str();
                    throttle.clear(|| tracing::info!(secret = name, "the secret has a good certificate"));
                    self.take(pair, &secret, &publish);
                }
                Err(refusal) => self.refuse(refusal, &mut refused, &mut throttle, publish.borrow().is_some()),
            }
            let served = publish.borrow().clone();
            self.cluster_metrics.ca_bundle_in_sync(served.is_some_and(|pair| is_in_sync(&pair, &configuration)));
            tokio::select! {
                changed = self.secret.changed() => if changed.is_err() { return },
                changed = self.configuration.changed() => if changed.is_err() { return },
                // What was not valid yet may be now, and what is wrong is said again.
                () = sleep(recheck(publish.borrow().is_some())) => {}
                () = publish.closed() => return,
            }
        }
    }

    /// One that is for other hosts is better than none, for example while we are given another name; but not than one that is for us.
    fn is_better(&self, pair: &Pair, served: Option<&Pair>) -> bool {
        let is_for_us = |pair: &Pair| is_for(&pair.certificate.der, &self.hosts);
        is_for_us(pair) || !served.is_some_and(is_for_us)
    }

    fn take(&self, pair: Pair, secret: &Seen<Secret>, publish: &watch::Sender<Option<Arc<Pair>>>) {
        let served = publish.borrow().as_ref().map(|served| served.certificate.fingerprint);
        if served == Some(pair.certificate.fingerprint) {
            return;
        }
        self.metrics.certificate_expires(Certificate::Serving, pair.certificate.validity.not_after);
        if let Seen::Present(secret) = secret
            && let Some(issuer) = read_issuer(secret, &pair)
        {
            self.metrics.certificate_expires(Certificate::Ca, issuer.validity.not_after);
        }
        // The first one replaces none.
        if served.is_some() {
            self.metrics.certificate_rotated(Reload::Success);
        }
        tracing::info!(secret = self.secret_name, certificate = %pair.certificate.fingerprint, "serving a new certificate");
        publish.send_replace(Some(Arc::new(pair)));
    }

    fn refuse(&self, refusal: Refusal, before: &mut Option<Refusal>, throttle: &mut ProblemThrottle, is_serving: bool) {
        let is_new = before.replace(refusal) != Some(refusal);
        if is_new && is_serving {
            self.metrics.certificate_rotated(Reload::Error);
        }
        let (secret, problem) = (self.secret_name.as_str(), refusal.to_string());
        // At the start nothing is there yet, which is no trouble unless it lasts.
        let urgency = if is_serving { Urgency::Immediate } else { Urgency::After(STARTING) };
        throttle.report(&problem, urgency, || match is_serving {
            true => tracing::error!(
                secret,
                problem,
                "no certificate can be taken from the secret; serving on with the last one"
            ),
            false => tracing::warn!(secret, problem, "waiting for a certificate"),
        });
    }
}

/// Where nothing is served yet, every second counts.
fn recheck(is_serving: bool) -> Duration {
    if is_serving { CHECK } else { Duration::from_secs(1) }
}

/// The pair of the Secret, if the API server would accept it.
fn acceptable(
    secret: &Seen<Secret>,
    configuration: &Seen<MutatingWebhookConfiguration>,
    now: SystemTime,
) -> Result<Pair, Refusal> {
    let secret = match secret {
        Seen::Unknown => return Err(Refusal::UnknownSecret),
        Seen::Absent => return Err(Refusal::NoSecret),
        Seen::Present(secret) => secret,
    };
    let pair = read_pair(secret)?;
    if !pair.certificate.validity.holds(now) {
        return Err(Refusal::Expired);
    }
    match configuration {
        Seen::Unknown => Err(Refusal::UnknownConfiguration),
        _ if is_trusted(&pair, configuration) => Ok(pair),
        _ => Err(Refusal::NotTrusted),
    }
}

/// Whether every entry of the configuration covers the certificate. Where there is no configuration, nobody asks.
fn is_trusted(pair: &Pair, configuration: &Seen<MutatingWebhookConfiguration>) -> bool {
    let configuration = match configuration {
        Seen::Unknown => return false,
        Seen::Absent => return true,
        Seen::Present(configuration) => configuration,
    };
    // At the end of its life, which its authority outlives: whether it is over is another question.
    let at = pair.certificate.validity.not_after;
    configuration.webhooks.iter().flatten().all(|webhook| {
        let bundle = webhook.client_config.ca_bundle.as_ref().map_or(&[][..], |bundle| &bundle.0);
        covers(&read_bundle(bundle).0, &pair.key.cert, at)
    })
}

/// What is told to those who watch: where the configuration is gone nobody is called, and somebody should know.
fn is_in_sync(pair: &Pair, configuration: &Seen<MutatingWebhookConfiguration>) -> bool {
    matches!(configuration, Seen::Present(_)) && is_trusted(pair, configuration)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, WebhookClientConfig};

    use super::*;
    use crate::cluster::certificates::secrets::write_leaf;
    use crate::pki::{Authority, Subject};

    const LIFE: Duration = Duration::from_secs(3600);

    fn authority(now: SystemTime) -> Authority {
        Authority::make(Subject::ClusterAuthority, now, 10 * LIFE).expect("an authority")
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

    fn seen<T>(object: T) -> Seen<T> {
        Seen::Present(Arc::new(object))
    }

    /// A configuration with one entry for each bundle.
    fn trusting(bundles: &[&[&Authority]]) -> Seen<MutatingWebhookConfiguration> {
        let entry = |bundle: &&[&Authority]| {
            let pem: String = bundle.iter().map(|authority| authority.certificate().pem()).collect();
            let client_config =
                WebhookClientConfig { ca_bundle: Some(ByteString(pem.into_bytes())), ..WebhookClientConfig::default() };
            MutatingWebhook { client_config, ..MutatingWebhook::default() }
        };
        seen(MutatingWebhookConfiguration {
            webhooks: Some(bundles.iter().map(entry).collect()),
            ..MutatingWebhookConfiguration::default()
        })
    }

    fn refusal(
        secret: &Seen<Secret>,
        configuration: &Seen<MutatingWebhookConfiguration>,
        now: SystemTime,
    ) -> Option<Refusal> {
        acceptable(secret, configuration, now).err()
    }

    #[test]
    fn a_certificate_is_taken_when_every_entry_covers_it() {
        let now = SystemTime::now();
        let (ours, other) = (authority(now), authority(now));
        let secret = seen(secret(&ours, now));
        let cases = [
            (trusting(&[&[&ours], &[&other, &ours]]), None),
            (trusting(&[]), None),
            (Seen::Absent, None),
            (trusting(&[&[&ours], &[&other]]), Some(Refusal::NotTrusted)),
            (trusting(&[&[&ours], &[]]), Some(Refusal::NotTrusted)),
            (Seen::Unknown, Some(Refusal::UnknownConfiguration)),
        ];
        for (configuration, expected) in cases {
            assert_eq!(refusal(&secret, &configuration, now), expected);
        }
    }

    #[test]
    fn what_is_no_good_is_never_taken() {
        let now = SystemTime::now();
        let ours = authority(now);
        let trusting = trusting(&[&[&ours]]);
        let good = secret(&ours, now);
        assert_eq!(refusal(&Seen::Unknown, &trusting, now), Some(Refusal::UnknownSecret));
        assert_eq!(refusal(&Seen::Absent, &trusting, now), Some(Refusal::NoSecret));
        assert_eq!(refusal(&seen(Secret::default()), &trusting, now), Some(Refusal::Bad(PairError::NoCertificate)));
        assert_eq!(refusal(&seen(good.clone()), &trusting, now + 2 * LIFE), Some(Refusal::Expired));
        let mut garbage = good;
        garbage.data.get_or_insert_default().insert("tls.key".to_owned(), ByteString(b"secret garbage".to_vec()));
        let refusal = refusal(&seen(garbage), &trusting, now).expect("a refusal");
        assert_eq!(refusal, Refusal::Bad(PairError::NoKey));
        assert!(!refusal.to_string().contains("secret garbage"));
    }

    fn rendered(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().expect("a text")).expect("UTF-8")
    }

    #[tokio::test]
    async fn what_was_served_is_served_on() {
        let now = SystemTime::now();
        let ours = authority(now);
        let metrics = Arc::new(Metrics::new().expect("unique names"));
        let (of_secret, secret_seen) = watch::channel(seen(secret(&ours, now)));
        let (of_configuration, configuration) = watch::channel(trusting(&[&[&ours]]));
        let follower = Follower {
            secret_name: "outrigger-serving".to_owned(),
            secret: secret_seen,
            configuration,
            hosts: vec!["a.b.svc".to_owned()],
            cluster_metrics: metrics.in_cluster().expect("unique names"),
            metrics: Arc::clone(&metrics),
        };
        let (publish, mut current) = watch::channel(None);
        tokio::spawn(follower.run(publish));
        let mut refused = 0;
        current.changed().await.expect("a certificate");
        let first = current.borrow_and_update().clone().expect("a certificate").certificate.fingerprint;
        for bad in [Seen::Absent, seen(Secret::default()), seen(secret_for("c.d.svc", &ours, now))] {
            of_secret.send_replace(bad);
            // Nothing tells that a certificate was not taken, but the metrics.
            let refusals = format!("rotations_total{{result=\"error\"}} {}", {
                refused += 1;
                refused
            });
            while !rendered(&metrics).contains(&refusals) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        of_secret.send_replace(seen(secret(&ours, now)));
        current.changed().await.expect("a certificate");
        let second = current.borrow_and_update().clone().expect("a certificate").certificate.fingerprint;
        assert_ne!(first, second);
        let text = rendered(&metrics);
        assert!(text.contains("outrigger_certificate_rotations_total{result=\"success\"} 1"), "{text}");
        assert!(text.contains("outrigger_ca_bundle_in_sync 1"), "{text}");
        of_configuration.send_replace(Seen::Absent);
        while !rendered(&metrics).contains("outrigger_ca_bundle_in_sync 0") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn one_for_other_hosts_is_better_than_none() {
        let now = SystemTime::now();
        let ours = authority(now);
        let metrics = Arc::new(Metrics::new().expect("unique names"));
        let (of_secret, secret_seen) = watch::channel(seen(secret_for("old.b.svc", &ours, now)));
        let (_of_configuration, configuration) = watch::channel(trusting(&[&[&ours]]));
        let follower = Follower {
            secret_name: "outrigger-serving".to_owned(),
            secret: secret_seen,
            configuration,
            hosts: vec!["a.b.svc".to_owned()],
            cluster_metrics: metrics.in_cluster().expect("unique names"),
            metrics,
        };
        let (publish, mut current) = watch::channel(None);
        tokio::spawn(follower.run(publish));
        for next in [secret_for("old.b.svc", &ours, now), secret_for("a.b.svc", &ours, now)] {
            current.changed().await.expect("a certificate");
            assert!(current.borrow_and_update().is_some());
            of_secret.send_replace(seen(next));
        }
        current.changed().await.expect("a certificate");
        assert!(current.borrow().as_ref().is_some_and(|pair| is_for(&pair.certificate.der, &["a.b.svc".to_owned()])));
    }
}
