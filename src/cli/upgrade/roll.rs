//! Carries out a plan: never more pods at once than allowed, and no further when one does not get
//! ready.
//!
//! Invariant: each step can be repeated: whoever runs the command again goes on where it stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::calls::{self, PodName};
use super::plan::{Group, Planner, Way, uid};
use super::pod_state::{Expected, PodState};
use super::report::{Line, Outcome};
use super::rollout::{self, RolloutState};
use crate::cli::fleet::TemplatePod;
use crate::cli::progress::Progress;
use crate::cli::terminal::printable;

/// Between two looks at a pod that is not ready.
const POLL: Duration = Duration::from_millis(500);

/// Pods that are looked at concurrently.
const LOOKS: usize = 8;

/// The limits of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most pods that may be unavailable at once.
    pub max_unavailable: usize,
    /// After each pod.
    pub pause: Duration,
    /// How long a pod, or a workload's next pod, may take to get ready.
    pub ready_timeout: Duration,
}

/// One run.
pub(super) struct Roll<'r> {
    pub planner: Planner<'r>,
    pub limits: Limits,
    /// Why no further pod is begun.
    pub stop: StopFlag,
    progress: Mutex<Progress>,
}

/// Told from anywhere that no further pod is to be begun.
#[derive(Clone, Default)]
pub(super) struct StopFlag {
    is_set: Arc<AtomicBool>,
    reason: Arc<Mutex<Option<String>>>,
}

