//! A table for terminals: columns as wide as their longest cell.

use super::terminal::{Colour, Colours, printable};

/// Between two columns.
const GAP: usize = 3;

/// A cell, with a colour if it says how something went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    pub(super) fn of(text: &str) -> Self {
        Self { text: printable(text), colour: None }
    }

    pub(super) fn coloured(text: &str, colour: Colour) -> Self {
        Self { text: printable(text), colour: Some(colour) }
    }
}

/// The table; nothing where there are no rows.
pub(super) fn render(headings: &[&str], rows: &[Vec<Cell>], colours: Colours) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let headings = headings.iter().map(|heading| Cell::coloured(heading, Colour::Bold)).collect();
    let lines: Vec<&Vec<Cell>> = std::iter::once(&headings).chain(rows).collect();
    let length = |cell: &Cell| cell.text.chars().count();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(length).max().unwrap_or_default();
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| {
            let shown = cell.colour.map_or_else(|| cell.text.clone(), |colour| colours.paint(colour, &cell.text));
            shown + &" ".repeat(width - length(cell) + GAP)
        });
        text += cells.collect::<String>().trim_end();
        text.push('\n');
    }
    text
}

/// The line cut to so many columns; escapes take none.
pub(super) fn cut(line: &str, width: usize) -> String {
    let (mut shown, mut columns, mut is_escape) = (String::new(), 0, false);
    for character in line.chars() {
        is_escape |= character == '\x1b';
        if !is_escape {
            columns += 1;
            if columns > width {
                continue;
            }
        }
        shown.push(if columns == width && !is_escape && line.chars().count() > width { '…' } else { character });
        is_escape &= character != 'm';
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_hostile_text_is_escaped() {
        let rows = [
            vec![Cell::of("web"), Cell::coloured("ok", Colour::Green)],
            vec![Cell::of("a-longer-\u{1b}[2Jname"), Cell::of("")],
        ];
        let text = render(&["NAME", "STATE"], &rows, Colours::Hidden);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("STATE"), lines[1].find("ok"));
        assert!(!text.contains('\u{1b}') && lines.iter().all(|line| line.trim_end() == *line), "{text}");
        assert!(render(&["NAME", "STATE"], &rows, Colours::Shown).contains("\u{1b}[32mok\u{1b}[0m"));
        assert_eq!(render(&["NAME"], &[], Colours::Hidden), "");
        assert_eq!((cut("abcdef", 4).as_str(), cut("abc", 4).as_str()), ("abc…", "abc"));
        assert_eq!(cut("\u{1b}[1mab\u{1b}[0mcdef", 3), "\u{1b}[1mab\u{1b}[0m…");
    }
}
