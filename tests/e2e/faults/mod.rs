//! Creates pods that request injection while faults are injected one at a time, and prints a table
//! of the results.
//!
//! A refusal counts as a failure unless the design allows it at that moment with that message; such
//! an [`Excuse`] is in the table as well.
//!
//! Invariant: the installation is healthy before each fault.

mod external;
mod internal;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, pause};
use crate::harness;
use crate::installation::Installation;
use crate::load::{Load, Outcome, Sample};
use table::{Row, Table};

const NAMESPACE: &str = "outrigger-e2e-faults";

/// A fault that is injected while pods are created, with its preparation and restoration.
struct Fault {
    name: &'static str,
    prepare: fn(&Installation<'_>),
    strike: fn(&Ground<'_>) -> Vec<Excuse>,
    restore: fn(&Installation<'_>),
}

impl Fault {
    const fn new(name: &'static str, strike: fn(&Ground<'_>) -> Vec<Excuse>) -> Self {
        Self { name, prepare: |_| {}, strike, restore: |_| {} }
    }
}

const ROTATIONS: Fault = Fault {
    prepare: internal::rotate_all_the_time,
    restore: internal::rotate_as_usual,
    ..Fault::new("leaf every 2 s, CA every 10 s", internal::rotations)
};

const FAULTS: [Fault; 7] = [
    Fault::new("none", internal::nothing),
    ROTATIONS,
    Fault::new("leader killed", internal::leader_killed),
    Fault::new("pod of a replica deleted", internal::pod_deleted),
    Fault::new("rolling restart", internal::rolling_restart),
    Fault::new("caBundle emptied by hand", external::bundle_emptied),
    Fault::new("Secrets deleted, applied again", external::secrets_deleted),
];
const API_SERVER: Fault = Fault::new("API server stopped and started", external::api_server_stopped);

/// The installation and the namespace in which a fault is injected.
struct Ground<'a> {
    installation: &'a Installation<'a>,
    cluster: &'a Cluster,
    start: Instant,
    duration: Duration,
}

impl Ground<'_> {
    /// Sleeps for the rest of the time.
    fn wait_for_end(&self) {
        pause(self.duration.saturating_sub(self.start.elapsed()));
    }

    /// Repeats the fault with this interval, at least once.
    fn repeat(&self, between: Duration, mut strike: impl FnMut()) {
        loop {
            let start = Instant::now();
            strike();
            let rest = between.saturating_sub(start.elapsed());
            if self.start.elapsed() + rest >= self.duration {
                return self.wait_for_end();
            }
            pause(rest);
        }
    }
}

/// A reason why a refused pod does not count as a failure.
struct Excuse {
    from: Instant,
    to: Instant,
    what: Excused,
}

enum Excused {
    /// The design allows a refusal whose message contains one of these texts.
    Refusals(&'static [&'static str]),
    /// No API server is reachable.
    NoApiServer,
}

impl Excuse {
    fn covers(&self, sample: &Sample) -> bool {
        let overlaps = sample.sent <= self.to && sample.sent + sample.took >= self.from;
        overlaps
            && match (&self.what, &sample.outcome) {
                (Excused::Refusals(texts), Outcome::Refused(message)) => {
                    texts.iter().any(|text| message.contains(text))
                }
                (Excused::NoApiServer, Outcome::Unreachable(_)) => true,
                (_, Outcome::Injected | Outcome::WithoutSidecar | Outcome::Refused(_) | Outcome::Unreachable(_)) => {
                    false
                }
            }
    }
}

pub fn fail_no_pod(installation: &Installation<'_>) {
    strike_all(installation, &FAULTS);
}

/// Without an API server nobody can create pods; pods before and after the outage must not fail.
pub fn a_stopped_api_server_fails_no_other_pod(installation: &Installation<'_>) {
    if installation.cluster.settings.api_server.is_none() {
        harness::ignore("OUTRIGGER_E2E_STOP_API_SERVER is not set");
    }
    strike_all(installation, &[API_SERVER]);
}

fn strike_all(installation: &Installation<'_>, faults: &[Fault]) {
    let cluster = installation.cluster;
    cluster.make_namespace(NAMESPACE, &json!({}));
    let mut table = Table::default();
    faults.iter().for_each(|fault| table.push(strike(installation, fault)));
    println!("\n{table}");
    cluster.delete_namespace(NAMESPACE);
    table.assert_no_pod_failed();
}

/// One row of the table. A failure of the fault itself is recorded in it, so that the other faults
/// still run.
fn strike(installation: &Installation<'_>, fault: &Fault) -> Row {
    let start = Instant::now();
    let row = catch_unwind(AssertUnwindSafe(|| {
        (fault.prepare)(installation);
        installation.wait_until_healthy();
        let cluster = installation.cluster;
        let load = Load::start(cluster, NAMESPACE);
        // Creates some pods before the fault.
        pause(Duration::from_secs(1));
        let ground = Ground { installation, cluster, start: Instant::now(), duration: cluster.settings.fault_duration };
        let excuses = (fault.strike)(&ground);
        Row::new(fault.name, load.end(), &excuses)
    }));
    let restored = catch_unwind(AssertUnwindSafe(|| (fault.restore)(installation)));
    let row = row.and_then(|row| restored.map(|()| row)).unwrap_or_else(|_| Row::broken(fault.name));
    println!("    {}: {:.0} s", fault.name, start.elapsed().as_secs_f32());
    row
}
