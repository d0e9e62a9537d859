//! Rules for volumes: file modes, projected paths, claims, and the sources of single vendors.

use std::collections::BTreeSet;

use super::object::Object;
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{FieldError, Message, message, names, quote, value, words};

const MOST_MODE: i64 = 0o777;
const DRIVER_MAX: usize = 63;
const TENANT_MAX: usize = 64;
const ACCESS_MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
const ONE_POD: &str = "ReadWriteOncePod";

/// The mode of all files of a volume.
pub(super) fn default_mode(volume: &Object<'_>, errors: &mut Vec<FieldError>) {
    file_mode(volume, "defaultMode", errors);
}

/// The mode of one file.
pub(super) fn mode(file: &Object<'_>, errors: &mut Vec<FieldError>) {
    file_mode(file, "mode", errors);
}

fn file_mode(object: &Object<'_>, field: &str, errors: &mut Vec<FieldError>) {
    let Some(mode) = object.integer(field).filter(|mode| !(0..=MOST_MODE).contains(mode)) else { return };
    let sentence = message![value(mode), " is no file mode; expected 0 to 0777 (511)"];
    let octal = i64::from_str_radix(&mode.to_string(), 8).ok().filter(|octal| (0..=MOST_MODE).contains(octal));
    let hint = octal.map(|octal| {
        let (written, decimal) = (value(format_args!("0{mode}")), value(octal));
        message!["a mode is octal: write ", written, " in YAML, ", decimal, " in JSON"]
    });
    errors.push(FieldError { hint, ..object.error(field, sentence) });
}

/// Files of one projected volume have paths of their own.
pub(super) fn projected_paths(volume: &Object<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    volume.each("sources", |source| {
        for kind in ["secret", "configMap", "downwardAPI"] {
            let Some(source) = source.child(kind) else { continue };
            source.each("items", |item| {
                let Some(path) = item.text("path").filter(|path| !path.is_empty()) else { return };
                if !seen.insert(path.to_owned()) {
                    errors.push(item.error("path", message!["duplicate path ", value(quote(path))]));
                }
            });
        }
    });
}

/// `ValidatePersistentVolumeClaimTemplate`: the claim is named after the pod and the volume.
pub(super) fn claim_metadata(template: &Object<'_>, errors: &mut Vec<FieldError>) {
    let Some(metadata) = template.child("metadata") else { return };
    let may_stand = |name: &str| matches!(name, "labels" | "annotations" | "creationTimestamp");
    let set = metadata.names().filter(|name| !may_stand(name) && metadata.text(name) != Some(""));
    errors.extend(set.map(|name| metadata.error(name, "cannot be set; only labels and annotations")));
}

/// `ValidatePersistentVolumeClaimSpec`
pub(super) fn claim(claim: &Object<'_>, errors: &mut Vec<FieldError>) {
    let modes = claim.items("accessModes");
    for (index, mode) in modes.iter().enumerate() {
        let path = claim.path("accessModes").index(index);
        if let Some(mode) = mode.as_str().filter(|mode| !ACCESS_MODES.contains(mode))
            && !claim.is_sample_at(&path)
        {
            let expected = words(ACCESS_MODES.join(", "));
            errors.push(FieldError::new(path, message!["unknown value ", value(quote(mode)), "; expected ", expected]));
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == ONE_POD) {
        errors.push(claim.error("accessModes", "ReadWriteOncePod must be the only mode"));
    }
    if claim.is_sample("resources") {
        return;
    }
    let resources = claim.child("resources");
    let requests = resources.as_ref().and_then(|resources| resources.child("requests"));
    if resources.as_ref().is_some_and(|resources| resources.is_sample("requests")) {
        return;
    }
    match &requests {
        Some(requests) if !requests.lacks("storage") => {
            if let Some(Ok(size)) = requests.get("storage").map(Quantity::from_json)
                && !size.is_positive()
            {
                errors.push(requests.error("storage", "expected more than 0"));
            }
        }
        _ => errors.push(claim.error("resources", "requests.storage is required")),
    }
}

/// The Secret of some sources must have a name; that of CSI a valid one.
pub(super) fn secret_reference(source: &Object<'_>, errors: &mut Vec<FieldError>) {
    for field in ["secretRef", "nodePublishSecretRef"] {
        let Some(reference) = source.child(field) else { continue };
        let name = reference.text("name").unwrap_or_default();
        if name.is_empty() && !reference.is_sample("name") {
            errors.push(reference.error("name", "a value is required; it must not be empty"));
        } else if !name.is_empty()
            && field == "nodePublishSecretRef"
            && let Err(expected) = names::check_dns_subdomain(name)
        {
            errors.push(reference.error("name", message![value(quote(name)), " is not valid: ", expected]));
        }
    }
}

/// `ValidateCSIDriverName`: a domain, in which upper case is accepted.
pub(super) fn driver(text: &str) -> Result<(), &'static str> {
    names::check_dns_subdomain(&text.to_lowercase())?;
    if text.len() <= DRIVER_MAX { Ok(()) } else { Err("must have at most 63 characters") }
}

