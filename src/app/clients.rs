//! Loads the authorities of client certificates and reloads them while `serve` runs.
//!
//! Invariant: the last good authorities decide, whatever happens to their file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::readiness_details::{ReadinessDetails, Topic};
use crate::reload::settled::Reloaded;
use crate::reload::watch::{self, Scan, Watch};
use crate::telemetry::throttle::{Notice, ProblemThrottle, Urgency};
use crate::tls::CertificateError;
use crate::tls::client_auth::ClientCheck;
use crate::tls::watcher::AuthoritiesWatcher;

/// The check in use and the file it comes from.
pub(super) struct ClientAuthorities {
    watched: AuthoritiesWatcher,
    check: Arc<ClientCheck>,
    details: ReadinessDetails,
    problem_throttle: ProblemThrottle,
}

impl ClientAuthorities {
    pub(super) fn load(
        authorities: &Path,
        names: Vec<String>,
        details: ReadinessDetails,
    ) -> Result<Self, CertificateError> {
        let (watched, authorities) = AuthoritiesWatcher::open(authorities.to_owned())?;
        let check = Arc::new(ClientCheck::new(authorities, names));
        Ok(Self { watched, check, details, problem_throttle: ProblemThrottle::default() })
    }

    /// The check that handshakes use.
    pub(super) fn check(&self) -> Arc<ClientCheck> {
        Arc::clone(&self.check)
    }

    fn log_problem(&mut self, problem: Option<String>, urgency: Urgency) {
        match self.problem_throttle.observe(problem, urgency, Instant::now()) {
            Some(Notice::Problem) => {
                let problem = self.problem_throttle.problem();
                tracing::error!(problem, "the client CA cannot be reloaded; the previous one stays in use");
            }
            Some(Notice::Cleared) => tracing::info!("the client CA can be loaded again"),
            None => {}
        }
        self.details.replace(Topic::Clients, self.problem_throttle.problem().map(str::to_owned).into_iter().collect());
    }
}

impl Watch for ClientAuthorities {
    fn scan(&mut self, scan: Scan) -> Duration {
        let problem = match self.watched.scan(scan) {
            Ok(Reloaded::Unsettled) => return watch::SOON,
            Ok(Reloaded::Unchanged) => None,
            Ok(Reloaded::Replaced(authorities)) => {
                self.check.replace(authorities);
                tracing::info!("the client CA has been replaced");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        self.log_problem(problem, if scan == Scan::Full { Urgency::Requested } else { Urgency::Immediate });
        watch::CALM
    }
}
