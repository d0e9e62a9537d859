//! What templates put into the app's containers of one pod, weighed before any of it is made.
//!
//! A template is small and so is its part for one container, but a pod may have thousands of containers and name many templates.

use serde_json::Value;

use super::RenderedTemplate;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::pod::memory_estimate;
use crate::inject::text::message::message;

/// Memory for all of it together.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// With so few containers, each counted once for each template, nothing is worth a thought.
const FEW_CONTAINERS: usize = 32;

/// What is wrong, if it is too much.
pub(in crate::inject) fn check(candidates: &[RenderedTemplate<'_>]) -> Option<Problem> {
    let containers: usize = candidates.iter().map(|candidate| candidate.selected.len()).sum();
    if containers <= FEW_CONTAINERS {
        return None;
    }
    let bytes = candidates.iter().map(weigh).fold(0, usize::saturating_add);
    if bytes <= MAX_BYTES {
        return None;
    }
    let message = message![
        "the pod's templates would put ",
        bytes / 1024,
        " KiB into its containers, counting ",
        containers,
        "; at most ",
        MAX_BYTES / 1024,
        " KiB are allowed",
    ];
    Some(Problem { code: ErrorCode::PodInvalid, template: None, annotation: None, message })
}

fn weigh(candidate: &RenderedTemplate<'_>) -> usize {
    let overlay = &candidate.overlay;
    let lists = [&overlay.env, &overlay.env_from, &overlay.volume_mounts];
    let weight = |items: &Vec<Value>| serde_json::to_vec(items).map_or(0, |text| memory_estimate::of(&text));
    let each: usize = lists.into_iter().filter(|items| !items.is_empty()).map(weight).sum();
    each.saturating_mul(candidate.selected.len())
}
