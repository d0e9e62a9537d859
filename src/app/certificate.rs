//! Loads the serving certificate from files or for `--dev`, and reloads it while `serve` runs.
//!
//! Invariant: the last good certificate is served, whatever happens to the files.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::readiness_details::{ReadinessDetails, Topic};
use crate::pki::Validity;
use crate::reload::settled::Reloaded;
use crate::reload::watch::{self, Scan, Watch};
use crate::telemetry::metrics::{self, Metrics, Reload};
use crate::telemetry::throttle::{Notice, ProblemThrottle, Urgency};
use crate::tls::resolver::Resolver;
use crate::tls::watcher::CertificateWatcher;
use crate::tls::{CertificateError, CertificateSource, ServingCertificate};

/// A program that writes a certificate and its key one after the other needs a moment in which they
/// do not match.
const FILE_PAIR_GRACE: Duration = Duration::from_secs(10);

/// The certificate in use, and the parts that a reload informs.
pub(super) struct CertificateFiles {
    watched: CertificateWatcher,
    resolver: Arc<Resolver>,
    replaced: Arc<Notify>,
    metrics: Arc<Metrics>,
    details: ReadinessDetails,
    problem_throttle: ProblemThrottle,
    expiry: ProblemThrottle,
}

impl CertificateFiles {
    pub(super) fn load(
        source: CertificateSource,
        metrics: Arc<Metrics>,
        details: ReadinessDetails,
    ) -> Result<Self, CertificateError> {
        let watched = CertificateWatcher::open(source, SystemTime::now())?;
        observe(&metrics, watched.served());
        let resolver = Arc::new(Resolver::new(Arc::clone(&watched.served().key)));
        let (problem_throttle, expiry, replaced) =
            (ProblemThrottle::default(), ProblemThrottle::default(), Arc::default());
        Ok(Self { watched, resolver, replaced, metrics, details, problem_throttle, expiry })
    }

    /// The source of the certificate for handshakes.
    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Notified when a certificate replaces another.
    pub(super) fn replaced(&self) -> Arc<Notify> {
        Arc::clone(&self.replaced)
    }

    /// Logs an expired certificate. API servers refuse it, but the operator chose it, so it is
    /// served.
    pub(super) fn warn_of_expiry(&mut self) {
        let has_expired = self.watched.served().validity.not_after <= SystemTime::now();
        let problem = has_expired.then(|| "the certificate has expired; API servers will refuse it".to_owned());
        if self.expiry.observe(problem, Urgency::Immediate, Instant::now()) == Some(Notice::Problem) {
            let problem = self.expiry.problem();
            tracing::error!("{}", problem.unwrap_or_default());
        }
    }

    fn replace(&self, certificate: &ServingCertificate) {
        self.resolver.replace(Arc::clone(&certificate.key));
        observe(&self.metrics, certificate);
        self.metrics.certificate_rotated(Reload::Success);
        let left = certificate.validity.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        tracing::info!(expires_in_hours = left.as_secs() / 3600, "the certificate has been replaced");
        self.replaced.notify_one();
    }

    fn log_problem(&mut self, problem: Option<String>, urgency: Urgency) {
        let had_problem = self.problem_throttle.problem().is_some();
        match self.problem_throttle.observe(problem, urgency, Instant::now()) {
            Some(Notice::Problem) => {
                self.metrics.certificate_rotated(Reload::Error);
                let problem = self.problem_throttle.problem();
                tracing::error!(problem, "the certificate cannot be reloaded; the previous one is still served");
            }
            Some(Notice::Cleared) => tracing::info!("the certificate can be loaded again"),
            None => {}
        }
        if had_problem || self.problem_throttle.problem().is_some() {
            let problem = self.problem_throttle.problem().into_iter().chain(self.expiry.problem());
            self.details.replace(Topic::Certificate, problem.map(str::to_owned).collect());
        }
    }
}

impl Watch for CertificateFiles {
    fn scan(&mut self, scan: Scan) -> Duration {
        let (problem, wait) = match self.watched.scan(scan, SystemTime::now()) {
            // The last logged state applies until the files have settled.
            Ok(Reloaded::Unsettled) => return watch::SOON,
            Ok(Reloaded::Unchanged) => (None, watch::CALM),
            Ok(Reloaded::Replaced(certificate)) => {
                self.replace(&certificate);
                (None, watch::CALM)
            }
            Err(error) => (Some(error.to_string()), watch::CALM),
        };
        let urgency = if scan == Scan::Full { Urgency::Requested } else { Urgency::After(FILE_PAIR_GRACE) };
        self.warn_of_expiry();
        self.log_problem(problem, urgency);
        wait
    }
}

fn observe(metrics: &Metrics, certificate: &ServingCertificate) {
    let Validity { not_before, not_after } = certificate.validity;
    metrics.certificate_valid(metrics::CertificateKind::Serving, not_before, not_after);
    if let Some(Validity { not_before, not_after }) = certificate.ca_validity {
        metrics.certificate_valid(metrics::CertificateKind::Ca, not_before, not_after);
    }
}
