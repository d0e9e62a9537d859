//! Reads the values of an Istio template: known actions become expressions, and what contains others is lost.
//!
//! Invariant: a part is lost together with what would mean something else without it: a variable with its
//! value, a mount with its path, a command with each of its arguments, a mount with its volume.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::draft::name_of;
use super::go_template::{GoTemplate, Scalar};
use super::ledger::{Ledger, child};

pub(super) const INSTEAD: &str = "write it with a parameter, `when` or `forEach`";

/// Lists of the pod whose items mean the same without one another.
const LISTS_OF_POD: [&str; 10] = [
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "imagePullSecrets",
    "hostAliases",
    "tolerations",
    "topologySpreadConstraints",
    "readinessGates",
    "resourceClaims",
];

/// The same of a container.
const LISTS_OF_CONTAINER: [&str; 5] = ["env", "envFrom", "volumeMounts", "volumeDevices", "ports"];

/// Why a part is lost, unless that is listed already.
struct Loss {
    why: String,
    instead: &'static str,
    is_listed: bool,
}

impl Loss {
    fn new(why: String) -> Self {
        Self { why, instead: INSTEAD, is_listed: false }
    }

    /// Of a directive of strategic merge patches, where `null` deletes too.
    fn of_directive(directive: &str) -> Self {
        let why = format!("{directive} is not read: a template deletes, replaces and sorts nothing");
        Self { why, instead: "change it in the pods that need it", is_listed: false }
    }
}

/// The value with the known actions as expressions, without what contains others.
pub(super) fn expressions(ledger: &mut Ledger, go: &GoTemplate) -> Value {
    let value = ledger.value.clone();
    let mut value = known(ledger, go, &value, "").unwrap_or_else(|loss| {
        lose(ledger, "", loss);
        Value::Null
    });
    lose_mounts(ledger, &mut value);
    value
}

/// The part, in which null stands for an item that is lost; or why all of the part is lost.
fn known(ledger: &mut Ledger, go: &GoTemplate, value: &Value, pointer: &str) -> Result<Value, Loss> {
    match value {
        Value::String(text) => match go.scalar(text) {
            Scalar::Text(text) => Ok(Value::String(text)),
            Scalar::Unknown(why) => Err(Loss::new(why)),
            Scalar::Hole(why) => Err(Loss { is_listed: true, ..Loss::new(why) }),
        },
        Value::Array(items) => {
            let stand_alone = stand_alone(pointer);
            let mut known_items = Vec::new();
            for (at, item) in items.iter().enumerate() {
                let place = format!("{pointer}/{at}");
                match known(ledger, go, item, &place) {
                    Ok(item) => known_items.push(item),
                    Err(loss) if stand_alone => {
                        lose(ledger, &place, loss);
                        known_items.push(Value::Null);
                    }
                    Err(loss) => return Err(Loss { is_listed: false, ..loss }),
                }
            }
            Ok(Value::Array(known_items))
        }
        Value::Object(map) => members(ledger, go, map, pointer),
        other => Ok(other.clone()),
    }
}

fn members(ledger: &mut Ledger, go: &GoTemplate, map: &Map<String, Value>, pointer: &str) -> Result<Value, Loss> {
    if let Some(loss) = directive(map) {
        return Err(loss);
    }
    let mut known_members = Map::new();
    let mut hole = None;
    for (key, member) in map {
        let at = child(pointer, key);
        let found = match go.scalar(key) {
            _ if key == "$patch" => {
                ledger.account(&at);
                continue;
            }
            Scalar::Text(text) if text.replace("$${", "${") == *key => known(ledger, go, member, &at),
            Scalar::Hole(why) => Err(Loss { is_listed: true, ..Loss::new(why) }),
            Scalar::Text(_) | Scalar::Unknown(_) => Err(Loss::new("a key is no expression".to_owned())),
        };
        match found {
            Ok(Value::Null)
                if member.is_null() && ["/spec", "/metadata/labels", "/metadata/annotations"].contains(&pointer) =>
            {
                lose(ledger, &at, Loss::of_directive("null"));
            }
            Ok(Value::Null) => {}
            Ok(member) => _ = known_members.insert(key.clone(), member),
            Err(loss) if stand_alone(pointer) && !is_of_all(pointer, key) => {
                hole = loss.is_listed.then(|| loss.why.clone()).or(hole);
                if loss.is_listed || go.written(key) == *key {
                    lose(ledger, &at, loss);
                } else {
                    ledger.account(&at);
                    ledger.lose_at(ledger.line(&at), go.written(&ledger.path(&at)), &loss.why, loss.instead);
                }
            }
            Err(loss) => return Err(Loss { is_listed: false, ..loss }),
        }
    }
    match hole {
        // The lines that are left out may have had the name or the image.
        Some(why) if is_container(pointer) && ["name", "image"].iter().any(|key| !known_members.contains_key(*key)) => {
            Err(Loss::new(why))
        }
        Some(_) if known_members.is_empty() => Ok(Value::Null),
        _ => Ok(Value::Object(known_members)),
    }
}

