//! Looks at pods until they are ready, and counts those that are not.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::Value;

use super::calls::{self, CallError};
use super::group::Group;
use super::plan::LOOKS;
use super::pod_state::{self, Expected, PodState};
use super::roll::{POLL, Roll};
use crate::cli::fleet::TemplatePod;

/// Further pods that are named where many are not ready.
const MAX_NAMED: usize = 3;

/// How a pod is, and how often its containers were started.
struct Look {
    state: PodState,
    starts: String,
}

impl Look {
    fn of(found: Result<Option<Value>, CallError>, expected: &Expected) -> Self {
        match found {
            Ok(Some(live)) => {
                Self { state: PodState::of(&live, expected), starts: format!("{:?}", pod_state::starts(&live)) }
            }
            Ok(None) => Self { state: PodState::Deleted, starts: String::new() },
            // The API server may come back within the time.
            Err(error) => Self { state: PodState::NotYet(error.text), starts: String::new() },
        }
    }
}

impl Roll<'_> {
    /// Waits until a changed pod is ready and has stayed so for a while, without a restart of any
    /// container; a pod that is gone needs no wait. Says what it came to.
    pub(super) async fn wait_for_pod(&self, pod: &TemplatePod, expected: &Expected) -> Result<&'static str, String> {
        let name = format!("{}/{}", pod.namespace, pod.name);
        let end = Instant::now() + self.limits.ready_timeout + self.limits.min_ready;
        let mut ready: Option<(Instant, String)> = None;
        loop {
            let Look { state, starts } = Look::of(self.live(pod).await, expected);
            let problem = match state {
                PodState::Deleted => return Ok("was deleted meanwhile"),
                PodState::Succeeded => return Ok("has done its work meanwhile"),
                PodState::Failed(why) => return Err(format!("pod {name} is changed, and has ended since: {why}")),
                PodState::Ready => {
                    if ready.as_ref().is_none_or(|(_, before)| *before != starts) {
                        ready = Some((Instant::now(), starts));
                    }
                    let since = ready.as_ref().map(|(since, _)| since.elapsed()).unwrap_or_default();
                    if since >= self.limits.min_ready {
                        return Ok("ready");
                    }
                    format!("it has not stayed ready for {:?}", self.limits.min_ready)
                }
                PodState::NotYet(why) => {
                    ready = None;
                    why
                }
            };
            if self.stop.is_at_once() {
                return Err(format!("pod {name} is changed, and the command ended before it was ready: {problem}"));
            }
            if Instant::now() >= end {
                let why = self.with_warning(pod, problem).await;
                let limit = self.limits.ready_timeout;
                return Err(format!("pod {name} is not ready within {limit:?}: {why}"));
            }
            self.waits_for(&format!("pod {name}: {problem}"));
            self.stop.sleep_between_looks(POLL).await;
        }
    }

    /// Waits until pods that a controller has created have stayed ready for a while, without a restart of any
    /// container. `Err` names the first that does not.
    pub(super) async fn wait_for_pods(&self, pods: &[TemplatePod]) -> Result<(), String> {
        let end = Instant::now() + self.limits.ready_timeout + self.limits.min_ready;
        let mut before: Option<Vec<String>> = None;
        loop {
            let looks = self.looks(pods.iter().collect(), |_, found| Look::of(found, &Expected::default())).await;
            let starts: Vec<String> = looks.iter().map(|(_, look)| look.starts.clone()).collect();
            let is_new = |index: usize| before.as_ref().is_some_and(|before| before[index] != starts[index]);
            let problem = looks.into_iter().enumerate().find_map(|(index, (pod, look))| match look.state {
                PodState::Ready if is_new(index) => Some((pod, "a container was started anew".to_owned())),
                state => state.problem().map(|why| (pod, why)),
            });
            if problem.is_none() && (before.is_some() || self.limits.min_ready.is_zero()) {
                return Ok(());
            }
            before = Some(starts);
            let min_ready = self.limits.min_ready;
            let told = match &problem {
                Some((pod, why)) => format!("pod {}/{}: {why}", pod.namespace, pod.name),
                None => format!("the new pods have not stayed ready for {min_ready:?}"),
            };
            if self.stop.is_at_once() {
                return Err(format!("the command ended before that was known: {told}"));
            }
            if let Some((pod, why)) = problem.filter(|_| Instant::now() >= end) {
                let why = self.with_warning(pod, why).await;
                let (limit, name) = (self.limits.ready_timeout, format!("{}/{}", pod.namespace, pod.name));
                return Err(format!("pod {name} has not stayed ready for {min_ready:?} within {limit:?}: {why}"));
            }
            self.waits_for(&told);
            self.stop.sleep_between_looks(min_ready.max(POLL)).await;
        }
    }

    /// A problem of a pod with the last warning about it.
    pub(super) async fn with_warning(&self, pod: &TemplatePod, problem: String) -> String {
        match calls::last_warning(self.planner.caller, &pod.namespace, &pod.name).await {
            Some(warning) => format!("{problem}; last warning: {warning}"),
            None => problem,
        }
    }

    async fn live(&self, pod: &TemplatePod) -> Result<Option<Value>, CallError> {
        let api = calls::pods(self.planner.caller, &pod.namespace);
        calls::get(self.planner.caller, &api, "pods", &pod.name).await
    }

    /// What `read` makes of each pod as it is now, in the same order.
    pub(super) async fn looks<'p, T>(
        &self,
        pods: Vec<&'p TemplatePod>,
        read: impl Fn(&TemplatePod, Result<Option<Value>, CallError>) -> T,
    ) -> Vec<(&'p TemplatePod, T)> {
        let read = &read;
        let looks = pods.into_iter().map(|pod| async move { (pod, read(pod, self.live(pod).await)) });
        futures::stream::iter(looks).buffered(LOOKS).collect().await
    }

    /// The pods that are not ready, each with the reason. Those that have ended are not among them: their
    /// controllers have created others.
    pub(super) async fn unready<'p>(&self, pods: Vec<&'p TemplatePod>) -> Vec<(&'p TemplatePod, String)> {
        let looks = self.looks(pods, |_, found| Look::of(found, &Expected::default()).state).await;
        let unready = |(pod, state)| match state {
            PodState::NotYet(why) => Some((pod, why)),
            _ => None,
        };
        looks.into_iter().filter_map(unready).collect()
    }

    /// Of pods that were ready after their change, those that are not any more, each with the reason.
    pub(super) async fn lost<'p>(&self, pods: Vec<&'p TemplatePod>) -> Vec<(&'p TemplatePod, String)> {
        let looks = self.looks(pods, |_, found| Look::of(found, &Expected::default()).state).await;
        looks.into_iter().filter_map(|(pod, state)| Some((pod, state.problem()?))).collect()
    }

    /// How many more pods may become unavailable: waits until `needed` may. `counts` chooses the groups whose
    /// pods count where they are not ready; of a restarted workload its new pods do.
    pub(super) async fn room(
        &self,
        groups: &[Group],
        needed: usize,
        counts: impl Fn(&Group) -> bool,
    ) -> Result<usize, String> {
        let restarted = self.restarted();
        let is_restarted = |group: &&Group| restarted.contains_key(&(group.namespace.clone(), group.owner.clone()));
        let (new, old): (Vec<&Group>, Vec<&Group>) =
            groups.iter().filter(|group| counts(group)).partition(is_restarted);
        let owners: std::collections::BTreeSet<_> =
            new.iter().map(|group| (group.namespace.clone(), group.owner.clone())).collect();
        let new = owners.iter().filter_map(|owner| restarted.get(owner)).flatten();
        let pods = old.into_iter().flat_map(|group| &group.pods).chain(new).collect();
        let mut unready = self.unready(pods).await;
        let (most, end) = (self.limits.max_unavailable, Instant::now() + self.limits.ready_timeout);
        while unready.len() + needed > most {
            let Some((first, why)) = unready.first() else { break };
            let name = format!("{}/{}", first.namespace, first.name);
            if self.stop.is_set() {
                return Err("stopped while it waited for pods that are not ready".to_owned());
            }
            if Instant::now() >= end {
                let why = self.with_warning(first, why.clone()).await;
                return Err(no_room(needed, &name, &why, &unready, self.limits.ready_timeout));
            }
            self.waits_for(&format!("pod {name}: {why}"));
            self.stop.sleep(POLL).await;
            unready = self.unready(unready.into_iter().map(|(pod, _)| pod).collect()).await;
        }
        Ok(most.saturating_sub(unready.len()))
    }
}

fn no_room(needed: usize, name: &str, why: &str, unready: &[(&TemplatePod, String)], limit: Duration) -> String {
    let names: Vec<String> = unready.iter().skip(1).map(|(pod, _)| format!("{}/{}", pod.namespace, pod.name)).collect();
    let others = match names.as_slice() {
        [] => String::new(),
        names => format!("; nor are {}", names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ")),
    };
    let more = names.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let rest = format!("which it was not within {limit:?}: {why}{others}{more}");
    if needed > 1 {
        return format!("{needed} pods may not become unavailable while pod {name} is not ready, {rest}");
    }
    format!("no pod may become unavailable while pod {name} is not ready, {rest}")
}
