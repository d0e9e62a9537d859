//! Looks at pods until they are ready, and counts those that are not.

use std::time::Instant;

use futures::StreamExt;

use super::calls;
use super::group::Group;
use super::plan::LOOKS;
use super::pod_state::{self, Expected, PodState};
use super::roll::{POLL, Roll};
use crate::cli::fleet::TemplatePod;

/// Further pods that are named where many are not ready.
const MAX_NAMED: usize = 3;

impl Roll<'_> {
    /// Waits until a changed pod is ready and has stayed so for a while, without a restart of any
    /// container; a pod that is gone needs no wait.
    pub(super) async fn wait_for_pod(&self, pod: &TemplatePod, expected: &Expected) -> Result<(), String> {
        let api = calls::pods(self.planner.caller, &pod.namespace);
        let end = Instant::now() + self.limits.ready_timeout + self.limits.min_ready;
        let mut ready: Option<(Instant, String)> = None;
        loop {
            let problem = match calls::get(self.planner.caller, &api, "pods", &pod.name).await {
                Ok(None) => return Ok(()),
                Ok(Some(live)) => match PodState::of(&live, expected) {
                    PodState::Gone => return Ok(()),
                    PodState::Ready => {
                        let starts = format!("{:?}", pod_state::starts(&live));
                        if ready.as_ref().is_none_or(|(_, before)| *before != starts) {
                            ready = Some((Instant::now(), starts));
                        }
                        let since = ready.as_ref().map(|(since, _)| since.elapsed()).unwrap_or_default();
                        if since >= self.limits.min_ready {
                            return Ok(());
                        }
                        format!("it has not stayed ready for {:?}", self.limits.min_ready)
                    }
                    PodState::NotYet(why) => {
                        ready = None;
                        why
                    }
                },
                // The API server may come back within the time.
                Err(error) => error.text,
            };
            if self.stop.is_at_once() {
                let name = format!("{}/{}", pod.namespace, pod.name);
                return Err(format!("pod {name} is changed, and the command ended before it was ready: {problem}"));
            }
            if Instant::now() >= end {
                let why = self.with_warning(pod, problem).await;
                let limit = self.limits.ready_timeout;
                return Err(format!("pod {}/{} is not ready within {limit:?}: {why}", pod.namespace, pod.name));
            }
            self.waits_for(&format!("pod {}/{}: {problem}", pod.namespace, pod.name));
            self.stop.sleep_between_looks(POLL).await;
        }
    }

    async fn with_warning(&self, pod: &TemplatePod, problem: String) -> String {
        match calls::last_warning(self.planner.caller, &pod.namespace, &pod.name).await {
            Some(warning) => format!("{problem}; last warning: {warning}"),
            None => problem,
        }
    }

    /// The pods that are not ready, each with the reason.
    pub(super) async fn unready<'p>(&self, pods: Vec<&'p TemplatePod>) -> Vec<(&'p TemplatePod, String)> {
        let looks = pods.into_iter().map(|pod| async move {
            let api = calls::pods(self.planner.caller, &pod.namespace);
            let state = match calls::get(self.planner.caller, &api, "pods", &pod.name).await {
                Ok(Some(live)) => PodState::of(&live, &Expected::default()),
                Ok(None) => PodState::Gone,
                Err(error) => PodState::NotYet(error.text),
            };
            match state {
                PodState::Ready | PodState::Gone => None,
                PodState::NotYet(why) => Some((pod, why)),
            }
        });
        futures::stream::iter(looks).buffered(LOOKS).filter_map(std::future::ready).collect().await
    }

    /// How many more pods may become unavailable: waits until one may. `counts` chooses the groups whose
    /// pods count where they are not ready.
    pub(super) async fn room(&self, groups: &[Group], counts: impl Fn(&Group) -> bool) -> Result<usize, String> {
        let pods = groups.iter().filter(|group| counts(group)).flat_map(|group| &group.pods).collect();
        let mut unready = self.unready(pods).await;
        let (most, end) = (self.limits.max_unavailable, Instant::now() + self.limits.ready_timeout);
        while unready.len() >= most {
            let Some((first, why)) = unready.first() else { break };
            let name = format!("{}/{}", first.namespace, first.name);
            if self.stop.is_set() {
                return Err("stopped while it waited for pods that are not ready".to_owned());
            }
            if Instant::now() >= end {
                let why = self.with_warning(first, why.clone()).await;
                let names: Vec<String> =
                    unready.iter().skip(1).map(|(pod, _)| format!("{}/{}", pod.namespace, pod.name)).collect();
                let others = match names.as_slice() {
                    [] => String::new(),
                    names => {
                        format!("; nor are {}", names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", "))
                    }
                };
                let more = names.len().saturating_sub(MAX_NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let limit = self.limits.ready_timeout;
                return Err(format!(
                    "no pod may become unavailable while pod {name} is not ready, which it was not within {limit:?}: \
                     {why}{others}{more}"
                ));
            }
            self.waits_for(&format!("pod {name}: {why}"));
            self.stop.sleep(POLL).await;
            unready = self.unready(unready.into_iter().map(|(pod, _)| pod).collect()).await;
        }
        Ok(most - unready.len())
    }
}