fn lose(ledger: &mut Ledger, pointer: &str, loss: Loss) {
    if loss.is_listed {
        ledger.account(pointer);
    } else {
        ledger.lose(pointer, &loss.why, loss.instead);
    }
}

/// A directive of strategic merge patches, which says what to do with the pod's own part.
fn directive(map: &Map<String, Value>) -> Option<Loss> {
    let is_directive = |key: &str, value: &Value| match key {
        // The default.
        "$patch" => value != "merge",
        "$retainKeys" => true,
        _ => key.starts_with("$setElementOrder/") || key.starts_with("$deleteFromPrimitiveList/"),
    };
    let (key, value) = map.iter().find(|(key, value)| is_directive(key, value))?;
    let key = value.as_str().map_or_else(|| key.clone(), |value| format!("{key}: {value}"));
    Some(Loss::of_directive(&key))
}

/// Whether the members or items of this part mean the same without one another.
fn stand_alone(pointer: &str) -> bool {
    let tokens: Vec<&str> = pointer.split('/').skip(1).collect();
    match tokens.as_slice() {
        [] | ["metadata" | "spec"] | ["metadata", "labels" | "annotations"] | ["spec", "securityContext"] => true,
        ["spec", list] => LISTS_OF_POD.contains(list),
        [..] if is_container(pointer) => true,
        ["spec", _, _, "resources" | "securityContext"] | ["spec", _, _, "resources", "limits" | "requests"] => true,
        ["spec", "containers" | "initContainers" | "ephemeralContainers", _, list] => LISTS_OF_CONTAINER.contains(list),
        _ => false,
    }
}

fn is_container(pointer: &str) -> bool {
    let tokens: Vec<&str> = pointer.split('/').skip(1).collect();
    matches!(tokens.as_slice(), ["spec", "containers" | "initContainers" | "ephemeralContainers", _])
}

/// Whether a container is another one without this field.
fn is_of_all(pointer: &str, key: &str) -> bool {
    is_container(pointer) && ["name", "image", "restartPolicy"].contains(&key)
}

/// Mounts of volumes that are lost.
fn lose_mounts(ledger: &mut Ledger, value: &mut Value) {
    let volumes = value.pointer("/spec/volumes").and_then(Value::as_array);
    let lost: BTreeSet<String> = volumes.map_or_else(BTreeSet::new, |volumes| {
        let is_lost = |(volume, known): &(&Value, &Value)| known.is_null() && !name_of(volume).is_empty();
        let both = ledger.list("/spec/volumes").iter().zip(volumes);
        both.filter(is_lost).map(|(volume, _)| name_of(volume).to_owned()).collect()
    });
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = value.pointer_mut(&format!("/spec/{list}")) else { continue };
        for (at, container) in containers.iter_mut().enumerate() {
            for key in ["volumeMounts", "volumeDevices"] {
                let Some(Value::Array(mounts)) = container.get_mut(key) else { continue };
                for (index, mount) in mounts.iter_mut().enumerate().filter(|(_, mount)| lost.contains(name_of(mount))) {
                    let pointer = format!("/spec/{list}/{at}/{key}/{index}");
                    ledger.lose(&pointer, "its volume is not carried over", "add the volume to spec.volumes");
                    *mount = Value::Null;
                }
            }
        }
    }
}
