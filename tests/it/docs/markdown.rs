//! A minimal reader of Markdown: fenced blocks, tables and links.
//!
//! Invariant: every block and link has its line number, so that a failing test can name it.

/// A fenced block. Of the info string "yaml pod" the first word is the language, the rest the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub line: usize,
    pub language: String,
    pub role: String,
    pub text: String,
}

/// All fenced blocks, in order.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in markdown.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => {
                let (language, role) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                open =
                    Some(Block { line: index + 1, language: language.into(), role: role.into(), text: String::new() });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed: {open:?}");
    blocks
}

/// The cells of every table row whose first cell is a single `code`.
pub fn code_rows(markdown: &str) -> Vec<Vec<String>> {
    let rows = markdown.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
        .collect()
}

/// Targets of the links to files of the repository, with their lines and without fragments.
pub fn file_links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (index, line) in markdown.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                links.push((index + 1, target.to_owned()));
            }
        }
    }
    links
}

#[test]
fn blocks_rows_and_links_are_found() {
    let text = "a [b](c.md#d) [e](https://f)\n```yaml pod\nx: 1\n```\n| `g` | h |\n|---|---|\n";
    let block = Block { line: 2, language: "yaml".into(), role: "pod".into(), text: "x: 1\n".into() };
    assert_eq!(blocks(text), [block]);
    assert_eq!(code_rows(text), [["g", "h"]]);
    assert_eq!(file_links(text), [(1, "c.md".to_owned())]);
}
