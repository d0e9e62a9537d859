//! JSON Schemas as a tree that is walked beside a value: field names, types, required fields,
//! integer bounds, quantities.
//!
//! The values of Kubernetes objects have rules beyond their types, which [`rules`] has. Fields of type
//! `Any` are not checked here.
//!
//! Invariants: `null` means absent, as in Kubernetes; references are resolved once, so that a walk
//! does no string work; every error of a value is listed.

pub(crate) mod merge_keys;
pub(crate) mod merge_path;

mod build;
mod check;
pub(super) mod recorded;
pub(crate) mod rules;

use std::sync::LazyLock;

#[cfg(test)]
use schemars::JsonSchema;

pub(crate) use check::{Expressions, Findings, UnknownField, check, has_expression};

/// The type that a schema requires of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaType {
    /// Named fields.
    Object,
    /// Free keys with values of one kind.
    Map,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// Text or an integer, such as a probe's port.
    IntOrString,
    Quantity,
    /// Not described, or one of several.
    Any,
}

/// A schema with all its references resolved.
#[derive(Debug)]
pub(crate) struct Schema {
    nodes: Vec<SchemaNode>,
    root: usize,
}

#[derive(Clone, Debug)]
struct SchemaNode {
    kind: SchemaType,
    /// Whether fields that the schema does not name are errors.
    strict: bool,
    /// Sorted by name.
    fields: Vec<(Box<str>, usize)>,
    required: Vec<Box<str>>,
    /// Elements of the list, or values of the map.
    item: Option<usize>,
    /// Smallest and largest integer.
    bounds: (i128, i128),
    /// Rules for the values of an object.
    rules: &'static [rules::Rule],
}

/// Whether a template or an object in it has a field of this name anywhere.
#[cfg(feature = "runtime")]
pub(crate) fn is_field(name: &str) -> bool {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name && recorded::TEMPLATE.contains(&format!("\"{name}\":"))
}

impl SchemaNode {
    const fn of(kind: SchemaType) -> Self {
        Self {
            kind,
            strict: false,
            fields: Vec::new(),
            required: Vec::new(),
            item: None,
            bounds: (i128::MIN, i128::MAX),
            rules: &[],
        }
    }
}

/// A position in a schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaRef<'a> {
    schema: &'a Schema,
    node: &'a SchemaNode,
}

impl Schema {
    /// The schema of a type.
    #[cfg(test)]
    pub(crate) fn of<T: JsonSchema>() -> Self {
        build::build(&recorded::root_schema_of::<T>())
    }

    /// Reads a root schema from JSON; its references point into its own `$defs`. A text that is not
    /// JSON would accept every value, so a test parses each text that is passed here.
    fn read(text: &str) -> Self {
        build::build(&serde_json::from_str(text).unwrap_or_default())
    }

    pub(crate) fn root(&self) -> SchemaRef<'_> {
        self.at(self.root)
    }

    fn at(&self, node: usize) -> SchemaRef<'_> {
        SchemaRef { schema: self, node: &self.nodes[node] }
    }
}

impl<'a> SchemaRef<'a> {
    pub(crate) const fn kind(self) -> SchemaType {
        self.node.kind
    }

    /// The schema of a member: of an object's named field, or of any key of a map.
    pub(crate) fn child(self, key: &str) -> Option<Self> {
        let fields = &self.node.fields;
        match fields.binary_search_by(|(name, _)| (**name).cmp(key)) {
            Ok(found) => Some(self.schema.at(fields[found].1)),
            Err(_) if self.node.kind == SchemaType::Map => self.item(),
            Err(_) => None,
        }
    }

    /// The schema of a list's elements, or of a map's values.
    pub(crate) fn item(self) -> Option<Self> {
        self.node.item.map(|node| self.schema.at(node))
    }

    /// Whether both are one position in one schema.
    pub(crate) fn is_same(self, other: Self) -> bool {
        std::ptr::eq(self.node, other.node)
    }

