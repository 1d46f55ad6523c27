//! The parsed file with its text, and the mistakes found so far: what the readers of single tables share.

use std::ops::Range;

use belay_model::{Diagnostic, Label};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Collects mistakes while tables are read.
pub(super) struct Reader<'a> {
    pub(super) path: &'a str,
    pub(super) source: &'a str,
    mistakes: Vec<(usize, Diagnostic)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a str, source: &'a str) -> Self {
        Self { path, source, mistakes: Vec::new() }
    }

    pub(super) fn label(&self, span: &Range<usize>, text: impl Into<String>) -> Label {
        Label::new(self.path, self.source, span.start, span.end, text)
    }

    pub(super) fn report(&mut self, span: &Range<usize>, diagnostic: Diagnostic) {
        self.mistakes.push((span.start, diagnostic));
    }

    /// A mistake at `span`, with what to do about it.
    pub(super) fn mistake(&mut self, span: &Range<usize>, code: &str, message: String, help: &str) {
        let label = self.label(span, "");
        self.report(span, Diagnostic::error(code, message).at(label).help(help));
    }

    pub(super) fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = value.get_ref().type_str();
        let label = self.label(&value.span(), format!("this is {}", article(found)));
        let message = format!("`{key}` must be {expected}");
        self.report(&value.span(), Diagnostic::error("wrong-type", message).at(label));
    }

    pub(super) fn unknown_key(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        known: &[&str],
        place: &str,
    ) {
        let name = key.get_ref().as_ref();
        let label = self.label(&key.span(), "");
        let message = format!("unknown key `{name}` in {place}");
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{place} knows: {}", known.join(", ")),
        };
        self.report(&key.span(), Diagnostic::error("unknown-key", message).at(label).help(help));
    }

    pub(super) fn string<'v>(
        &mut self,
        key: &str,
        value: &'v Spanned<DeValue<'_>>,
    ) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, value, "a string");
        }
        text
    }

    pub(super) fn table<'v, 'i>(
        &mut self,
        key: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, value, "a table");
        }
        table
    }

    pub(super) fn strings(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Vec<String>> {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "an array of strings");
            return None;
        };
        array.iter().map(|item| self.string(key, item).map(str::to_owned)).collect()
    }

    /// A string that parses as a name of the model.
    pub(super) fn name<T: std::str::FromStr<Err = belay_model::NameError>>(
        &mut self,
        span: &Range<usize>,
        text: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let label = self.label(span, "");
                self.report(span, Diagnostic::error("bad-name", error.to_string()).at(label));
                None
            }
        }
    }

    /// `value`, or all mistakes in the order of the file.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => {
                self.mistakes.sort_by_key(|(at, _)| *at);
                Err(self.mistakes.into_iter().map(|(_, diagnostic)| diagnostic).collect())
            }
        }
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// The known word that a typing error away from `word` is, if any.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |near: &&str| strsim::osa_distance(&word.to_lowercase(), near);
    let near = known.iter().copied().min_by_key(distance)?;
    (distance(&near) <= 1 + near.len() / 4).then_some(near)
}
