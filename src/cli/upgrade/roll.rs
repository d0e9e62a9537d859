//! Carries out a plan: never more pods unavailable at once than allowed, and no further when one does not
//! get ready.
//!
//! Invariant: each step can be repeated: whoever runs the command again goes on where it stopped.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::calls::{self, CallError, Cause, PodName};
use super::change::containers_of;
use super::group::{Group, Way};
use super::plan::{Planner, uid};
use super::pod_state::{Expected, unready_container};
use super::report::{Line, Outcome};
use super::stop::StopFlag;
use crate::cli::fleet::{Owner, TemplatePod};
use crate::cli::progress::Progress;
use crate::cli::terminal::printable;

/// Between two looks at a pod that is not ready.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Pods that were changed last, and are looked at again before the next one.
const RECENT: usize = 10;

/// The limits of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most pods that may be unavailable at once.
    pub max_unavailable: usize,
    /// After each pod.
    pub pause: Duration,
    /// How long a pod, or a workload's next pod, may take to get ready.
    pub ready_timeout: Duration,
    /// How long a changed pod must stay ready.
    pub min_ready: Duration,
}

/// The new pods of each restarted workload, by its namespace and itself.
pub(super) type Restarted = BTreeMap<(String, Owner), Vec<TemplatePod>>;

/// One run.
pub(super) struct Roll<'r> {
    pub planner: Planner<'r>,
    pub limits: Limits,
    /// Why no further pod is begun.
    pub stop: StopFlag,
    progress: Progress,
    /// The pods that were changed and got ready.
    changed: Mutex<Vec<TemplatePod>>,
    restarted: Mutex<Restarted>,
}

impl<'r> Roll<'r> {
    pub(super) fn new(planner: Planner<'r>, limits: Limits, stop: StopFlag, pods: usize) -> Self {
        let progress = Progress::of(pods, "pods upgraded");
        Self { planner, limits, stop, progress, changed: Mutex::default(), restarted: Mutex::default() }
    }

    /// Carries out the plan. What is not ready comes first: by its change no pod becomes unavailable.
    pub(super) async fn run(&self, groups: &[Group]) -> Vec<Line> {
        let begun = groups.iter().filter(|group| matches!(group.way, Way::InPlace(_) | Way::Restart(_)));
        let unready = self.unready(begun.flat_map(|group| &group.pods).collect()).await;
        let is_unready = |pod: &TemplatePod| unready.iter().any(|(one, _)| *one == pod);
        let has_unready = |group: &Group| {
            let is_its = |pod: &TemplatePod| (&pod.namespace, &pod.owner) == (&group.namespace, &group.owner);
            unready.iter().any(|(pod, _)| is_its(pod))
        };
        let chosen = groups.iter().filter(|group| matches!(group.way, Way::InPlace(_)));
        let (first, then): (Vec<_>, Vec<_>) = chosen
            .flat_map(|group| group.pods.iter().map(move |pod| (group, pod)))
            .partition(|(_, pod)| is_unready(pod));

        let mut in_place = self.changes(first, self.limits.max_unavailable).await;
        let mut restarts = self.restarts(groups, has_unready).await;
        in_place.extend(self.changes_with_room(groups, then).await);
        self.look_again(&mut in_place).await;
        restarts.extend(self.restarts(groups, |group| !has_unready(group)).await);
        self.look_again_at_restarted(&mut restarts).await;

        let mut lines = self.settled_lines(groups).await;
        let line =
            |(group, pod, outcome, message): Changed<'_>| Line::of(group, vec![pod.name.clone()], outcome, message);
        lines.extend(in_place.into_iter().map(line));
        lines.extend(restarts);
        merged(lines)
    }