    /// Names of the fields of an object, sorted.
    pub(crate) fn field_names(self) -> impl Iterator<Item = &'a str> {
        self.node.fields.iter().map(|(name, _)| &**name)
    }

    /// Names of the fields that an object must have.
    pub(crate) fn required(self) -> impl Iterator<Item = &'a str> {
        self.node.required.iter().map(|name| &**name)
    }

    /// Rules for the values of an object.
    fn rules(self) -> &'static [rules::Rule] {
        self.node.rules
    }

    /// Whether integers, numbers and booleans have to be written as text here: environment values,
    /// arguments, labels, quantities. Not where the schema takes an integer too or says nothing.
    pub(crate) const fn expects_string(self) -> bool {
        matches!(self.node.kind, SchemaType::String | SchemaType::Quantity)
    }

    /// Whether a field that the schema does not name is an error, and not merely unknown to this
    /// build.
    pub(crate) const fn is_strict(self) -> bool {
        self.node.strict
    }
}

static TEMPLATE: LazyLock<Schema> = LazyLock::new(|| Schema::read(recorded::TEMPLATE));
static VARIABLES: LazyLock<Schema> = LazyLock::new(|| Schema::read(recorded::VARIABLES));

/// A template document.
pub(crate) fn template() -> SchemaRef<'static> {
    TEMPLATE.root()
}

/// The schema of a template document as JSON, with the descriptions of our own fields.
pub(crate) const fn template_text() -> &'static str {
    recorded::TEMPLATE
}

/// The type of quantities.
pub(crate) const QUANTITY: &str = build::QUANTITY;

/// Whether fields of a type of Kubernetes that this build does not know are errors.
pub(crate) fn is_strict_type(name: &str) -> bool {
    build::STRICT.contains(&name)
}