impl StopFlag {
    /// The first reason counts.
    pub(super) fn set(&self, reason: String) {
        locked(&self.reason).get_or_insert(reason);
        self.is_set.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    pub(super) fn reason(&self) -> Option<String> {
        locked(&self.reason).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'r> Roll<'r> {
    pub(super) fn new(planner: Planner<'r>, limits: Limits, stop: StopFlag, pods: usize) -> Self {
        Self { planner, limits, stop, progress: Mutex::new(Progress::of(pods, "pods upgraded")) }
    }

    /// Carries out the plan.
    pub(super) async fn run(&self, groups: &[Group]) -> Vec<Line> {
        let mut lines: Vec<Line> = groups.iter().filter_map(settled).collect();
        self.wait_for_current(groups).await;
        lines.extend(self.in_place(groups).await);
        let mut restarted: Vec<&Group> = Vec::new();
        for group in groups.iter().filter(|group| matches!(group.way, Way::Restart(_))) {
            let is_done =
                restarted.iter().any(|other| (&other.namespace, &other.owner) == (&group.namespace, &group.owner));
            lines.push(self.restart(group, is_done).await);
            restarted.push(group);
        }
        lines
    }

    /// A pod that was changed before, and is not ready, is unavailable already.
    async fn wait_for_current(&self, groups: &[Group]) {
        let current = groups.iter().filter(|group| group.way == Way::Current).flat_map(|group| &group.pods);
        let unchanged = &Expected::default();
        let waits = current.map(|pod| self.wait_for_pod(pod, unchanged));
        let mut waits = futures::stream::iter(waits).buffer_unordered(LOOKS);
        while let Some(result) = waits.next().await {
            if let Err(problem) = result {
                self.stop.set(problem);
            }
        }
    }

    async fn in_place(&self, groups: &[Group]) -> Vec<Line> {
        let groups = groups.iter().filter(|group| matches!(group.way, Way::InPlace(_)));
        let pods = groups.flat_map(|group| group.pods.iter().map(move |pod| (group, pod)));
        let pods = self.unavailable_first(pods.collect()).await;
        let changes = pods.into_iter().map(|(group, pod)| async move {
            let (outcome, message) = self.change(pod).await;
            Line::of(group, vec![pod.name.clone()], outcome, message)
        });
        let lines: Vec<Line> =
            futures::stream::iter(changes).buffer_unordered(self.limits.max_unavailable).collect().await;
        merged(lines)
    }

    /// Pods that are not ready before the others: no pod becomes unavailable by their change.
    async fn unavailable_first<'g>(
        &self,
        pods: Vec<(&'g Group, &'g TemplatePod)>,
    ) -> Vec<(&'g Group, &'g TemplatePod)> {
        let looks = pods.into_iter().map(|(group, pod)| async move {
            let api = calls::pods(self.planner.caller, &pod.namespace);
            let found = calls::get(self.planner.caller, &api, &pod.name).await.ok().flatten();
            (found.is_some_and(|live| PodState::of(&live, &Expected::default()) == PodState::Ready), group, pod)
        });
        let mut looked: Vec<_> = futures::stream::iter(looks).buffered(LOOKS).collect().await;
        looked.sort_by_key(|(is_ready, ..)| *is_ready);
        looked.into_iter().map(|(_, group, pod)| (group, pod)).collect()
    }

    /// Changes one pod and waits until it is ready.
    async fn change(&self, pod: &TemplatePod) -> (Outcome, Option<String>) {
        if self.stop.is_set() {
            return (Outcome::NotStarted, None);
        }
        let begin = Instant::now();
        let result = self.change_and_wait(pod).await;
        locked(&self.progress).advance(1);
        match result {
            Ok(said) => {
                self.say(&format!(
                    "pod {}/{}: {said} after {:.1} s",
                    pod.namespace,
                    pod.name,
                    begin.elapsed().as_secs_f32()
                ));
                if !self.stop.is_set() {
                    tokio::time::sleep(self.limits.pause).await;
                }
                (Outcome::Done, None)
            }
            Err(problem) => {
                self.stop.set(problem.clone());
                (Outcome::Failed, Some(problem))
            }
        }
    }

    async fn change_and_wait(&self, pod: &TemplatePod) -> Result<&'static str, String> {
        let named = |problem: String| format!("pod {}/{}: {problem}", pod.namespace, pod.name);
        let Some(comparison) = self.planner.compare(pod).await.map_err(named)? else {
            return Ok("was deleted meanwhile");
        };
        let change = &comparison.change;
        if change.is_nothing() {
            return Ok("had the revision already");
        }
        if !change.is_in_place() {
            return Err(named(format!("cannot be changed in place any more: {} differs", change.other.join(", "))));
        }
        let api = calls::pods(self.planner.caller, &pod.namespace);
        let name = PodName { name: &pod.name, uid: uid(&comparison.live) };
        let expected = Expected::of(change, &comparison.live);
        if !change.resources.is_empty() {
            calls::resize(self.planner.caller, &api, &name, change, false).await.map_err(named)?;
        }
        calls::patch(self.planner.caller, &api, &name, change, false).await.map_err(named)?;
        self.wait_for_pod(pod, &expected).await?;
        Ok("ready")
    }

    /// Waits until a pod is ready; a pod that is gone needs no wait.
    async fn wait_for_pod(&self, pod: &TemplatePod, expected: &Expected) -> Result<(), String> {
        let api = calls::pods(self.planner.caller, &pod.namespace);
        let end = Instant::now() + self.limits.ready_timeout;
        loop {
            let problem = match calls::get(self.planner.caller, &api, &pod.name).await {
                Ok(None) => return Ok(()),
                Ok(Some(live)) => match PodState::of(&live, expected) {
                    PodState::Ready | PodState::Gone => return Ok(()),
                    PodState::NotYet(why) => why,
                },
                // The API server may come back within the time.
                Err(problem) => problem,
            };
            if Instant::now() >= end {
                let warning = calls::last_warning(self.planner.caller, &pod.namespace, &pod.name).await;
                let warning = warning.map(|warning| format!("; last warning: {warning}")).unwrap_or_default();
                let (namespace, name, limit) = (&pod.namespace, &pod.name, self.limits.ready_timeout);
                return Err(format!("pod {namespace}/{name} is not ready within {limit:?}: {problem}{warning}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn restart(&self, group: &Group, is_restarted: bool) -> Line {
        let names = || group.pods.iter().map(|pod| pod.name.clone()).collect();
        if self.stop.is_set() {
            return Line::of(group, names(), Outcome::NotStarted, None);
        }
        let begin = Instant::now();
        let result = if is_restarted { Ok(true) } else { self.restart_and_wait(group).await };
        locked(&self.progress).advance(group.pods.len());
        match result {
            Ok(_) => {
                let seconds = begin.elapsed().as_secs_f32();
                if !is_restarted {
                    self.say(&format!(
                        "{} in namespace {}: restarted within {seconds:.1} s",
                        group.owner, group.namespace
                    ));
                    tokio::time::sleep(self.limits.pause).await;
                }
                Line::of(group, names(), Outcome::Done, None)
            }
            Err(Failure::NotBegun(problem)) => Line::of(group, names(), Outcome::Failed, Some(problem)),
            Err(Failure::Stuck(problem)) => {
                self.stop.set(problem.clone());
                Line::of(group, names(), Outcome::Failed, Some(problem))
            }
        }
    }

    async fn restart_and_wait(&self, group: &Group) -> Result<bool, Failure> {
        let (caller, kind, name) = (self.planner.caller, group.owner.kind.as_str(), group.owner.name.as_str());
        let Some(api) = calls::workloads(caller, kind, &group.namespace) else {
            return Err(Failure::NotBegun(format!("a {kind} is not restarted")));
        };
        let found = calls::get(caller, &api, name).await.map_err(Failure::NotBegun)?;
        let Some(workload) = found else { return Err(Failure::NotBegun("it is gone".to_owned())) };
        if let Some(why) = rollout::cannot_restart(kind, &workload, self.limits.max_unavailable) {
            return Err(Failure::NotBegun(why));
        }
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        calls::restart(caller, &api, name, &now, false).await.map_err(Failure::NotBegun)?;
        let mut last = String::new();
        let mut end = Instant::now() + self.limits.ready_timeout;
        loop {
            tokio::time::sleep(POLL).await;
            let problem = match calls::get(caller, &api, name).await {
                Ok(None) => return Err(Failure::Stuck(format!("{} was deleted meanwhile", group.owner))),
                Ok(Some(workload)) => match RolloutState::of(kind, &workload) {
                    RolloutState::Complete => return Ok(true),
                    RolloutState::Underway(state) => state,
                },
                Err(problem) => problem,
            };
            // Each further pod has the whole time.
            if problem != last {
                end = Instant::now() + self.limits.ready_timeout;
                last.clone_from(&problem);
            }
            if Instant::now() >= end {
                let limit = self.limits.ready_timeout;
                let place = format!("{} in namespace {}", group.owner, group.namespace);
                return Err(Failure::Stuck(format!(
                    "the restart of {place} has made no progress within {limit:?}: {problem}"
                )));
            }
        }
    }

    fn say(&self, line: &str) {
        locked(&self.progress).message(&printable(line));
    }
}

/// Why a workload was not restarted.
enum Failure {
    /// Nothing was changed, so others can follow.
    NotBegun(String),
    /// Its pods do not get ready.
    Stuck(String),
}

/// The line of pods of which nothing is done.
pub(super) fn settled(group: &Group) -> Option<Line> {
    let outcome = match group.way {
        Way::Current => Outcome::Current,
        Way::Impossible(_) => Outcome::Failed,
        Way::InPlace(_) | Way::Restart(_) => return None,
    };
    Some(Line::of(group, group.pods.iter().map(|pod| pod.name.clone()).collect(), outcome, None))
}

/// One line for the pods of a group with the same outcome.
fn merged(lines: Vec<Line>) -> Vec<Line> {
    let mut merged: Vec<Line> = Vec::new();
    for mut line in lines {
        let same = |other: &&mut Line| {
            (&other.namespace, &other.workload, &other.from, other.outcome, &other.message)
                == (&line.namespace, &line.workload, &line.from, line.outcome, &line.message)
        };
        match merged.iter_mut().find(same) {
            Some(other) => other.pods.append(&mut line.pods),
            None => merged.push(line),
        }
    }
    merged
}
