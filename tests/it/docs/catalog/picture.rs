//! Draws a scene as SVG: containers side by side, ports above them, volumes as bars below.
//!
//! Arrows to a deeper bar stand further left, so that no arrow crosses a label.
//!
//! Invariant: equal scenes give equal text.

use std::fmt::Write;

use super::scene::{Column, Link, Scene};

/// Width of a character of the font, in pixels.
const CHARACTER: usize = 7;
const MARGIN: usize = 14;
const GAP: usize = 26;
const LINE: usize = 16;
/// Distance between the arrows of one container.
const STEP: usize = 12;
/// Height of a port's arrow, and of a volume's bar with the space above it.
const LANE: usize = 20;
const BAR: usize = 38;

/// In front of what the template sets for the pod as a whole.
const POD: &str = "pod: ";

const STYLE: &str = "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}.name{font-weight:bold}\
.pod{fill:#fff;stroke:#8c959f;stroke-dasharray:5 4}.app{fill:#f6f8fa;stroke:#57606a}\
.ours{fill:#ddf4ff;stroke:#0969da}.line{stroke:#57606a;fill:none;marker-end:url(#tip)}";

/// Where the parts stand.
struct Layout {
    /// Left edge and width of each container.
    columns: Vec<(usize, usize)>,
    width: usize,
    top: usize,
    height: usize,
}

impl Layout {
    fn new(scene: &Scene) -> Self {
        let mut left = MARGIN + GAP;
        let mut columns = Vec::new();
        for column in &scene.columns {
            let width = width(column, scene);
            columns.push((left, width));
            left += width + GAP;
        }
        let longest = scene.volumes.iter().map(|volume| volume.label.len());
        let longest =
            longest.chain(scene.pod_fields.iter().map(|field| field.len() + POD.len())).max().unwrap_or_default();
        let width = left.max(MARGIN * 2 + GAP * 2 + longest * CHARACTER);
        let ports = scene.columns.iter().map(|column| column.open_ports.len()).max().unwrap_or_default();
        let top = MARGIN * 2 + LINE + (ports + scene.links.len()) * LANE;
        let lines = scene.columns.iter().map(|column| column.lines.len()).max().unwrap_or_default();
        Self { columns, width, top, height: (lines + 1) * LINE + MARGIN }
    }

    /// The bottom edge of the containers.
    fn bottom(&self) -> usize {
        self.top + self.height
    }

    /// Where the arrow to a port, or from a caller, touches the upper edge of a container.
    fn upper(&self, column: usize, arrow: usize) -> usize {
        self.columns[column].0 + STEP + arrow * STEP
    }
}

