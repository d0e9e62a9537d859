//! Implements `fromApp`: copies mounts and variables of the app's first container to sidecars.
//!
//! What is copied means the same in the sidecar: the variables that it reads come with it, and a
//! field that refers to its own container then names the app's.
//! Invariant: a sidecar keeps its own items.

use crate::inject::merge::equal::{self, is_token_mount};
use crate::inject::overlay::Overlay;
use crate::inject::schema::merge_keys;
use crate::inject::template::Template;
use crate::inject::text::json::{at, items, text};
use crate::inject::text::references::references;
use crate::inject::text::{Message, message, quote, value, words};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Copies the volume mounts and variables that `fromApp` lists from the container `app` to all
/// sidecars. Returns why a sidecar could not start with them.
pub(super) fn copy_to_sidecars(
    template: &Template,
    app: &Value,
    overlay: &mut Overlay,
    warnings: &mut Vec<String>,
) -> Vec<Message> {
    let mut copies = Copies::new(app);
    if template.spec.from_app.volume_mounts {
        copies.add_mounts();
    }
    copies.add_variables(&template.spec.from_app.env);
    copies.add_what_variables_read();
    for sidecar in overlay.sidecars_mut() {
        copies.copy_to(sidecar);
    }
    let of_template = words(quote(&template.name));
    let warning = |warning: Message| message!["template ", of_template.clone(), ": ", warning].to_string();
    warnings.extend(copies.warnings.into_iter().map(warning));
    copies.problems
}

/// What is copied from a container of the app.
struct Copies<'a> {
    app: &'a Value,
    env: &'a [Value],
    mounts: Vec<&'a Value>,
    /// Positions in `env`: those of the copied variables.
    variables: BTreeSet<usize>,
    /// Positions in `env` of each name, in ascending order.
    positions: BTreeMap<&'a str, Vec<usize>>,
    /// Names that copied values and mounts read.
    read: BTreeSet<&'a str>,
    warnings: Vec<Message>,
    problems: Vec<Message>,
}

