//! Rules for the resources of a container.

use serde_json::Value;

use super::object::Object;
use crate::inject::text::names;
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{FieldError, message, quote, value};

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";
/// Domain of resources that Kubernetes itself counts.
const NATIVE_DOMAIN: &str = "kubernetes.io/";

/// `ValidateContainerResourceRequirements`
pub(super) fn requirements(requirements: &Object<'_>, errors: &mut Vec<FieldError>) {
    let (limits, requests) = (requirements.child("limits"), requirements.child("requests"));
    for amounts in [&limits, &requests].into_iter().flatten() {
        amounts.names().for_each(|name| amount(amounts, name, errors));
    }
    if let Some(requests) = &requests {
        let knows_limits = !requirements.is_sample("limits");
        requests.names().for_each(|name| request(requests, limits.as_ref(), knows_limits, name, errors));
    }
    let has = |wanted: &dyn Fn(&str) -> bool| {
        [&limits, &requests].into_iter().flatten().any(|amounts| amounts.names().any(wanted))
    };
    let is_sampled = requirements.is_sample("limits") || requirements.is_sample("requests");
    if has(&|name| name.starts_with(HUGE_PAGES)) && !has(&|name| matches!(name, "cpu" | "memory")) && !is_sampled {
        errors.push(FieldError::new(requirements.own_path(), "huge pages need cpu or memory beside them"));
    }
}

/// `validateContainerResourceName`, `validateResourceQuantityValue`
fn amount(amounts: &Object<'_>, name: &str, errors: &mut Vec<FieldError>) {
    if let Err(expected) = check_name(name) {
        errors.push(amounts.error(name, message![value(quote(name)), " is no resource of a container: ", expected]));
    }
    let Some(Ok(quantity)) = amounts.get(name).map(Quantity::from_json) else { return };
    if quantity.is_negative() {
        errors.push(amounts.error(name, message![shown(amounts, name), " is negative; expected 0 or more"]));
    } else if is_extended(name) && !quantity.is_multiple_of(Quantity::ONE) {
        errors.push(amounts.error(name, message![shown(amounts, name), " is no integer"]));
    } else if let Some(size) = name.strip_prefix(HUGE_PAGES)
        && !Quantity::parse(size).is_ok_and(|size| quantity.is_multiple_of(size))
    {
        errors.push(amounts.error(name, message![shown(amounts, name), " is no multiple of the page size"]));
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    names::check_qualified_name(name)?;
    let expected = "expected cpu, memory, ephemeral-storage, hugepages-SIZE or a name with a domain";
    if name.contains('/') {
        let is_named = !is_extended(name) || names::check_qualified_name(&format!("requests.{name}")).is_ok();
        return if is_named && !name.starts_with("requests.") {
            Ok(())
        } else {
            Err("it must not begin with \"requests.\"")
        };
    }
    if STANDARD.contains(&name) || name.starts_with(HUGE_PAGES) { Ok(()) } else { Err(expected) }
}

/// `IsExtendedResourceName`, but for names that are wrong
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains(NATIVE_DOMAIN)
}

/// A request is at most its limit, and equal to it where Kubernetes does not overcommit.
fn request(
    requests: &Object<'_>,
    limits: Option<&Object<'_>>,
    knows_limits: bool,
    name: &str,
    errors: &mut Vec<FieldError>,
) {
    let may_differ = !is_extended(name) && !name.starts_with(HUGE_PAGES);
    let Some(Ok(request)) = requests.get(name).map(Quantity::from_json) else { return };
    let limit = limits.and_then(|limits| limits.get(name));
    match limit.map(Quantity::from_json) {
        Some(Ok(limit)) if may_differ && request > limit => {
            let sentence = message![
                shown(requests, name),
                " is more than the limit of ",
                limits.map(|limits| shown(limits, name)).unwrap_or_default(),
                "; raise the limit or lower the request",
            ];
            errors.push(requests.error(name, sentence));
        }
        Some(Ok(limit)) if !may_differ && request != limit => {
            errors.push(requests.error(name, "request and limit of this resource must be equal"));
        }
        None if !may_differ && knows_limits && limits.is_none_or(|limits| limits.lacks(name)) => {
            errors.push(requests.error(name, "this resource needs a limit, equal to the request"));
        }
        _ => {}
    }
}

fn shown(amounts: &Object<'_>, name: &str) -> crate::inject::text::Message {
    let text = match amounts.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    value(quote(&text))
}

/// The size of an emptyDir is not negative.
pub(super) fn size_limit(directory: &Object<'_>, errors: &mut Vec<FieldError>) {
    if let Some(Ok(size)) = directory.get("sizeLimit").map(Quantity::from_json)
        && size.is_negative()
    {
        errors.push(directory.error("sizeLimit", message![shown(directory, "sizeLimit"), " is negative"]));
    }
}
