//! Puts words before the command of the app's containers (`app.prependCommand`).
//!
//! Several templates stand in the pod's order, the first one outermost. A template of a later pass
//! stands after those that the status lists.
//!
//! Invariant: what templates put before a command is a prefix of it, in the order of the status.

use super::{Edit, Location, Planner, RenderedTemplate};
use crate::inject::pod::ContainerList;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::text::json::{items, text};
use serde_json::Value;

/// The edits of one container's command.
#[derive(Default)]
pub(super) struct CommandEdits<'a> {
    /// Words at the beginning that earlier passes put there.
    kept: usize,
    /// Words that were inserted after those.
    inserted: usize,
    /// What the command begins with already.
    present: Vec<&'a [Value]>,
    /// What templates of this pass have put before the command.
    brought: Vec<&'a [Value]>,
}

impl<'a> Planner<'a> {
    /// Puts words before the command of a container of the app. Containers without a command are
    /// refused earlier.
    pub(super) fn app_command(&mut self, candidate: usize, place: (ContainerList, usize), wanted: &'a [Value]) {
        let container = &self.pod.containers(place.0)[place.1];
        let own = items(container, "command");
        if wanted.is_empty() || own.is_empty() {
            return;
        }
        let command = Location::container(place.0, place.1, text(container, "name")).child("command");
        let mut edits = match self.commands.remove(&place) {
            Some(edits) => edits,
            None => self.command_edits(place, &command.path, own),
        };
        if edits.brought.contains(&wanted) {
            self.plan.shared.insert(candidate);
        } else if !edits.present.contains(&wanted) {
            for item in wanted {
                let index = edits.kept + edits.inserted;
                self.plan.edits.push(Edit::Insert { list: command.pointer.clone(), index, item: item.clone() });
                edits.inserted += 1;
            }
            edits.brought.push(wanted);
            self.entry(candidate).prepended.insert(command.path, Value::from(wanted));
        }
        self.commands.insert(place, edits);
    }

    /// What the command begins with: words of the status, then words of templates, in any order.
    fn command_edits(&self, place: (ContainerList, usize), path: &MergePath, own: &[Value]) -> CommandEdits<'a> {
        let of_earlier_passes = self.status.iter().filter_map(|entry| entry.prepended.get(path)?.as_array());
        let kept = of_earlier_passes.fold(0, |kept, words| match own[kept..].starts_with(words) {
            true => kept + words.len(),
            false => kept,
        });
        let candidates = self.candidates;
        let of_candidate = |candidate: &'a RenderedTemplate<'a>| {
            let position = candidate.selected.iter().position(|selected| *selected == place)?;
            Some(candidate.app_overlay(position).app_prepend_command()).filter(|words| !words.is_empty())
        };
        let wanted: Vec<&[Value]> = candidates.iter().filter_map(of_candidate).collect();
        let mut edits = CommandEdits { kept, ..CommandEdits::default() };
        let mut rest = &own[kept..];
        while let Some(words) = wanted.iter().find(|words| rest.starts_with(words) && !edits.present.contains(words)) {
            edits.present.push(words);
            rest = &rest[words.len()..];
        }
        edits
    }
}