impl<'a> Copies<'a> {
    fn new(app: &'a Value) -> Self {
        let env = items(app, "env");
        let mut positions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (position, variable) in env.iter().enumerate() {
            positions.entry(text(variable, "name")).or_default().push(position);
        }
        Self {
            app,
            env,
            mounts: Vec::new(),
            variables: BTreeSet::new(),
            positions,
            read: BTreeSet::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn name(&self) -> Message {
        value(quote(text(self.app, "name")))
    }

    /// Whether the container may have variables that its `env` does not list.
    fn has_unknown_variables(&self) -> bool {
        !items(self.app, "envFrom").is_empty()
    }

    /// The last definition of a variable before this position.
    fn definition(&self, name: &str, before: usize) -> Option<usize> {
        let positions = self.positions.get(name)?;
        positions[..positions.partition_point(|position| *position < before)].last().copied()
    }

    fn add_mounts(&mut self) {
        self.mounts = items(self.app, "volumeMounts").iter().filter(|mount| !is_token_mount(mount)).collect();
        for mount in self.mounts.clone() {
            for name in references(text(mount, "subPathExpr")) {
                self.read.insert(name);
                match self.definition(name, self.env.len()) {
                    Some(position) => drop(self.variables.insert(position)),
                    None if self.has_unknown_variables() => self.problems.push(message![
                        "fromApp.volumeMounts: the mount at ",
                        value(quote(text(mount, "mountPath"))),
                        " of container ",
                        self.name(),
                        " reads the variable ",
                        value(quote(name)),
                        ", which its env does not define; fromApp does not copy envFrom, so the sidecars could not \
                         start; define the variable in env",
                    ]),
                    // The app's container has the same problem.
                    None => {}
                }
            }
        }
    }

    fn add_variables(&mut self, names: &[String]) {
        for name in names {
            match self.definition(name, self.env.len()) {
                Some(position) => drop(self.variables.insert(position)),
                None => self.warnings.push(message![
                    "container ",
                    self.name(),
                    " has no environment variable ",
                    value(quote(name)),
                    ", which fromApp.env names",
                ]),
            }
        }
    }

    /// Adds the variables that the copied ones read. Each of these stands before its reader, so one
    /// pass from the last to the first finds all.
    fn add_what_variables_read(&mut self) {
        let mut next = self.variables.last().copied();
        while let Some(position) = next {
            let variable = &self.env[position];
            for name in references(text(variable, "value")) {
                match self.definition(name, position) {
                    Some(before) => {
                        self.read.insert(name);
                        self.variables.insert(before);
                    }
                    None if self.has_unknown_variables() => self.warnings.push(message![
                        "container ",
                        self.name(),
                        ": fromApp copies the variable ",
                        value(quote(text(variable, "name"))),
                        ", which reads ",
                        value(quote(name)),
                        "; no variable before it has this name, and fromApp does not copy envFrom, so it may stay literal \
                         text in the sidecars",
                    ]),
                    None => {}
                }
            }
            next = self.variables.range(..position).next_back().copied();
        }
        self.warn_of_redefined();
    }

    /// Warns if two copied variables have one name: the sidecar gets one of them.
    fn warn_of_redefined(&mut self) {
        let mut names = BTreeSet::new();
        let copied = self.variables.iter().map(|position| text(&self.env[*position], "name"));
        let twice: Vec<&str> = copied.filter(|name| !names.insert(*name)).collect();
        for name in twice {
            let name = value(quote(name));
            let why = " twice, and a variable that fromApp copies reads the first; the sidecars get only the first";
            self.warnings.push(message!["container ", self.name(), " defines ", name, why]);
        }
    }

    fn copy_to(&mut self, sidecar: &mut Value) {
        let name = quote(text(sidecar, "name"));
        for variable in items(sidecar, "env") {
            let own = text(variable, "name");
            let last = self.definition(own, self.env.len()).filter(|position| self.variables.contains(position));
            if let (true, Some(position)) = (self.read.contains(own), last)
                && !equal::same(variable, &self.env[position])
            {
                self.warnings.push(message![
                    "sidecar ",
                    value(&name),
                    " has a variable ",
                    value(quote(own)),
                    " of its own, which the values and mounts that fromApp copies from container ",
                    self.name(),
                    " then read",
                ]);
            }
        }
        let is_privileged = at(sidecar, &["securityContext", "privileged"]) == Some(&Value::Bool(true));
        let mounts: Vec<Value> = self.mounts.iter().map(|mount| copied_mount(mount, is_privileged)).collect();
        for (mount, _) in self.mounts.iter().zip(&mounts).filter(|(mount, copied)| **mount != *copied) {
            let path = value(quote(text(mount, "mountPath")));
            let why =
                "; only privileged containers may have mountPropagation Bidirectional, so it gets HostToContainer";
            let warning = message!["sidecar ", value(&name), " gets the app's mount at ", path, why];
            self.warnings.push(warning);
        }
        let env: Vec<Value> =
            self.variables.iter().map(|position| copied_variable(&self.env[*position], self.app)).collect();
        add_missing(sidecar, "volumeMounts", mounts);
        add_missing(sidecar, "env", env);
    }
}

/// The mount as the sidecar can have it.
fn copied_mount(mount: &Value, is_privileged: bool) -> Value {
    let mut mount = mount.clone();
    if !is_privileged && text(&mount, "mountPropagation") == "Bidirectional" {
        mount["mountPropagation"] = json!("HostToContainer");
    }
    mount
}

/// The variable with the app's value: a reference to resources without a container's name means the
/// container that has the variable.
fn copied_variable(variable: &Value, app: &Value) -> Value {
    let mut variable = variable.clone();
    if let Some(Value::Object(reference)) = variable.pointer_mut("/valueFrom/resourceFieldRef") {
        reference.entry("containerName").or_insert_with(|| json!(text(app, "name")));
    }
    variable
}

/// Adds the items whose merge key the container does not have.
fn add_missing(container: &mut Value, field: &str, wanted: Vec<Value>) {
    let (Some(key), Some(container)) = (merge_keys::of(field), container.as_object_mut()) else { return };
    if wanted.is_empty() {
        return;
    }
    let list = container.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else { return };
    let mut own: BTreeSet<String> = list.iter().map(|item| key.value(item).into_owned()).collect();
    list.extend(wanted.into_iter().filter(|item| own.insert(key.value(item).into_owned())));
}
