//! Checks the names of other templates that a template requires and excludes.
//!
//! Whether they exist is not known here: each template is compiled alone.

use crate::inject::template::spec::TemplateSpec;
use crate::inject::text::{FieldError, FieldPath, Message, message, names, quote, value};

/// Adds the errors of `requires` and `excludes` of the template with the name `own`.
pub(super) fn check(own: &str, spec: &TemplateSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (field, listed) in [("requires", &spec.requires), ("excludes", &spec.excludes)] {
        for (index, name) in listed.iter().enumerate() {
            let is_double = listed.iter().take(index).any(|earlier| earlier == name);
            let is_required_too = field == "excludes" && spec.requires.contains(name);
            if let Some(why) = fault(own, name, is_double, is_required_too) {
                errors.push(FieldError::new(path.child(field).index(index), message![value(quote(name)), why]));
            }
        }
    }
}

fn fault(own: &str, name: &str, is_double: bool, is_required_too: bool) -> Option<Message> {
    Some(match names::check_dns_label(name) {
        Err(rule) => message![" is no name of a template: ", rule],
        Ok(()) if name == own => " is this template itself; expected the name of another one".into(),
        Ok(()) if is_double => " is listed twice; remove one of the two".into(),
        Ok(()) if is_required_too => " stands in requires too; remove it from one of the two lists".into(),
        Ok(()) => return None,
    })
}
