//! Reads JSON text in one pass without copies: names what a reader wants, and skips the rest.
//!
//! It reads the JSON that API servers write. Any other text gets `None`: invalid JSON, and what is
//! unusual, such as a key with escapes or a value of another type than the reader expects. Its caller
//! then parses the text with serde, which accepts more and words the errors.
//!
//! Invariant: what a scanner accepts is valid JSON that nests at most [`MAX_DEPTH`] levels.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Deepest nesting that is read: as deep as the parser of serde reads.
const MAX_DEPTH: u32 = 127;

/// A position in a JSON text.
pub(crate) struct JsonScanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> JsonScanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Whether nothing but white space is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.token();
        self.at == self.text.len()
    }

    /// Reads an object. `member` is called with each key and must read the member's value. A key with
    /// escapes is unusual.
    pub(crate) fn object(&mut self, member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.members(Self::plain_string, member)
    }

    fn members<K>(
        &mut self,
        key: impl Fn(&mut Self) -> Option<K>,
        mut member: impl FnMut(&mut Self, K) -> Option<()>,
    ) -> Option<()> {
        self.open(b'{')?;
        if self.takes(b'}') {
            self.depth -= 1;
            return Some(());
        }
        loop {
            let key = key(self)?;
            self.takes(b':').then_some(())?;
            member(self, key)?;
            match self.token() {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.at += 1;
        self.depth -= 1;
        Some(())
    }

    /// Reads a map of strings. `pair` is called with each key and value; `None` is null.
    pub(crate) fn pairs(
        &mut self,
        mut pair: impl FnMut(Cow<'a, str>, Option<Cow<'a, str>>) -> Option<()>,
    ) -> Option<()> {
        self.members(
            |scanner| scanner.string(),
            |scanner, key| {
                let value = if scanner.null() { None } else { Some(scanner.string()?) };
                pair(key, value)
            },
        )
    }

    /// Reads a list. `item` is called for each item and must read it.
    pub(crate) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.open(b'[')?;
        if self.takes(b']') {
            self.depth -= 1;
            return Some(());
        }
        loop {
            item(self)?;
            match self.token() {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        self.depth -= 1;
        Some(())
    }

    /// Whether the next value is null, which is then read.
    pub(crate) fn null(&mut self) -> bool {
        self.token() == b'n' && self.word("null").is_some()
    }

    pub(crate) fn boolean(&mut self) -> Option<bool> {
        match self.token() {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// Reads a string; null is the empty string, as in the API server.
    pub(crate) fn string_or_null(&mut self) -> Option<Cow<'a, str>> {
        if self.null() { Some(Cow::Borrowed("")) } else { self.string() }
    }

    /// Reads a string, which is borrowed unless it has escapes.
    pub(crate) fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at_string()?;
        let (end, has_escapes) = end_of_string(self.text.as_bytes(), start)?;
        self.at = end + 1;
        if has_escapes {
            return serde_json::from_str(self.text.get(start - 1..=end)?).ok().map(Cow::Owned);
        }
        self.text.get(start..end).map(Cow::Borrowed)
    }

    /// Skips one value, and returns its text.
    pub(crate) fn raw(&mut self) -> Option<&'a str> {
        self.text_of(Self::skip)
    }

    /// The text of the value that `read` reads.
    pub(crate) fn text_of(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        self.token();
        let start = self.at;
        read(self)?;
        self.text.get(start..self.at)
    }

    /// Skips one value, without recursion.
    pub(crate) fn skip(&mut self) -> Option<()> {
        // One bit for each open list or object, set for an object; the innermost has the lowest bit.
        let (mut objects, base) = (0_u128, self.depth);
        loop {
            match self.token() {
                b'"' => self.skip_string().map(drop)?,
                open @ (b'{' | b'[') => {
                    self.open(open)?;
                    let is_object = open == b'{';
                    // In ASCII, the code of a closing bracket is that of its opening bracket plus two.
                    if self.takes(open + 2) {
                        self.depth -= 1;
                    } else {
                        objects = objects << 1 | u128::from(is_object);
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.at = end_of_number(self.text.as_bytes(), self.at)?,
            }
            while self.depth > base {
                let is_object = objects & 1 == 1;
                match self.token() {
                    b',' => {
                        self.at += 1;
                        if is_object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                self.at += 1;
                self.depth -= 1;
                objects >>= 1;
            }
            if self.depth == base {
                return Some(());
            }
        }
    }

    /// Reads one value as a tree. Of equal keys the last counts.
    pub(crate) fn value(&mut self) -> Option<Value> {
        Some(match self.token() {
            b'"' => Value::String(self.string()?.into_owned()),
            b'{' => {
                let mut fields = Map::new();
                self.object(|scanner, key| {
                    let value = scanner.value()?;
                    fields.insert(key.to_owned(), value);
                    Some(())
                })?;
                Value::Object(fields)
            }
            b'[' => {
                let mut items = Vec::new();
                self.list(|scanner| {
                    items.push(scanner.value()?);
                    Some(())
                })?;
                Value::Array(items)
            }
            b'n' => self.word("null").map(|()| Value::Null)?,
            b't' | b'f' => Value::Bool(self.boolean()?),
            _ => self.number()?,
        })
    }

    fn number(&mut self) -> Option<Value> {
        /// So many digits always fit into 64 bits.
        const SHORT: usize = 18;
        let end = end_of_number(self.text.as_bytes(), self.at)?;
        let text = self.text.get(self.at..end)?;
        self.at = end;
        if text.len() <= SHORT && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse::<u64>().ok().map(Value::from);
        }
        serde_json::from_str(text).ok()
    }

    /// The next byte that is no white space; 0 at the end. It is not read yet.
    fn token(&mut self) -> u8 {
        let text = self.text.as_bytes();
        loop {
            match text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
        }
    }

    /// Whether this is the next token, which is then read.
    fn takes(&mut self, token: u8) -> bool {
        let is_next = self.token() == token;
        self.at += usize::from(is_next);
        is_next
    }

    fn open(&mut self, bracket: u8) -> Option<()> {
        self.depth += 1;
        (self.takes(bracket) && self.depth <= MAX_DEPTH).then_some(())
    }

    /// Position of the first byte of the string that is next.
    fn at_string(&mut self) -> Option<usize> {
        (self.token() == b'"').then_some(self.at + 1)
    }

    /// Skips a string, and says whether it has escapes.
    pub(crate) fn skip_string(&mut self) -> Option<bool> {
        let start = self.at_string()?;
        let (end, has_escapes) = end_of_string(self.text.as_bytes(), start)?;
        self.at = end + 1;
        Some(has_escapes)
    }

    fn skip_key(&mut self) -> Option<()> {
        self.skip_string()?;
        self.takes(b':').then_some(())
    }

    /// Reads a string without escapes.
    fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.at_string()?;
        let has_escapes = self.skip_string()?;
        self.text.get(start..self.at - 1).filter(|_| !has_escapes)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        (self.text.as_bytes().get(self.at..end) == Some(word.as_bytes())).then(|| self.at = end)
    }
}

/// Position of the quote that ends the string whose first byte is at `at`, and whether the string has
/// escapes.
fn end_of_string(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut has_escapes = false;
    loop {
        at += plain_bytes(text, at);
        match text.get(at)? {
            b'"' => return Some((at, has_escapes)),
            b'\\' => {
                has_escapes = true;
                at += match text.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    _ => return None,
                };
            }
            control if *control < b' ' => return None,
            _ => at += 1,
        }
    }
}

/// A number of bytes from `at` on that need no look: no quotes, backslashes or control characters.
/// Most of a pod is text in strings, so the bytes are compared eight at a time.
pub(super) fn plain_bytes(text: &[u8], at: usize) -> usize {
    let mut plain = at;
    while let Some(chunk) = text.get(plain..plain + 8) {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        let special = bytes_below(word ^ QUOTES, 1) | bytes_below(word ^ BACKSLASHES, 1) | bytes_below(word, b' ');
        if special != 0 {
            return plain - at + special.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain - at
}

const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);

/// Sets the high bit of the first byte that is below `limit`. Bits above that byte may be wrong.
const fn bytes_below(word: u64, limit: u8) -> u64 {
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    word.wrapping_sub(u64::from_ne_bytes([limit; 8])) & !word & HIGH
}

/// Position after the number that begins at `at`.
fn end_of_number(text: &[u8], mut at: usize) -> Option<usize> {
    let after_digits = |mut at: usize| {
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let after_some_digits = |at: usize| Some(after_digits(at)).filter(|end| *end > at);
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if text.get(at) == Some(&b'0') { at + 1 } else { after_some_digits(at)? };
    if text.get(at) == Some(&b'.') {
        at = after_some_digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = after_some_digits(at)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests;
