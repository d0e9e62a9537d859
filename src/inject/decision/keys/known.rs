//! The templates that are known where keys are judged: those of the engine, or only their names.

use crate::inject::template::parameters::Parameter;
use crate::inject::template::{Slot, VisibleTemplates};

/// Names of templates and of their parameters.
pub(crate) trait KnownTemplates {
    /// Names of all templates, also of broken ones.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// Whether a template of this name exists.
    fn has(&self, template: &str) -> bool;

    /// Names of a template's parameters; `None` if they are not known.
    fn parameters(&self, template: &str) -> Option<Vec<&str>>;

    /// Whether there are no other templates. Otherwise an unknown name may be right.
    fn is_complete(&self) -> bool;
}

/// Whether a template may have this parameter.
pub(super) fn declares(templates: &dyn KnownTemplates, template: &str, parameter: &str) -> bool {
    templates.has(template) && templates.parameters(template).is_none_or(|known| known.contains(&parameter))
}

impl KnownTemplates for VisibleTemplates<'_> {
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.all_names())
    }

    fn has(&self, template: &str) -> bool {
        self.knows(template)
    }

    fn parameters(&self, template: &str) -> Option<Vec<&str>> {
        // A pod's part in a rollout is not known here; any revision tells which parameters there are.
        let template = self.get(template, None, || Slot(0)).template()?;
        Some(template.parameters.iter().map(Parameter::name).collect())
    }

    fn is_complete(&self) -> bool {
        self.unread().is_none()
    }
}