/// The variables of expressions but for `params`: an object with a field for each.
pub(crate) fn variables() -> SchemaRef<'static> {
    VARIABLES.root()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `spec` of a core/v1 Pod.
    pub(super) fn pod_spec() -> SchemaRef<'static> {
        variables().child("pod").and_then(|pod| pod.child("spec")).unwrap_or_else(|| ANY.root())
    }

    /// A core/v1 Container.
    pub(super) fn container() -> SchemaRef<'static> {
        element(pod_spec(), "containers")
    }

    /// A core/v1 Volume.
    pub(super) fn volume() -> SchemaRef<'static> {
        element(pod_spec(), "volumes")
    }

    /// A core/v1 EnvVar.
    fn env_var() -> SchemaRef<'static> {
        element(container(), "env")
    }

    /// A core/v1 EnvFromSource.
    fn env_from_source() -> SchemaRef<'static> {
        element(container(), "envFrom")
    }

    /// A core/v1 VolumeMount.
    fn volume_mount() -> SchemaRef<'static> {
        element(container(), "volumeMounts")
    }

    /// Elements of a list of the pod's schema. A test walks each of them; if the field went away,
    /// nothing would be checked.
    fn element(parent: SchemaRef<'static>, list: &str) -> SchemaRef<'static> {
        parent.child(list).and_then(SchemaRef::item).unwrap_or_else(|| ANY.root())
    }

    static ANY: LazyLock<Schema> = LazyLock::new(|| Schema { nodes: vec![SchemaNode::of(SchemaType::Any)], root: 0 });

    fn at(root: SchemaRef<'static>, path: &str) -> SchemaRef<'static> {
        path.split('.').fold(root, |schema, step| match step {
            "[]" => schema.item().unwrap_or_else(|| panic!("{path}")),
            name => schema.child(name).unwrap_or_else(|| panic!("{path}")),
        })
    }

    #[test]
    fn fields_of_pods_have_their_kubernetes_types() {
        for (path, kind) in [
            ("containers", SchemaType::Array),
            ("containers.[]", SchemaType::Object),
            ("containers.[].name", SchemaType::String),
            ("containers.[].args.[]", SchemaType::String),
            ("containers.[].env.[].value", SchemaType::String),
            ("containers.[].resources.limits", SchemaType::Map),
            ("containers.[].resources.limits.cpu", SchemaType::Quantity),
            ("containers.[].livenessProbe.httpGet.port", SchemaType::IntOrString),
            ("containers.[].livenessProbe.periodSeconds", SchemaType::Integer),
            ("containers.[].ports.[].containerPort", SchemaType::Integer),
            ("containers.[].securityContext.privileged", SchemaType::Boolean),
            ("initContainers.[].restartPolicy", SchemaType::String),
            ("volumes.[].emptyDir.sizeLimit", SchemaType::Quantity),
            ("volumes.[].secret.defaultMode", SchemaType::Integer),
            ("volumes.[].ephemeral.volumeClaimTemplate.metadata.labels.x", SchemaType::String),
            ("nodeSelector", SchemaType::Map),
            ("nodeSelector.kubernetes.io/os", SchemaType::String),
            ("affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.[].weight", SchemaType::Integer),
        ] {
            assert_eq!(at(pod_spec(), &path.replace("kubernetes.io/os", "os")).kind(), kind, "{path}");
        }
    }

    #[test]
    fn each_accessor_finds_its_type() {
        for (schema, field) in [
            (pod_spec(), "tolerations"),
            (container(), "image"),
            (volume(), "emptyDir"),
            (env_var(), "valueFrom"),
            (env_from_source(), "configMapRef"),
            (volume_mount(), "mountPath"),
        ] {
            assert!(schema.child(field).is_some(), "{field}");
        }
    }

    #[test]
    fn fields_that_accept_only_strings_are_recognised() {
        for path in ["env.[].value", "args.[]", "command.[]", "resources.requests.memory", "image"] {
            assert!(at(container(), path).expects_string(), "{path}");
        }
        for path in ["livenessProbe.httpGet.port", "ports.[].containerPort", "stdin", "env", "resources"] {
            assert!(!at(container(), path).expects_string(), "{path}");
        }
    }

    #[test]
    fn unknown_fields_have_no_schema_and_are_not_strict() {
        assert!(container().child("imagee").is_none());
        assert!(!container().is_strict());
        assert!(container().item().is_none());
        assert_eq!(env_var().required().collect::<Vec<_>>(), ["name"]);
        assert_eq!(env_var().field_names().collect::<Vec<_>>(), ["name", "value", "valueFrom"]);
    }

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "only the schema is made of it")]
    struct Template {
        name: String,
        count: Option<u16>,
        on_error: Option<OnError>,
        order: Option<Order>,
        nested: Option<Box<Template>>,
        sidecars: Vec<k8s_openapi::api::core::v1::Container>,
        open: serde_json::Value,
        labels: std::collections::BTreeMap<String, String>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema is made of it")]
    enum OnError {
        /// Documented variants become `oneOf`.
        Reject,
        Skip,
    }

    #[derive(JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only the schema is made of it")]
    enum Order {
        Name(String),
        Before { before: String },
    }

    #[test]
    fn schemas_that_schemars_derives_are_read() {
        let schema = Schema::of::<Template>();
        let root = schema.root();
        assert!(root.is_strict());
        let kind = |name: &str| root.child(name).unwrap().kind();
        assert_eq!(kind("name"), SchemaType::String);
        assert_eq!(kind("count"), SchemaType::Integer);
        assert_eq!(root.child("count").unwrap().node.bounds, (0, 65535));
        assert_eq!(kind("onError"), SchemaType::String);
        assert_eq!(kind("order"), SchemaType::Any);
        assert_eq!(kind("open"), SchemaType::Any);
        assert_eq!(kind("labels"), SchemaType::Map);
        assert_eq!(
            root.child("nested").unwrap().child("nested").unwrap().child("sidecars").unwrap().kind(),
            SchemaType::Array
        );
        let container = root.child("sidecars").unwrap().item().unwrap();
        assert!(!container.is_strict());
        assert!(container.child("env").is_some());
    }
}
