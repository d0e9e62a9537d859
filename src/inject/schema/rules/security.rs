//! Rules for security contexts.

use super::object::Object;
use crate::inject::text::{FieldError, message};

const CREDENTIAL_SPEC_MAX: usize = 64 * 1024;
const APP_ARMOR_PROFILE_MAX: usize = 4095;
const WINDOWS_DOMAIN_MAX: usize = 256;
const WINDOWS_USER_MAX: usize = 104;

/// `allowPrivilegeEscalation: false` contradicts what escalates privileges.
pub(super) fn escalation(context: &Object<'_>, errors: &mut Vec<FieldError>) {
    if !context.is_false("allowPrivilegeEscalation") {
        return;
    }
    let field = "allowPrivilegeEscalation";
    if context.is_true("privileged") {
        errors.push(context.error(field, "false contradicts privileged: true"));
    }
    let added =
        context.child("capabilities").is_some_and(|set| set.items("add").iter().any(|name| name == "CAP_SYS_ADMIN"));
    if added {
        errors.push(context.error(field, "false contradicts the capability CAP_SYS_ADMIN"));
    }
}

/// Names of sysctls are unique.
pub(super) fn sysctls(context: &Object<'_>, errors: &mut Vec<FieldError>) {
    context.unique("sysctls", "name", errors);
}

/// A local profile belongs to the type `Localhost` and to no other. Seccomp accepts an empty name.
pub(super) fn seccomp(profile: &Object<'_>, errors: &mut Vec<FieldError>) {
    local_profile(profile, false, errors);
}

/// A local profile belongs to the type `Localhost` and to no other.
pub(super) fn app_armor(profile: &Object<'_>, errors: &mut Vec<FieldError>) {
    local_profile(profile, true, errors);
    if profile.text("localhostProfile").is_some_and(|name| name.len() > APP_ARMOR_PROFILE_MAX) {
        errors.push(profile.error("localhostProfile", message!["at most ", APP_ARMOR_PROFILE_MAX, " bytes"]));
    }
}

fn local_profile(profile: &Object<'_>, needs_name: bool, errors: &mut Vec<FieldError>) {
    let field = "localhostProfile";
    let Some(kind) = profile.text("type") else { return };
    let is_empty = needs_name && profile.text(field).is_some_and(|name| name.trim().is_empty());
    if kind == "Localhost" && (profile.lacks(field) || is_empty) {
        errors.push(profile.error(field, "a value is required beside type Localhost"));
    } else if kind != "Localhost" && profile.get(field).is_some() {
        errors.push(profile.error(field, "must be absent unless the type is Localhost"));
    }
}

/// The text of a GMSA credential spec.
pub(super) fn credential_spec(text: &str) -> Result<(), &'static str> {
    let fits = !text.is_empty() && text.len() <= CREDENTIAL_SPEC_MAX;
    if fits { Ok(()) } else { Err("must not be empty and have at most 64 KiB") }
}

/// `validateWindowsSecurityContextOptions`: `USER` or `DOMAIN\USER`.
pub(super) fn windows_user(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("must not be empty and have no control characters");
    }
    let (domain, user) = match text.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, text),
    };
    if user.contains('\\') {
        return Err("must have at most one backslash");
    }
    if let Some(domain) = domain {
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | ' ' | '_');
        if domain.is_empty() || domain.len() >= WINDOWS_DOMAIN_MAX || !domain.chars().all(is_plain) {
            return Err("must have a NetBIOS or DNS domain before the backslash");
        }
    }
    let forbidden = |character: char| "\"/\\:;|=,+*?<>@[]".contains(character);
    if user.is_empty() || user.len() > WINDOWS_USER_MAX || user.chars().any(forbidden) {
        return Err("must have a user name of at most 104 characters without any of \"/\\:;|=,+*?<>@[]");
    }
    if user.chars().all(|character| matches!(character, '.' | ' ')) {
        return Err("must have a user name that is more than periods and spaces");
    }
    Ok(())
}
