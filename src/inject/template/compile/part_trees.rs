//! The compiled parts of a template: one tree for each [`OverlayPart`].

use crate::inject::expression::{Declarations, Reads};
use crate::inject::overlay::{Overlay, OverlayPart};
use crate::inject::schema;
use crate::inject::template::render::Renderer;
use crate::inject::template::tree::{ExpressionTree, Item, TreeCompiler};
use crate::inject::text::FieldError;
use serde_json::Value;

/// A compiled tree for each part.
#[derive(Debug)]
pub(super) struct PartTrees([ExpressionTree; OverlayPart::ALL.len()]);

impl PartTrees {
    /// Compiles all parts of a spec; adds errors of their expressions to `errors`.
    pub(super) fn compile(spec: &Value, parameters: &Declarations<'_>, errors: &mut Vec<FieldError>) -> Self {
        let of_container = parameters.with_container();
        let trees = OverlayPart::ALL.map(|part| {
            let parameters = if part.is_of_app() { &of_container } else { parameters };
            let mut compiler = TreeCompiler { parameters, errors: Vec::new() };
            let fields = part.spec_fields().iter();
            let value = fields.clone().try_fold(spec, |value, field| value.get(*field));
            let schema = fields.fold(schema::template().child("spec"), |schema, field| schema?.child(field));
            let tree = match value {
                Some(Value::Array(items)) if part.has_items() => compiler.items(items, schema, &part.path()),
                value => compiler.compile(value.unwrap_or(&Value::Null), schema, &part.path()),
            };
            errors.append(&mut compiler.errors);
            tree
        });
        Self(trees)
    }

    /// Whether a part has items that may be left out or repeated.
    pub(super) fn have_clauses(&self) -> bool {
        self.0.iter().any(ExpressionTree::has_clauses)
    }

    /// The items that may be left out or repeated.
    pub(super) fn clauses(&self) -> impl Iterator<Item = &Item> {
        let items = self.0.iter().flat_map(|tree| match tree {
            ExpressionTree::List(_, trees) => trees.as_slice(),
            other => std::slice::from_ref(other),
        });
        items.filter_map(|tree| if let ExpressionTree::Item(item) = tree { Some(&**item) } else { None })
    }

    /// All paths that the parts' expressions read.
    pub(super) fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        self.0.iter().for_each(|tree| tree.collect_reads(&mut reads));
        reads
    }

    pub(super) fn render(&self, renderer: &mut Renderer<'_>) -> Overlay {
        Overlay::new(|part| renderer.render(&self.0[part as usize]))
    }

    /// Renders the parts that are for each container of the app, or the others.
    pub(super) fn render_of_app(&self, of_app: bool, renderer: &mut Renderer<'_>) -> Overlay {
        let is_one = |part: &OverlayPart| part.is_of_app() == of_app;
        Overlay::new(|part| Some(part).filter(is_one).and_then(|part| renderer.render(&self.0[part as usize])))
    }
}
