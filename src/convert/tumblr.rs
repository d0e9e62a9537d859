//! Converts a configuration file of tumblr's k8s-sidecar-injector into a template.
//!
//! `env` and `volumeMounts` go to every container, those of the file included, and where a container
//! has a variable of that name or a mount of that volume already it keeps its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::draft::{Draft, cel_string, constant, name_of, unless_mounted, with};
use super::ledger::Ledger;
use super::{Drafts, Hint, SourceFormat};

const REQUEST: &str = "injector.tumblr.com/request";

/// Lists whose items a file takes from the file that it inherits from, unless it has one of that name.
const INHERITED: [&str; 5] = ["containers", "initContainers", "volumes", "env", "volumeMounts"];

/// The configurations of the input, by file: others may inherit from them.
pub(super) struct Bases(BTreeMap<String, Value>);

impl Bases {
    pub(super) fn of(configurations: &[(SourceFormat, Ledger)]) -> Self {
        let is_file = |(format, ledger): &&(SourceFormat, Ledger)| *format == SourceFormat::Tumblr && !ledger.is_text();
        let tumblr = configurations.iter().filter(is_file);
        Self(tumblr.map(|(_, ledger)| (normal(ledger.file()), ledger.value.clone())).collect())
    }
}

pub(super) fn convert(ledger: &mut Ledger, bases: &Bases) -> Result<Drafts, String> {
    let written = ledger.take_name("/name", "web or web:1.2")?;
    let name = match written.split(':').collect::<Vec<_>>().as_slice() {
        [name] | [name, "" | "latest"] => (*name).to_owned(),
        [name, version] => format!("{name}:{version}"),
        _ => return Err(format!("{}: {written:?} is no name, expected NAME or NAME:VERSION", ledger.field("/name"))),
    };
    let mut draft = Draft::new(&name, ledger, "");
    let (lists, account) = inherited(ledger, bases);
    let list = |key: &str| lists.get(key).cloned().unwrap_or_default();
    for (to, key) in [("sidecars", "containers"), ("initContainers", "initContainers")] {
        for (container, source) in list(key) {
            let container = with_own(with_own(container, "env", &list("env")), "volumeMounts", &list("volumeMounts"));
            draft.push(to, constant(container), source);
        }
    }
    list("volumes").into_iter().for_each(|(volume, source)| draft.push("volumes", constant(volume), source));
    draft.plain();
    if draft.spec.contains_key("initContainers") {
        draft.set("placement.initContainerOrder", json!("Last"));
    }
    app(&mut draft, &list("env"), &list("volumeMounts"));
    draft.came_from("app.env", ledger.field("/env"));
    draft.came_from("app.volumeMounts", ledger.field("/volumeMounts"));
    pod(ledger, &mut draft, lists.get("hostAliases"), account);
    if !draft.gives_something() {
        return Err(format!("{}: {written:?} adds nothing that a template can add", ledger.place("")));
    }
    let asks = format!("outrigger.dev/inject: {} on the pod", draft.name);
    let hints = vec![Hint::new(format!("{REQUEST}: {written} on a pod"), asks)];
    Ok(Drafts { drafts: vec![draft], hints })
}

type Lists = BTreeMap<&'static str, Vec<(Value, String)>>;

/// The lists of the file over those of the files that it inherits from, each item with its source; and
/// the nearest service account.
fn inherited(ledger: &mut Ledger, bases: &Bases) -> (Lists, Option<String>) {
    let mut lists = Lists::new();
    let mut chain = Vec::new();
    let mut file = normal(ledger.file());
    let mut value = ledger.value.clone();
    if ledger.is_text() {
        ledger.lose("/inherits", "the injector reads it in files only, not in a ConfigMap", "nothing");
        value = Value::Null;
    }
    while let Some(next) = value.get("inherits").and_then(Value::as_str).filter(|next| !next.is_empty()) {
        let path = beside(&file, next);
        let Some(base) = bases.0.get(&path).filter(|_| path != file && !chain.iter().any(|(one, _)| *one == path))
        else {
            let why = format!("the file {path:?}, from which this one inherits, is not in the input");
            ledger.lose("/inherits", &why, "name both files in one call (-f A -f B)");
            break;
        };
        chain.push((path.clone(), base.clone()));
        (file, value) = (path, base.clone());
    }
    ledger.take_text("/inherits");
    let account = |value: &Value| {
        let account = value.get("serviceAccountName").and_then(Value::as_str);
        account.filter(|account| !account.is_empty()).map(str::to_owned)
    };
    ledger.take_text("/serviceAccountName");
    let account = account(&ledger.value).or_else(|| chain.iter().find_map(|(_, base)| account(base)));
    for (file, base) in chain.into_iter().rev() {
        for key in INHERITED.into_iter().chain(["hostAliases"]) {
            let items = base.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            let found =
                items.into_iter().enumerate().map(|(at, item)| (item, format!("{file}: {key}[{at}]"))).collect();
            merge(lists.entry(key).or_default(), found, key != "hostAliases");
        }
    }
    for key in INHERITED.into_iter().chain(["hostAliases"]) {
        let items = ledger.take_list(&format!("/{key}"));
        let place = |at: usize| ledger.field(&format!("/{key}/{at}"));
        let found = items.into_iter().enumerate().map(|(at, item)| (item, place(at))).collect();
        merge(lists.entry(key).or_default(), found, key != "hostAliases");
    }
    (lists, account)
}