/// CHAP needs a Secret.
pub(super) fn iscsi_secret(source: &Object<'_>, errors: &mut Vec<FieldError>) {
    if (source.is_true("chapAuthDiscovery") || source.is_true("chapAuthSession")) && source.lacks("secretRef") {
        errors.push(source.error("secretRef", "a Secret is required for CHAP"));
    }
}

/// The address of an Azure disk follows its kind.
pub(super) fn azure_uri(source: &Object<'_>, errors: &mut Vec<FieldError>) {
    let (Some(address), false) = (source.text("diskURI"), source.is_sample("kind")) else { return };
    let is_managed = source.text("kind") == Some("Managed");
    let prefix = if is_managed { "/subscriptions" } else { "https://" };
    if !address.is_empty() && !address.starts_with(prefix) {
        let sentence = message![value(quote(address)), " is not valid: it must begin with ", words(quote(prefix))];
        errors.push(source.error("diskURI", sentence));
    }
}

/// A unit number goes with names of targets.
pub(super) fn fibre_channel(source: &Object<'_>, errors: &mut Vec<FieldError>) {
    if !source.items("targetWWNs").is_empty() && source.lacks("lun") {
        errors.push(source.error("lun", "a value is required beside targetWWNs"));
    }
}

/// Options of a FlexVolume do not use the domains of Kubernetes.
pub(super) fn flex_options(source: &Object<'_>, errors: &mut Vec<FieldError>) {
    let Some(options) = source.child("options") else { return };
    for key in options.names() {
        let domain = key.split_once('/').map_or("", |(domain, _)| domain).to_lowercase();
        let is_reserved = |reserved: &str| domain == reserved || domain.ends_with(&format!(".{reserved}"));
        if is_reserved("kubernetes.io") || is_reserved("k8s.io") {
            errors.push(options.error(key, "the domains kubernetes.io and k8s.io are reserved"));
        }
    }
}

/// Registries of Quobyte: `host:port`, separated by commas.
pub(super) fn registries(text: &str) -> Result<(), &'static str> {
    let is_pair = |pair: &str| pair.rsplit_once(':').is_some();
    if text.split(',').all(is_pair) { Ok(()) } else { Err("must be host:port, or several separated by commas") }
}

/// A tenant of Quobyte.
pub(super) fn tenant(text: &str) -> Result<(), &'static str> {
    if text.len() <= TENANT_MAX { Ok(()) } else { Err("must have at most 64 characters") }
}

/// A volume has one source. Its name is told, since a template may have many volumes.
pub(super) fn one_source(volume: &Object<'_>, errors: &mut Vec<FieldError>) {
    let is_source = |name: &&str| !matches!(*name, "name" | "share") && !volume.is_sample(name);
    let sources = volume.names().filter(is_source).count();
    if sources > 1 {
        let name: Message = value(quote(volume.text("name").unwrap_or_default()));
        errors.push(FieldError::new(
            volume.own_path(),
            message!["volume ", name, " has ", sources, " sources; expected one"],
        ));
    }
}
