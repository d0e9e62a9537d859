//! Limits the memory that additions to the app's containers of one pod may take.
//!
//! The addition of one template to one container is small, but a pod may have thousands of
//! containers and name many templates.

use serde_json::Value;

use super::RenderedTemplate;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::overlay::Overlay;
use crate::inject::pod::memory_estimate;
use crate::inject::text::message;

/// Most memory of all additions together.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Up to this many containers, each counted once per template, the memory is not estimated.
const FEW_CONTAINERS: usize = 32;

/// A problem if the additions would take more than the limit.
pub(in crate::inject) fn check(candidates: &[RenderedTemplate<'_>]) -> Option<Problem> {
    check_files(candidates).or_else(|| check_app(candidates))
}

/// Files of one template are limited when it is rendered, but a pod may name many templates.
fn check_files(candidates: &[RenderedTemplate<'_>]) -> Option<Problem> {
    let bytes: usize = candidates.iter().flat_map(|candidate| candidate.overlay.file_texts()).map(str::len).sum();
    if bytes <= MAX_BYTES {
        return None;
    }
    let message = message![
        "the files of the pod's templates have ",
        bytes / 1024,
        " KiB; at most ",
        MAX_BYTES / 1024,
        " KiB are allowed",
    ];
    Some(Problem { code: ErrorCode::PodInvalid, template: None, annotation: None, message })
}

fn check_app(candidates: &[RenderedTemplate<'_>]) -> Option<Problem> {
    let containers: usize = candidates.iter().map(|candidate| candidate.selected.len()).sum();
    if containers <= FEW_CONTAINERS {
        return None;
    }
    let bytes = candidates.iter().map(estimate).fold(0, usize::saturating_add);
    if bytes <= MAX_BYTES {
        return None;
    }
    let message = message![
        "the pod's templates would add ",
        bytes / 1024,
        " KiB to its containers (",
        containers,
        ", counted once for each template); at most ",
        MAX_BYTES / 1024,
        " KiB are allowed",
    ];
    Some(Problem { code: ErrorCode::PodInvalid, template: None, annotation: None, message })
}

fn estimate(candidate: &RenderedTemplate<'_>) -> usize {
    let list_bytes = |items: &[Value]| serde_json::to_vec(items).map_or(0, |text| memory_estimate::of(&text));
    let of_container = |overlay: &Overlay| -> usize {
        let lists = overlay.app_lists().map(|(_, items)| items).chain([overlay.app_prepend_command()]);
        let lists: usize = lists.filter(|items| !items.is_empty()).map(list_bytes).sum();
        lists + serde_json::to_vec(overlay.app_defaults()).map_or(0, |text| memory_estimate::of(&text))
    };
    match candidate.apps.is_empty() {
        true => of_container(&candidate.overlay).saturating_mul(candidate.selected.len()),
        false => candidate.apps.iter().map(of_container).fold(0, usize::saturating_add),
    }
}
