//! Finds the configurations in a document: the document itself, or texts in a ConfigMap or in the
//! values of a chart.

use serde_json::Value;

use super::detect::{self, Unknown};
use super::ledger::{Ledger, child};
use super::{Lost, ReadYaml, SourceFormat};

const FORMATS: &str = "istio, tumblr, morvencao, ricoberger, sidecarset or podpreset";

type Found = Vec<(SourceFormat, Ledger)>;

/// The configurations of a document with what stands around them and is lost, or why there is none.
pub(super) fn configurations(
    mut ledger: Ledger,
    from: Option<SourceFormat>,
    read: ReadYaml<'_>,
) -> Result<(Found, Vec<Lost>), String> {
    if ledger.text("/kind") == Some("ConfigMap") {
        return of_config_map(ledger, from, read);
    }
    // The values of ricoberger's chart.
    if ledger.text("/config").is_some() && ledger.text("/kind").is_none() {
        let inner = texts(&mut ledger, "/config", from.or(Some(SourceFormat::Ricoberger)), read)?;
        return Ok((inner, ledger.finish()));
    }
    let format = recognise(&ledger, from)?;
    Ok((vec![(format, ledger)], Vec::new()))
}

fn of_config_map(
    mut ledger: Ledger,
    from: Option<SourceFormat>,
    read: ReadYaml<'_>,
) -> Result<(Found, Vec<Lost>), String> {
    ledger.account_object();
    let keys = ledger.keys("/data");
    if keys.is_empty() {
        return Err(format!(
            "{}: the ConfigMap has no data, expected the configuration of an injector",
            ledger.place("")
        ));
    }
    let (mut found, mut others, mut broken) = (Found::new(), Vec::new(), Vec::new());
    for key in keys {
        let pointer = child("/data", &key);
        let of_key = match key.as_str() {
            "sidecarconfig.yaml" => Some(SourceFormat::Morvencao),
            // The ConfigMap of Istio has the values of its chart beside the configuration.
            "values" => {
                ledger.lose(&pointer, "the values of Istio's chart are not read", "templates that use them say so");
                continue;
            }
            _ => None,
        };
        match texts(&mut ledger, &pointer, from.or(of_key), read) {
            Ok(of_text) => found.extend(of_text),
            Err(Refused::Other(problem)) => others.push((pointer, problem, None)),
            // Beside a configuration it is a file of another program, unless it says that it is YAML.
            Err(Refused::NoYaml { problem, short }) if of_key.is_none() && !is_called_yaml(&key) => {
                others.push((pointer, problem, Some(short)));
            }
            Err(Refused::NoYaml { problem, .. } | Refused::Broken(problem)) => broken.push(problem),
        }
    }
    if !broken.is_empty() {
        return Err(broken.join("\n"));
    }
    if found.is_empty() && others.is_empty() {
        return Err(format!("{}: expected the configuration of an injector, found none", ledger.field("/data")));
    }
    if found.is_empty() {
        return Err(others.into_iter().map(|(_, problem, _)| problem).collect::<Vec<_>>().join("\n"));
    }
    for (pointer, _, of_parser) in others {
        match of_parser {
            Some(problem) => {
                let why = format!("it cannot be read as YAML: {problem}");
                ledger.lose(&pointer, &why, "correct it if it is a configuration, or leave it where it is read");
            }
            None => ledger.lose(&pointer, "it is no configuration of an injector", "leave it where it is read"),
        }
    }
    Ok((found, ledger.finish()))
}

/// Whether the name of a file says that it is YAML or JSON.
fn is_called_yaml(key: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| key.ends_with(ending))
}

/// Why a text is not taken.
enum Refused {
    /// It cannot be read as YAML.
    NoYaml {
        problem: String,
        /// The same after the place of the text.
        short: String,
    },
    /// It is wrong, or could be two things.
    Broken(String),
    /// It is something else.
    Other(String),
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoYaml { problem, .. } | Refused::Broken(problem) | Refused::Other(problem) => problem,
        }
    }
}

/// The configurations in the text of a field.
fn texts(ledger: &mut Ledger, pointer: &str, from: Option<SourceFormat>, read: ReadYaml<'_>) -> Result<Found, Refused> {
    let field = ledger.field(pointer);
    let Some(text) = ledger.text(pointer).map(str::to_owned) else {
        return Err(Refused::Other(format!("{field}: expected a text, the configuration of an injector")));
    };
    let documents = read(&text).map_err(|(line, problem)| {
        let line = ledger.line_of_text(pointer, line);
        let short = format!("line {line}: {problem}");
        Refused::NoYaml { problem: format!("{}:{line}: {}: {problem}", ledger.file(), ledger.path(pointer)), short }
    })?;
    if documents.is_empty() {
        return Err(Refused::Other(format!("{field}: the text is empty, expected the configuration of an injector")));
    }
    let mut found = Found::new();
    for (value, lines) in documents {
        let inner = ledger.inner(pointer, value, lines);
        found.push((recognise(&inner, from)?, inner));
    }
    Ok(found)
}

fn recognise(ledger: &Ledger, from: Option<SourceFormat>) -> Result<SourceFormat, Refused> {
    let place = ledger.whole();
    if ledger.is_list() && !ledger.list("/items").is_empty() {
        // Lists of documents have been opened.
        return Err(Refused::Broken(format!(
            "{place}: a list inside of a text is not read, expected one configuration"
        )));
    }
    if ledger.is_list() {
        return Err(Refused::Broken(format!("{place}: the list has no items, expected configurations of an injector")));
    }
    if !ledger.value.is_object() {
        return Err(Refused::Other(format!("{place}: expected a map, the configuration of an injector")));
    }
    let kind = ledger.value.get("kind").and_then(Value::as_str);
    match (detect::format(&ledger.value), from) {
        (Ok(found), None) => Ok(found),
        (_, Some(from)) => {
            let of_kind = match from {
                SourceFormat::SidecarSet => Some("SidecarSet"),
                SourceFormat::PodPreset => Some("PodPreset"),
                _ => None,
            };
            match (of_kind, kind) {
                (Some(expected), found) if found != Some(expected) => {
                    let found = found.unwrap_or("");
                    let problem = format!("{place}: kind {found:?} is no {expected}; leave out --from, or correct it");
                    Err(Refused::Broken(problem))
                }
                _ => Ok(from),
            }
        }
        (Err(Unknown::Ambiguous), None) => Err(Refused::Broken(format!(
            "{place}: containers without a name could be a configuration of morvencao's or of ricoberger's injector; \
             say which by --from morvencao or --from ricoberger"
        ))),
        (Err(Unknown::Nothing), None) => Err(Refused::Other(match kind {
            Some(kind) => format!(
                "{place}: kind {kind:?} is no configuration of an injector, expected SidecarSet, PodPreset, ConfigMap or \
                 IstioOperator; remove it from the input"
            ),
            None => format!("{place}: no injector is known that reads this, expected {FORMATS}; --from says which"),
        })),
    }
}
