//! Prints the rows of `get` as a table.

use super::super::table::{self, Cell};
use super::super::terminal::{Colour, Colours};
use super::rows::{Row, State};
use crate::cli::fleet::Owner;

const HEADINGS: [&str; 6] = ["NAMESPACE", "WORKLOAD", "TEMPLATE", "REVISION", "PODS", "STATE"];
const WIDE: [&str; 8] =
    ["NAMESPACE", "WORKLOAD", "TEMPLATE", "REVISION", "PODS", "STATE", "CURRENT", "PODS TO LOOK AT"];

/// The table, without a line where there are no rows.
pub(super) fn render(rows: &[Row], is_wide: bool, colours: Colours) -> String {
    let lines: Vec<Vec<Cell>> = rows.iter().map(|row| cells(row, is_wide)).collect();
    table::render(if is_wide { &WIDE } else { &HEADINGS }, &lines, colours)
}

const fn colour(state: State) -> Colour {
    match state {
        State::Current | State::Pinned => Colour::Green,
        State::Outdated => Colour::Yellow,
        State::Missing | State::NotFound => Colour::Red,
        State::NoPods | State::Unknown => Colour::Dim,
    }
}

fn cells(row: &Row, is_wide: bool) -> Vec<Cell> {
    let owner = Owner { kind: row.kind.clone(), name: row.workload.clone() };
    let revisions = match row.revisions.len() {
        0 => "-".to_owned(),
        1 => row.revisions.keys().next().cloned().unwrap_or_default(),
        _ => row.revisions.iter().map(|(revision, pods)| format!("{revision} ({pods})")).collect::<Vec<_>>().join(", "),
    };
    let (owner, pods) = (owner.to_string(), row.pods.to_string());
    let mut cells: Vec<Cell> =
        [&row.namespace, &owner, &row.template, &revisions, &pods].map(|text| Cell::of(text)).into();
    cells.push(Cell::coloured(row.state.as_str(), colour(row.state)));
    if is_wide {
        let pods: Vec<&str> = row.without.iter().chain(&row.outdated).map(String::as_str).collect();
        cells.push(Cell::of(row.current.as_deref().unwrap_or("-")));
        cells.push(Cell::of(&pods.join(", ")));
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_revisions_that_its_pods_carry() {
        let row = Row {
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            workload: "web".to_owned(),
            template: "proxy".to_owned(),
            state: State::Outdated,
            pods: 2,
            revisions: [("a".to_owned(), 1), ("b".to_owned(), 1)].into(),
            current: Some("b".to_owned()),
            without: Vec::new(),
            outdated: vec!["web-1".to_owned()],
        };
        let text = render(std::slice::from_ref(&row), true, Colours::Hidden);
        let line = text.lines().nth(1).expect("a row").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, "shop deploy/web proxy a (1), b (1) 2 outdated b web-1");
        assert!(!render(&[row], false, Colours::Hidden).contains("web-1"));
    }
}
