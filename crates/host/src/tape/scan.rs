//! One pass over a JSON text that copies it, hides values and rewrites strings on the way.
//!
//! Parsing it into values and printing these again would change the digits of numbers, which a function can tell.
//!
//! Invariant: given well-formed JSON, what comes out is well-formed, without white space between its tokens. Any
//! other text gives some text, and never a panic.

use std::borrow::Cow;

use serde_json::Value;

/// Stands for a string that was taken out. Safe in URLs and headers, so that it can be found there again.
pub(super) const MARK: &str = "belay-redacted";

/// Where the scanner is.
pub(super) struct Place<'a> {
    /// The keys that lead here, without the indexes of arrays.
    pub(super) keys: &'a [String],
    /// The first string of a pair in `headers`, when this is the second.
    pub(super) header: Option<&'a str>,
}

/// What is done to a text.
pub(super) trait Edit {
    /// Whether the value that comes next is hidden.
    fn hides(&mut self, place: &Place<'_>) -> bool;
    /// A value that was hidden.
    fn hidden(&mut self, value: &str);
    /// What stands for a string or a key instead, if anything does.
    fn text(&mut self, text: &str) -> Option<String>;
}

/// Changes nothing but white space.
struct Keep;

impl Edit for Keep {
    fn hides(&mut self, _: &Place<'_>) -> bool {
        false
    }
    fn hidden(&mut self, _: &str) {}
    fn text(&mut self, _: &str) -> Option<String> {
        None
    }
}

pub(super) fn compact(text: &str) -> String {
    edited(text, &mut Keep)
}

pub(super) fn edited(text: &str, edit: &mut impl Edit) -> String {
    let out = String::with_capacity(text.len());
    let (frames, keys, columns) = (Vec::new(), Vec::new(), Vec::new());
    let mut scanner = Scanner { text, at: 0, out, frames, keys, columns, edit };
    scanner.run();
    scanner.out
}

enum Frame {
    Object { key_next: bool },
    Array { index: usize, first: Option<String> },
}

struct Scanner<'t, E> {
    text: &'t str,
    at: usize,
    out: String,
    frames: Vec<Frame>,
    /// One for each object that is open, once its first key was read.
    keys: Vec<String>,
    /// The names in `columns`, which the cells of each of `rows` have.
    columns: Vec<String>,
    edit: &'t mut E,
}

impl<E: Edit> Scanner<'_, E> {
    fn run(&mut self) {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'{' => self.open('{', Frame::Object { key_next: true }),
                b'[' => self.open('[', Frame::Array { index: 0, first: None }),
                b'}' | b']' => self.close(char::from(byte)),
                b',' => self.comma(),
                b':' => self.colon(),
                b'"' => self.string(),
                _ => self.copy(value_end(self.text, self.at)),
            }
        }
    }

    fn push(&mut self, token: char) {
        self.out.push(token);
        self.at += 1;
    }

    fn copy(&mut self, end: usize) {
        self.out.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    fn open(&mut self, token: char, frame: Frame) {
        if matches!(frame, Frame::Object { .. }) {
            self.keys.push(String::new());
        }
        self.frames.push(frame);
        self.push(token);
        self.cell(0);
    }

    fn close(&mut self, token: char) {
        if let Some(Frame::Object { .. }) = self.frames.pop() {
            self.keys.pop();
        }
        self.push(token);
    }

    fn comma(&mut self) {
        self.push(',');
        match self.frames.last_mut() {
            Some(Frame::Object { key_next }) => *key_next = true,
            Some(Frame::Array { index, first }) => {
                *index += 1;
                let name = first.take().filter(|_| *index == 1);
                let index = *index;
                if let Some(name) = name {
                    self.hide(Some(&name));
                }
                self.cell(index);
            }
            None => {}
        }
    }

    /// Takes out the cell of a row that comes next, if it is to be: as a field that is named as its column.
    fn cell(&mut self, index: usize) {
        const ROW: [&str; 1] = ["rows"];
        let array = |frame: &Frame| matches!(frame, Frame::Array { .. });
        let in_row = self.frames.len() == 3 && self.frames[1..].iter().all(array);
        let is_empty = self.text[self.at..].trim_ascii_start().starts_with(']');
        let column = self.columns.get(index).filter(|_| in_row && !is_empty && self.keys == ROW);
        let Some(column) = column else { return };
        self.keys.push(column.clone());
        self.hide(None);
        self.keys.pop();
    }

    fn colon(&mut self) {
        self.push(':');
        self.hide(None);
    }

    /// Takes out the value that comes next, if it is to be.
    fn hide(&mut self, header: Option<&str>) {
        if !self.edit.hides(&Place { keys: &self.keys, header }) {
            return;
        }
        self.at += self.text[self.at..].find(|c: char| !c.is_ascii_whitespace()).unwrap_or(0);
        let end = value_end(self.text, self.at);
        let value = &self.text[self.at..end];
        self.edit.hidden(value);
        self.out.push_str(marker(value));
        self.at = end;
    }

    fn string(&mut self) {
        let end = string_end(self.text, self.at);
        let raw = &self.text[self.at..end];
        let text = unescaped(raw);
        match self.edit.text(&text) {
            Some(other) => self.out.push_str(&Value::String(other).to_string()),
            None => self.out.push_str(raw),
        }
        self.at = end;
        self.saw(text);
    }

    /// Keeps a key, or the name of a pair in `headers`.
    fn saw(&mut self, text: Cow<'_, str>) {
        let in_headers = self.keys.last().is_some_and(|key| key == "headers");
        let paired = in_headers && matches!(self.frames[..], [.., Frame::Array { .. }, _]);
        if self.keys == ["columns"] && matches!(self.frames[..], [_, Frame::Array { .. }]) {
            self.columns.push(text.clone().into_owned());
        }
        match self.frames.last_mut() {
            Some(Frame::Object { key_next }) if *key_next => {
                *key_next = false;
                if let Some(key) = self.keys.last_mut() {
                    *key = text.into_owned();
                }
            }
            Some(Frame::Array { index: 0, first }) if paired => *first = Some(text.into_owned()),
            Some(Frame::Object { .. } | Frame::Array { .. }) | None => {}
        }
    }
}

