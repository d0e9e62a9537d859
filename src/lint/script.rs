//! Reads a shell script as far as its last command, traps and operators.
//!
//! Invariant: text in quotes, comments, expansions and here-documents is no command.

/// What is known of a script.
#[derive(Debug)]
pub(super) struct Script {
    /// Commands outside compound commands, each compound command being one.
    pub commands: usize,
    /// Whether it handles SIGTERM by `trap`.
    pub has_trap: bool,
    pub last: Last,
}

/// The last command outside compound commands.
#[derive(Debug)]
pub(super) enum Last {
    /// The script is empty, or ends in a background command.
    None,
    /// The words of the program that runs last.
    Simple { words: Vec<String>, is_exec: bool },
    /// A command for which every shell waits: what it is.
    Compound(&'static str),
}

impl Script {
    pub(super) fn parse(script: &str) -> Self {
        let mut reader = Reader::default();
        for token in tokens(script) {
            match token {
                Token::Word(word) => reader.word(word),
                Token::Operator(operator) => reader.operator(operator),
            }
        }
        reader.end()
    }
}

/// Follows the commands of a script.
#[derive(Default)]
struct Reader {
    /// Words that opened compound commands which are not at their end.
    open: Vec<String>,
    /// The words of the current simple command.
    words: Vec<String>,
    commands: usize,
    has_trap: bool,
    /// What keeps the shell in the list of the last command: a pipe or `||`.
    kept: Option<&'static str>,
    /// Whether the next command begins another list.
    is_separated: bool,
    /// Whether the next command belongs to the operator before it.
    is_continued: bool,
    last: Option<Vec<String>>,
    /// The compound command that came last; `None` in it if one of its commands is `exec`.
    compound: Option<Option<&'static str>>,
    has_exec: bool,
}

impl Reader {
    fn word(&mut self, word: String) {
        self.is_continued = false;
        match word.as_str() {
            "if" | "while" | "until" | "for" | "case" | "select" | "{" if self.words.is_empty() => self.open(word),
            "fi" | "done" | "esac" | "}" if self.words.is_empty() => self.close(),
            "then" | "do" | "else" | "elif" | "!" | "time" if self.words.is_empty() => {}
            _ => self.words.push(word),
        }
    }

    fn open(&mut self, word: String) {
        if self.open.is_empty() {
            self.begin();
            self.has_exec = false;
        }
        // The words after them are no command.
        if matches!(word.as_str(), "for" | "case" | "select") {
            self.words.push(word.clone());
        }
        self.open.push(word);
    }

    fn close(&mut self) {
        self.finish();
        let Some(opened) = self.open.pop() else { return };
        if self.open.is_empty() {
            let (what, may_exec) = match opened.as_str() {
                "if" => ("the command of an if", true),
                "case" => ("the command of a case", true),
                "{" => ("a group of commands", true),
                "(" => ("a subshell", false),
                _ => ("a loop", false),
            };
            self.compound = Some((!(may_exec && self.has_exec)).then_some(what));
            self.last = None;
            self.commands += 1;
        }
    }

    fn operator(&mut self, operator: &'static str) {
        match operator {
            "(" if self.words.is_empty() => self.open("(".to_owned()),
            // The parentheses of a function's name.
            "(" => {}
            ")" if self.open.last().is_some_and(|open| open == "(") => self.close(),
            // The end of a pattern of `case`, or of a function's name.
            ")" => self.words.clear(),
            _ if self.words.first().is_some_and(|word| word == "case") => {}
            _ => {
                self.finish();
                if self.open.is_empty() {
                    self.join(operator);
                }
            }
        }
    }

    /// An operator between commands outside compound commands.
    fn join(&mut self, operator: &str) {
        match operator {
            "|" => self.kept = Some("a pipeline"),
            "||" => self.kept = Some("a list with ||"),
            "&&" => self.kept = self.kept.filter(|kept| *kept != "a pipeline"),
            "&" => (self.kept, self.last, self.compound) = (None, None, None),
            _ => {}
        }
        let continues = matches!(operator, "|" | "||" | "&&");
        self.is_separated |= !continues && !self.is_continued;
        self.is_continued |= continues;
    }

    /// The beginning of a command outside compound commands.
    fn begin(&mut self) {
        if std::mem::take(&mut self.is_separated) {
            self.kept = None;
        }
    }

    /// The end of a simple command.
    fn finish(&mut self) {
        let words = std::mem::take(&mut self.words);
        let words: Vec<String> = words.into_iter().skip_while(|word| is_assignment(word)).collect();
        let Some(first) = words.first() else { return };
        let is_term = |word: &String| matches!(word.as_str(), "TERM" | "SIGTERM" | "15");
        // `trap '' TERM` ignores it, and `trap - TERM` takes the handler away.
        let sets = words.get(1).is_some_and(|command| !command.is_empty() && command != "-");
        self.has_trap |= first == "trap" && sets && words.iter().skip(2).any(is_term);
        self.has_exec |= first == "exec";
        if self.open.is_empty() {
            self.begin();
            self.commands += 1;
            self.compound = None;
            self.last = Some(words);
        }
    }

    fn end(mut self) -> Script {
        self.finish();
        let last = match (self.kept, self.compound, self.last) {
            (Some(what), ..) | (None, Some(Some(what)), _) => Last::Compound(what),
            (None, None, Some(words)) => {
                let is_exec = words.first().is_some_and(|word| word == "exec");
                Last::Simple { words: words.into_iter().skip(usize::from(is_exec)).collect(), is_exec }
            }
            (None, Some(None), _) | (None, None, None) => Last::None,
        };
        Script { commands: self.commands, has_trap: self.has_trap, last }
    }
}

/// The words of each simple command of a script.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    for token in tokens(script) {
        match (token, commands.last_mut()) {
            (Token::Word(word), Some(words)) => words.push(word),
            (Token::Word(_) | Token::Operator(_), _) => commands.push(Vec::new()),
        }
    }
    commands
}

/// Whether a word is `NAME=VALUE`.
pub(super) fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Operator(&'static str),
}

fn tokens(script: &str) -> Vec<Token> {
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