    /// Changes pods that are ready, as many at once as may become unavailable.
    async fn changes_with_room<'g>(
        &self,
        groups: &[Group],
        pods: Vec<(&'g Group, &'g TemplatePod)>,
    ) -> Vec<Changed<'g>> {
        if pods.is_empty() || self.stop.is_set() {
            return self.changes(pods, 1).await;
        }
        let room = self.room(groups, 1, |group| !matches!(group.way, Way::InPlace(_))).await;
        let at_once = room.unwrap_or_else(|problem| {
            self.stop.set(problem);
            1
        });
        self.changes(pods, at_once).await
    }

    async fn changes<'g>(&self, pods: Vec<(&'g Group, &'g TemplatePod)>, at_once: usize) -> Vec<Changed<'g>> {
        let last = pods.len();
        let changes = pods.into_iter().enumerate().map(|(index, (group, pod))| async move {
            let (outcome, message) = self.change(pod, index + 1 == last).await;
            (group, pod, outcome, message)
        });
        futures::stream::iter(changes).buffer_unordered(at_once).collect().await
    }

    /// Pods that were ready after their change, and are not any more.
    async fn look_again(&self, results: &mut [Changed<'_>]) {
        if self.stop.is_at_once() {
            return;
        }
        let done = results.iter().filter(|(_, _, outcome, _)| *outcome == Outcome::Done).map(|(_, pod, ..)| *pod);
        for (pod, why) in self.lost(done.collect()).await {
            let problem = not_any_more(pod, &why);
            self.stop.set(problem.clone());
            if let Some((_, _, outcome, message)) = results.iter_mut().find(|(_, one, ..)| *one == pod) {
                (*outcome, *message) = (Outcome::Failed, Some(problem));
            }
        }
    }

    /// The same for the new pods of restarted workloads.
    async fn look_again_at_restarted(&self, lines: &mut [Line]) {
        if self.stop.is_at_once() {
            return;
        }
        let restarted = self.restarted();
        for ((namespace, owner), pods) in &restarted {
            let Some((pod, why)) = self.lost(pods.iter().collect()).await.into_iter().next() else { continue };
            let problem = not_any_more(pod, &why);
            self.stop.set(problem.clone());
            let owner = owner.to_string();
            let is_its = |line: &&mut Line| (&line.namespace, &line.workload) == (namespace, &owner);
            for line in lines.iter_mut().filter(is_its).filter(|line| line.outcome == Outcome::Done) {
                (line.outcome, line.message) = (Outcome::Failed, Some(problem.clone()));
            }
        }
    }

    /// The lines of pods of which nothing is done. A pod that has the revision and whose containers of the
    /// template are not ready has failed: an earlier run may have stopped there.
    async fn settled_lines(&self, groups: &[Group]) -> Vec<Line> {
        let mut lines = settled(groups);
        if self.stop.is_set() {
            return lines;
        }
        let current = groups.iter().filter(|group| matches!(group.way, Way::Current(_)));
        let pods: Vec<&TemplatePod> = current.flat_map(|group| &group.pods).collect();
        let suspects: Vec<TemplatePod> = self.broken(pods).await.into_iter().map(|(pod, _)| pod.clone()).collect();
        if suspects.is_empty() || self.wait_for_pods(&suspects).await.is_ok() {
            return lines;
        }
        for (pod, why) in self.broken(suspects.iter().collect()).await {
            let is_its = |line: &&mut Line| {
                line.namespace == pod.namespace
                    && line.workload == pod.owner.to_string()
                    && line.pods.contains(&pod.name)
            };
            let Some(line) = lines.iter_mut().find(is_its) else { continue };
            line.pods.retain(|name| *name != pod.name);
            let message = Some(format!("it has the revision, and is not ready: {why}"));
            let failed = Line { pods: vec![pod.name.clone()], outcome: Outcome::Failed, message, ..line.clone() };
            lines.push(failed);
        }
        lines.retain(|line| !line.pods.is_empty());
        lines
    }

    /// The pods in which a container of the template is not ready, each with the reason.
    async fn broken<'p>(&self, pods: Vec<&'p TemplatePod>) -> Vec<(&'p TemplatePod, String)> {
        let (keys, template) = (self.planner.keys, self.planner.template);
        let looks = self.looks(pods, |_, found| {
            let live = found.ok().flatten()?;
            unready_container(&live, &containers_of(&live, keys, template))
        });
        looks.await.into_iter().filter_map(|(pod, why)| Some((pod, why?))).collect()
    }

    /// Changes one pod and waits until it is ready.
    async fn change(&self, pod: &TemplatePod, is_last: bool) -> (Outcome, Option<String>) {
        if self.stop.is_set() {
            return (Outcome::NotStarted, None);
        }
        let recent: Vec<TemplatePod> = self.changed().iter().rev().take(RECENT).cloned().collect();
        if let Some((other, why)) = self.lost(recent.iter().collect()).await.first() {
            self.stop.set(not_any_more(other, why));
            return (Outcome::NotStarted, None);
        }
        let begin = Instant::now();
        let result = self.change_and_wait(pod).await;
        self.progress.advance(1);
        self.waits_for("");
        match result {
            Ok(said) => {
                let seconds = begin.elapsed().as_secs_f32();
                self.say(&format!("pod {}/{}: {said} after {seconds:.1} s", pod.namespace, pod.name));
                self.changed().push(pod.clone());
                if !is_last {
                    self.stop.sleep(self.limits.pause).await;
                }
                (Outcome::Done, None)
            }
            Err(problem) => {
                self.stop.set(problem.clone());
                (Outcome::Failed, Some(problem))
            }
        }
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, Vec<TemplatePod>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The restarted workloads so far.
    pub(super) fn restarted(&self) -> Restarted {
        self.restarted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember_restarted(&self, namespace: &str, owner: &Owner, pods: Vec<TemplatePod>) {
        let mut restarted = self.restarted.lock().unwrap_or_else(PoisonError::into_inner);
        restarted.insert((namespace.to_owned(), owner.clone()), pods);
    }

    async fn change_and_wait(&self, pod: &TemplatePod) -> Result<&'static str, String> {
        let expected = match self.change_now(pod).await {
            Ok(Ok(expected)) => expected,
            Ok(Err(said)) => return Ok(said),
            Err(CallError { cause: Cause::Gone, .. }) => return Ok("was deleted meanwhile"),
            Err(error) => return Err(format!("pod {}/{}: {}", pod.namespace, pod.name, error.text)),
        };
        self.wait_for_pod(pod, &expected).await
    }

    /// Changes a pod; `Ok(Err(_))` says why there was nothing to do.
    async fn change_now(&self, pod: &TemplatePod) -> Result<Result<Expected, &'static str>, CallError> {
        let Some(comparison) = self.planner.compare(pod).await? else { return Ok(Err("was deleted meanwhile")) };
        let change = &comparison.change;
        if change.is_nothing() {
            return Ok(Err("had the revision already"));
        }
        if !change.is_in_place() {
            let paths = change.other.join(", ");
            return Err(CallError::rejected(format!("cannot be changed in place any more: {paths} differs")));
        }
        let api = calls::pods(self.planner.caller, &pod.namespace);
        let name = PodName { name: &pod.name, uid: uid(&comparison.live) };
        let expected = Expected::of(change, &comparison.live);
        if !change.resources.is_empty() {
            calls::resize(self.planner.caller, &api, &name, change, false).await?;
        }
        calls::patch(self.planner.caller, &api, &name, change, false).await?;
        Ok(Ok(expected))
    }

    pub(super) fn advance(&self, pods: usize) {
        self.progress.advance(pods);
        self.waits_for("");
    }

    /// Shows what is waited for.
    pub(super) fn waits_for(&self, state: &str) {
        self.progress.waits_for(&printable(state));
    }

    pub(super) fn say(&self, line: &str) {
        self.progress.message(&printable(line));
    }
}

/// A pod that was to be changed, and what became of it.
type Changed<'g> = (&'g Group, &'g TemplatePod, Outcome, Option<String>);

pub(super) fn not_any_more(pod: &TemplatePod, why: &str) -> String {
    format!("pod {}/{} was changed, got ready, and is not ready any more: {why}", pod.namespace, pod.name)
}

/// The lines of pods of which nothing is done.
pub(super) fn settled(groups: &[Group]) -> Vec<Line> {
    let line = |group: &Group| {
        let outcome = match group.way {
            Way::Current(_) => Outcome::Current,
            Way::Impossible(_) => Outcome::Failed,
            Way::InPlace(_) | Way::Restart(_) => return None,
        };
        Some(Line::of(group, group.names(), outcome, None))
    };
    groups.iter().filter_map(line).collect()
}

/// One line for the pods of a workload with the same outcome.
pub(super) fn merged(lines: Vec<Line>) -> Vec<Line> {
    let mut merged: Vec<Line> = Vec::new();
    for mut line in lines {
        match merged.iter_mut().find(|other| other.is_like(&line)) {
            Some(other) => other.pods.append(&mut line.pods),
            None => merged.push(line),
        }
    }
    merged
}