/// What stands for a hidden value: one of the same type.
fn marker(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'"') => "\"belay-redacted\"",
        Some(b'{') => "{}",
        Some(b'[') => "[]",
        Some(b't' | b'f') => "false",
        Some(b'n') | None => "null",
        Some(_) => "0",
    }
}

/// The text of a string with its quotes.
fn unescaped(raw: &str) -> Cow<'_, str> {
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    if inner.contains('\\') {
        serde_json::from_str(raw).map_or(Cow::Borrowed(inner), Cow::Owned)
    } else {
        Cow::Borrowed(inner)
    }
}

/// Behind the string that begins at `at`.
fn string_end(text: &str, at: usize) -> usize {
    let mut bytes = text.bytes().enumerate().skip(at + 1);
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return index + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

/// Behind the value that begins at `at`, and at least one character on.
fn value_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut next) = (0_usize, at);
    while let Some(&byte) = bytes.get(next) {
        match byte {
            b'"' => next = string_end(text, next),
            b'{' | b'[' => (depth, next) = (depth + 1, next + 1),
            b'}' | b']' => (depth, next) = (depth.saturating_sub(1), next + 1),
            _ => next = atom_end(text, next),
        }
        if depth == 0 {
            break;
        }
    }
    next
}

/// Behind a number or a name, or behind one character of anything else.
fn atom_end(text: &str, at: usize) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let rest = &text[at..];
    let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
    at + len.max(rest.chars().next().map_or(1, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hides what is named `secret`.
    struct Hide;

    impl Edit for Hide {
        fn hides(&mut self, place: &Place<'_>) -> bool {
            place.keys.last().is_some_and(|key| key == "secret")
        }
        fn hidden(&mut self, _: &str) {}
        fn text(&mut self, _: &str) -> Option<String> {
            None
        }
    }

    #[test]
    fn cells_are_named_as_their_columns() {
        for (text, kept) in [
            (
                r#"{"columns":["a","secret"],"rows":[[1,"x"],["y", {"$json":[2]}],[3,null]],"changed":0}"#,
                r#"{"columns":["a","secret"],"rows":[[1,"belay-redacted"],["y",{}],[3,null]],"changed":0}"#,
            ),
            (
                r#"{"columns":["secret"],"rows":[["x"],[],[ ]]}"#,
                r#"{"columns":["secret"],"rows":[["belay-redacted"],[],[]]}"#,
            ),
            (
                r#"{"rows":[["x"]],"columns":["secret"]}"#,
                r#"{"rows":[["x"]],"columns":["secret"]}"#,
            ),
        ] {
            assert_eq!(edited(text, &mut Hide), kept);
        }
    }

    #[test]
    fn white_space_goes_and_the_rest_stays() {
        let text = " { \"a b\" : [ 1.50 , -2e+9,\"\\\" ,\" ] ,\n\"n\": null , \"t\":true}\t";
        assert_eq!(compact(text), r#"{"a b":[1.50,-2e+9,"\" ,"],"n":null,"t":true}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "[\\[\\]{}\",:\\\\ a1é]{0,40}|\\PC{0,40}") {
            compact(&text);
        }
    }
}