/// The scene as the text of an SVG file.
pub fn draw(title: &str, scene: &Scene) -> String {
    let layout = Layout::new(scene);
    let pod_bottom = layout.bottom() + scene.volumes.len() * BAR + MARGIN;
    let fields_top = pod_bottom + MARGIN / 2;
    let pod_bottom = pod_bottom + scene.pod_fields.len() * LINE;
    let (width, height) = (layout.width + MARGIN, pod_bottom + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" \
         refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" \
         fill=\"#57606a\"/></marker></defs>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n",
        escape(title)
    );
    rectangle(&mut svg, "pod", (MARGIN, MARGIN, layout.width - MARGIN, pod_bottom - MARGIN));
    label(&mut svg, (layout.width - 2 * MARGIN - 3 * CHARACTER + MARGIN / 2, MARGIN + LINE), "", "pod");
    for position in 0..scene.columns.len() {
        draw_column(&mut svg, scene, &layout, position);
    }
    // Over the arrows to the bars below.
    draw_volumes(&mut svg, scene, &layout);
    for (number, link) in scene.links.iter().enumerate() {
        draw_link(&mut svg, scene, &layout, number, link);
    }
    for (number, field) in scene.pod_fields.iter().enumerate() {
        label(&mut svg, (MARGIN + GAP, fields_top + number * LINE), "", &format!("{POD}{field}"));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The width that a container needs for its lines, and for the labels of its arrows.
fn width(column: &Column, scene: &Scene) -> usize {
    let lines = column.lines.iter().map(String::len).chain([column.name.len()]);
    let text = lines.max().unwrap_or_default() * CHARACTER + MARGIN * 2;
    let arrows = |labels: Vec<&String>| {
        let ends = labels.iter().enumerate().map(|(number, label)| STEP * (number + 1) + label.len() * CHARACTER);
        ends.max().unwrap_or_default() + MARGIN
    };
    let mounts = sorted_mounts(column).into_iter().map(|(_, path)| path).collect();
    let links = scene.links.len() * STEP;
    text.max(arrows(column.open_ports.iter().collect()) + links).max(arrows(mounts))
}

/// The mounts from the lowest bar to the highest.
fn sorted_mounts(column: &Column) -> Vec<&(usize, String)> {
    let mut mounts: Vec<_> = column.mounts.iter().collect();
    mounts.sort_by_key(|(volume, _)| std::cmp::Reverse(*volume));
    mounts
}

fn draw_volumes(svg: &mut String, scene: &Scene, layout: &Layout) {
    for (position, volume) in scene.volumes.iter().enumerate() {
        let y = layout.bottom() + position * BAR + LINE;
        let class = if volume.is_ours { "ours" } else { "app" };
        rectangle(svg, class, (MARGIN + GAP / 2, y, layout.width - MARGIN - GAP, LINE + 4));
        label(svg, (MARGIN + GAP, y + LINE - 2), "", &volume.label);
    }
}

fn draw_column(svg: &mut String, scene: &Scene, layout: &Layout, position: usize) {
    let column = &scene.columns[position];
    let (left, width) = layout.columns[position];
    let class = if column.is_ours { "ours" } else { "app" };
    for (number, port) in column.open_ports.iter().enumerate() {
        let (x, y) = (layout.upper(position, number), MARGIN + LINE + number * LANE);
        arrow(svg, &format!("M{x} {y}V{}", layout.top - 2));
        label(svg, (x + 5, y + STEP - 1), "", port);
    }
    rectangle(svg, class, (left, layout.top, width, layout.height));
    label(svg, (left + MARGIN, layout.top + LINE + 2), "name", &column.name);
    for (number, line) in column.lines.iter().enumerate() {
        label(svg, (left + MARGIN, layout.top + (number + 2) * LINE + 2), "", line);
    }
    for (number, (volume, path)) in sorted_mounts(column).into_iter().enumerate() {
        let (x, y) = (left + STEP + number * STEP, layout.bottom() + volume * BAR + LINE);
        arrow(svg, &format!("M{x} {}V{}", layout.bottom(), y - 1));
        label(svg, (x + 5, y - 4), "", path);
    }
}

/// An arrow over the containers, from the caller to the called one.
fn draw_link(svg: &mut String, scene: &Scene, layout: &Layout, number: usize, link: &Link) {
    let lanes = scene.links.len() - number;
    let y = layout.top - lanes * LANE + LANE / 2;
    let edge = |column: usize| {
        let (left, width) = layout.columns[column];
        left + width - STEP - number * STEP
    };
    let (from, to) = (edge(link.from), edge(link.to));
    arrow(svg, &format!("M{from} {}V{y}H{to}V{}", layout.top, layout.top - 2));
    label(svg, (from.min(to) + 5, y - 3), "", &format!(":{}", link.port));
}

fn rectangle(svg: &mut String, class: &str, (x, y, width, height): (usize, usize, usize, usize)) {
    line(svg, &format!(r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>"#));
}

fn arrow(svg: &mut String, path: &str) {
    line(svg, &format!(r#"<path class="line" d="{path}"/>"#));
}

fn label(svg: &mut String, (x, y): (usize, usize), class: &str, text: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    line(svg, &format!(r#"<text{class} x="{x}" y="{y}">{}</text>"#, escape(text)));
}

fn line(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("a String takes every text");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