/// The path of a file that is named in another one.
fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((directory, _)) => normal(&format!("{directory}/{name}")),
        None => normal(name),
    }
}

/// The path without `.` and, where that is possible, without `..`.
fn normal(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    format!("{}{}", if is_absolute { "/" } else { "" }, parts.join("/"))
}

fn merge(list: &mut Vec<(Value, String)>, items: Vec<(Value, String)>, by_name: bool) {
    for item in items {
        match list.iter_mut().find(|one| by_name && name_of(&one.0) == name_of(&item.0)) {
            Some(one) => *one = item,
            None => list.push(item),
        }
    }
}

/// Aliases of one address as one, since those of the file are appended to the inherited ones.
fn by_address(aliases: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for alias in aliases {
        let names = |alias: &Value| alias.get("hostnames").and_then(Value::as_array).cloned();
        let is_same = |one: &Value| alias.get("ip").is_some_and(Value::is_string) && one.get("ip") == alias.get("ip");
        let is_plain = alias.as_object().is_some_and(|fields| fields.len() == 2);
        let earlier = merged.iter().position(is_same).filter(|_| is_plain);
        match earlier.and_then(|at| Some((at, names(&merged[at])?, names(&alias)?))) {
            Some((at, mut all, more)) => {
                let new: Vec<Value> = more.into_iter().filter(|name| !all.contains(name)).collect();
                all.extend(new);
                merged[at]["hostnames"] = Value::Array(all);
            }
            None => merged.push(alias),
        }
    }
    merged
}

/// A container of the file with the variables or mounts that every container gets.
fn with_own(container: Value, key: &str, common: &[(Value, String)]) -> Value {
    if container.get(key).is_some_and(|own| !own.is_null() && !own.is_array()) {
        return container;
    }
    let own = container.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let lacks = |item: &&(Value, String)| !own.iter().any(|one| name_of(one) == name_of(&item.0));
    let added: Vec<Value> = common.iter().filter(lacks).map(|(item, _)| item.clone()).collect();
    if added.is_empty() { container } else { with(container, key, own.iter().cloned().chain(added).collect()) }
}

fn app(draft: &mut Draft, env: &[(Value, String)], mounts: &[(Value, String)]) {
    let keep = |(item, _): &(Value, String)| with(constant(item.clone()), "onExisting", json!("Keep"));
    draft.set("app.env", env.iter().map(keep).collect());
    let unless = |(item, _): &(Value, String)| unless_mounted(constant(item.clone()), "name");
    draft.set("app.volumeMounts", mounts.iter().map(unless).collect());
    if draft.spec.contains_key("app") {
        draft.set("app.initContainers", json!(true));
    }
}

fn pod(ledger: &mut Ledger, draft: &mut Draft, aliases: Option<&Vec<(Value, String)>>, account: Option<String>) {
    let aliases: Vec<Value> = aliases.into_iter().flatten().map(|(item, _)| constant(item.clone())).collect();
    draft.set("pod.hostAliases", json!(by_address(aliases)));
    draft.came_from("pod.hostAliases", ledger.field("/hostAliases"));
    if let Some(account) = account {
        let own = "pod.spec.?serviceAccountName.orValue('')";
        let account = cel_string(&account);
        draft.set("pod.serviceAccountName", json!(format!("${{{own} in ['', 'default'] ? {account} : null}}")));
        draft.came_from("pod.serviceAccountName", ledger.field("/serviceAccountName"));
    }
    for key in ["/hostNetwork", "/hostPID"] {
        if ledger.value.pointer(key) == Some(&json!(false)) {
            // The default.
            ledger.account(key);
        }
        if ledger.value.pointer(key) == Some(&json!(true)) {
            let why = "a template gives no pod access to its node's network or processes";
            ledger.lose(key, why, "set it in the pods that need it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inherited_file_is_found_beside_its_heir() {
        for (file, name, expected) in [
            ("conf/a.yaml", "b.yaml", "conf/b.yaml"),
            ("a.yaml", "./b.yaml", "b.yaml"),
            ("/x/conf/a.yaml", "../base/b.yaml", "/x/base/b.yaml"),
            ("./conf//x/../a.yaml", "b.yaml", "conf/b.yaml"),
            ("../a.yaml", "./../b.yaml", "../../b.yaml"),
        ] {
            assert_eq!(beside(&normal(file), name), expected);
        }
    }

    #[test]
    fn aliases_of_one_address_become_one() {
        let alias = |ip: &str, names: &[&str]| json!({"ip": ip, "hostnames": names});
        let aliases = vec![alias("1.1.1.1", &["a"]), alias("2.2.2.2", &["b"]), alias("1.1.1.1", &["c", "a"])];
        assert_eq!(by_address(aliases), [alias("1.1.1.1", &["a", "c"]), alias("2.2.2.2", &["b"])]);
        let others =
            vec![alias("1.1.1.1", &["a"]), json!({"ip": "1.1.1.1", "x": 1}), json!({"ip": "1.1.1.1"}), json!(5)];
        assert_eq!(by_address(others.clone()), others);
    }
}
