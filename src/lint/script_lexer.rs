//! Splits a shell script into words and operators.
//!
//! Invariant: text in quotes, comments, expansions and here-documents is no operator.

/// A word or an operator of a script.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Operator(&'static str),
}

/// The words and operators of a script, without those in expansions.
pub(super) fn tokens(script: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: script.chars().collect(), ..Lexer::default() };
    while lexer.step() {}
    lexer.tokens
}

/// What the next word is, if not one of the command.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    File,
    /// The delimiter of a here-document.
    Delimiter,
}

#[derive(Default)]
struct Lexer {
    chars: Vec<char>,
    at: usize,
    word: Option<String>,
    target: Option<Target>,
    delimiters: Vec<String>,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, offset: usize) -> Option<char> {
        self.chars.get(self.at + offset).copied()
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    /// Reads one character or one quoted text; whether there was one.
    fn step(&mut self) -> bool {
        let Some(c) = self.peek(0) else {
            self.end_word();
            return false;
        };
        let next = self.peek(1);
        self.at += 1;
        match c {
            '\\' if next == Some('\n') => self.at += 1,
            '\\' => {
                self.at += 1;
                self.push(next.unwrap_or(c));
            }
            '\'' => self.quoted('\''),
            '"' => self.quoted('"'),
            '`' => self.skipped(|lexer| lexer.skip_to('`')),
            '$' if matches!(next, Some('{' | '(')) => self.skipped(Self::skip_brackets),
            '<' | '>' => self.redirect(c),
            '&' if next == Some('>') => {
                self.at += 1;
                self.redirect('>');
            }
            '#' if self.word.is_none() => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            }
            ' ' | '\t' | '\r' => self.end_word(),
            '\n' | ';' | '&' | '|' | '(' | ')' => self.operator(c),
            _ => self.push(c),
        }
        true
    }

    fn operator(&mut self, c: char) {
        self.end_word();
        let is_double = matches!(c, '&' | '|' | ';') && self.peek(0) == Some(c);
        self.at += usize::from(is_double);
        self.tokens.push(Token::Operator(match (c, is_double) {
            ('&', true) => "&&",
            ('&', false) => "&",
            ('|', true) => "||",
            ('|', false) => "|",
            ('(', _) => "(",
            (')', _) => ")",
            _ => ";",
        }));
        if c == '\n' {
            for delimiter in std::mem::take(&mut self.delimiters) {
                self.here_document(&delimiter);
            }
        }
    }

    /// The word that has come to its end is one of the command, or the target of a redirection.
    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        match self.target.take() {
            Some(Target::File) => {}
            Some(Target::Delimiter) => self.delimiters.push(word),
            None => self.tokens.push(Token::Word(word)),
        }
    }

    fn redirect(&mut self, c: char) {
        // The number of a descriptor is part of it.
        let is_number = |word: &String| word.chars().all(|c| c.is_ascii_digit());
        self.word.take_if(|word| is_number(word));
        self.end_word();
        if self.peek(0) == Some('(') {
            self.at -= 1;
            self.skipped(Self::skip_brackets);
            return;
        }
        let mut operator = String::from(c);
        while let Some(next) = self.peek(0).filter(|next| "<>&|-".contains(*next) && operator.len() < 3) {
            operator.push(next);
            self.at += 1;
        }
        let is_here = operator.starts_with("<<") && operator != "<<<";
        self.target = Some(if is_here { Target::Delimiter } else { Target::File });
        // `>&-` closes a descriptor.
        if operator.ends_with("&-") {
            self.target = None;
        }
    }

    fn here_document(&mut self, delimiter: &str) {
        while self.at < self.chars.len() {
            let rest = self.chars.iter().skip(self.at);
            let line: String = rest.take_while(|c| **c != '\n').collect();
            self.at = (self.at + line.chars().count() + 1).min(self.chars.len());
            if line.trim_start_matches('\t') == delimiter {
                return;
            }
        }
    }

    /// A quoted text; its expansions are part of it.
    fn quoted(&mut self, quote: char) {
        self.word.get_or_insert_default();
        while let Some(c) = self.peek(0) {
            let next = self.peek(1);
            self.at += 1;
            match c {
                _ if c == quote => return,
                '\\' if quote == '"' => {
                    self.at += 1;
                    self.push(next.unwrap_or(c));
                }
                '$' if quote == '"' && matches!(next, Some('{' | '(')) => self.skipped(Self::skip_brackets),
                _ => self.push(c),
            }
        }
    }

    /// An expansion, in whose place the word gets `$`.
    fn skipped(&mut self, skip: impl Fn(&mut Self)) {
        skip(self);
        self.push('$');
    }

    fn skip_to(&mut self, end: char) {
        while let Some(c) = self.peek(0) {
            self.at += 1 + usize::from(c == '\\' && end != '\'');
            if c == end {
                return;
            }
        }
    }

    /// Goes behind the bracket that closes the one which comes next.
    fn skip_brackets(&mut self) {
        let Some(open) = self.peek(0) else { return };
        let close = if open == '{' { '}' } else { ')' };
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '\'' | '"' => self.skip_to(c),
                '\\' => self.at += 1,
                _ if c == open => depth += 1,
                _ if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_operators_are_those_of_a_shell() {
        let shown = |script: &str| {
            let tokens = tokens(script).into_iter();
            tokens
                .map(|token| match token {
                    Token::Word(word) => format!("[{word}]"),
                    Token::Operator(operator) => operator.to_owned(),
                })
                .collect::<String>()
        };
        for (script, expected) in [
            ("a 'b | c' \"d; $(e ')')\" # f", "[a][b | c][d; $]"),
            ("a\\\n b && c || d | e; f & g", "[a][b]&&[c]||[d]|[e];[f]&[g]"),
            ("a 2>&1 >x <y &>z b", "[a][b]"),
            ("a <<E\nb; c\nE\nd", "[a];[d]"),
            ("a <<-'E'\nb\n\tE\nd", "[a];[d]"),
            ("a=`b; c` ${d#x;y} e#f", "[a=$][$][e#f]"),
            ("a <(b; c) >&- d", "[a][$][d]"),
            ("${has(x) ? {'a': 'b;c'} : d} $((1 + (2)))", "[$][$]"),
        ] {
            assert_eq!(shown(script), expected, "{script}");
        }
    }
}
