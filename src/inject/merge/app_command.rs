//! Puts words before the command of the app's containers (`app.prependCommand`).
//!
//! Several templates stand in the pod's order, the first one outermost. A template of a later pass
//! stands after those that the status lists.
//!
//! Invariant: what templates put before a command is a prefix of it, in the order of the status.

use super::{Edit, Location, Planner};
use crate::inject::pod::ContainerList;
use crate::inject::text::json::{items, text};
use serde_json::Value;

/// The edits of one container's command.
#[derive(Default)]
pub(super) struct CommandEdits<'a> {
    /// Words at the container's own beginning that an earlier pass put there.
    kept: usize,
    /// Words at the container's own beginning that templates of this pass and earlier ones want.
    present: usize,
    /// Words that were inserted after those of earlier passes.
    inserted: usize,
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
        let mut edits = self.commands.remove(&place).unwrap_or_else(|| {
            let of_earlier_passes = self.status.iter().filter_map(|entry| entry.prepended.get(&command.path));
            let kept = of_earlier_passes
                .filter_map(Value::as_array)
                .fold(0, |kept, words| if own[kept..].starts_with(words) { kept + words.len() } else { kept });
            CommandEdits { kept, present: kept, ..CommandEdits::default() }
        });
        if edits.brought.contains(&wanted) {
            self.plan.shared.insert(candidate);
        } else if own[edits.present..].starts_with(wanted) {
            edits.present += wanted.len();
        } else {
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
}
