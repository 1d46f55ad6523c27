//! From the text behind a tag to what it says.
//!
//! Words may be followed by a remark, set off as in JSDoc: `@rollback coarse - money is at stake`. Expressions may not.

use belay_model::{Alternative, Granularity, Isolation, Resources, Tags, units};
use oxc::span::Span;

use super::{comment::Value, tag::Tag};
use crate::{
    compile::criterion_function,
    linking::nearest,
    syntax::{ExpressionKind, read_expression},
};

/// Names that one tag may list.
const NAMES_MAX: usize = 64;

/// What is wrong, where, and what to do about it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

impl Problem {
    pub(super) fn new(span: Span, message: String, help: impl Into<String>) -> Self {
        Self { span, message, help: help.into() }
    }
}

/// One tag with its value.
pub(super) struct Entry<'v> {
    pub(super) tag: Tag,
    /// Of the tag's name.
    pub(super) span: Span,
    pub(super) value: &'v Value,
    /// Path of the module, which tells the dialect of expressions.
    pub(super) path: &'v str,
}

impl Entry<'_> {
    /// Adds what is said to `tags`.
    pub(super) fn add_to(&self, tags: &mut Tags) -> Result<(), Problem> {
        match self.tag {
            Tag::Rollback => {
                tags.rollback = Some(self.one_of(&Granularity::ALL, Granularity::as_str)?)
            }
            Tag::Isolation => tags.isolation = Some(self.isolation()?),
            Tag::Transaction => {
                let name = self.word("give the transaction a name: `@transaction transfer`")?;
                let parsed = name.parse();
                let help = "such as `@transaction transfer`";
                tags.transaction = Some(parsed.map_err(|error: belay_model::NameError| {
                    Problem::new(self.value.place_of(name), error.to_string(), help)
                })?);
            }
            Tag::Predict => tags.predict = self.nothing()?,
            Tag::Notape => tags.notape = self.nothing()?,
            Tag::Alternative => tags.alternatives.extend(self.alternatives()?),
            Tag::Resources => tags.resources = Some(self.resources()?),
            Tag::Success => tags.success = Some(self.criterion()?),
            Tag::Retry => tags.retry.extend(self.names("an error", &[".", "_", "$"])?),
            Tag::Depends => {
                let more = [".", "_", "$", "-", "/", "@", ":"];
                tags.depends.extend(self.names("a function, module or component", &more)?);
            }
        }
        let longest = [tags.alternatives.len(), tags.retry.len(), tags.depends.len()];
        if longest.into_iter().any(|names| names > NAMES_MAX) {
            let help = format!("at most {NAMES_MAX} are accepted");
            return Err(self.problem(self.span, "has too many names", help));
        }
        Ok(())
    }

    fn problem(
        &self,
        span: Span,
        message: impl std::fmt::Display,
        help: impl Into<String>,
    ) -> Problem {
        Problem::new(span, format!("`@{}` {message}", self.tag.name()), help)
    }

    /// The text without the remark behind it.
    fn without_remark<'t>(&self, text: &'t str) -> &'t str {
        let text = text.split(" - ").next().unwrap_or_default();
        if text.starts_with("- ") { "" } else { text.trim_end() }
    }

    /// The one word of the line.
    fn word(&self, help: &str) -> Result<&str, Problem> {
        let text = self.without_remark(self.value.line());
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [word] => Ok(word),
            [] => Err(self.problem(self.span, "has no value", help)),
            [_, second, ..] => Err(self.problem(
                self.value.place_of(second),
                "takes one word",
                "set a remark off with ` - `, or write it above the tags",
            )),
        }
    }

    fn nothing(&self) -> Result<bool, Problem> {
        let text = self.without_remark(self.value.line());
        match text.split_whitespace().next() {
            None => Ok(true),
            Some(word) => Err(self.problem(
                self.value.place_of(word),
                "takes no value",
                "leave it out to turn it off; set a remark off with ` - `",
            )),
        }
    }

    fn one_of<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<T, Problem> {
        let names: Vec<_> = all.iter().map(|value| name(*value)).collect();
        let help = format!("write one of {}", names.join(", "));
        let word = self.word(&help)?;
        let known = all.iter().copied().find(|value| name(*value) == word);
        known.ok_or_else(|| {
            let help = match nearest(word, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? {help}"),
                None => help,
            };
            self.problem(self.value.place_of(word), format!("does not know `{word}`"), help)
        })
    }

    /// Also in two words, as SQL has it.
    fn isolation(&self) -> Result<Isolation, Problem> {
        let text = self.without_remark(self.value.line()).to_lowercase();
        let words: Vec<_> = text.split_whitespace().collect();
        let written = Isolation::ALL.into_iter().find(|level| level.as_str() == words.join("-"));
        written.map_or_else(|| self.one_of(&Isolation::ALL, Isolation::as_str), Ok)
    }

    /// Names with `,` or white space between them. `more` are the characters allowed beside letters and digits.
    fn names(&self, what: &str, more: &[&str]) -> Result<Vec<String>, Problem> {
        let text = self.without_remark(&self.value.text);
        let names =
            text.split(|c: char| c.is_whitespace() || c == ',').filter(|name| !name.is_empty());
        let fine = |name: &&str| {
            name.chars().all(|c| c.is_alphanumeric() || more.iter().any(|more| more.contains(c)))
        };
        if let Some(odd) = names.clone().find(|name| !fine(name)) {
            let help = "write names with `,` between them, and set a remark off with ` - `";
            let message = format!("names {what}, which `{odd}` cannot be");
            return Err(self.problem(self.value.place_of(odd), message, help));
        }
        if text.is_empty() {
            let help = format!("name {what}, such as `@{} one, another`", self.tag.name());
            return Err(self.problem(self.span, "has no value", help));
        }
        Ok(names.map(str::to_owned).collect())
    }

    /// An arrow function, or names of functions.
    fn alternatives(&self) -> Result<Vec<Alternative>, Problem> {
        if !self.value.text.contains("=>") {
            let names = self.names("a function, or is an arrow function,", &["_", "$"])?;
            return Ok(names.into_iter().map(Alternative::Function).collect());
        }
        match self.expression()? {
            (source, ExpressionKind::Arrow) => Ok(vec![Alternative::Inline(source)]),
            (_, ExpressionKind::Other) => Err(self.problem(
                self.value.place(0..self.value.text.len()),
                "takes a function's name or one arrow function",
                "write several alternatives as several tags, in the order in which they are tried",
            )),
        }
    }

    fn expression(&self) -> Result<(String, ExpressionKind), Problem> {
        let text = &self.value.text;
        if text.is_empty() {
            let help = "such as `@success result.status === \"done\"`";
            return Err(self.problem(self.span, "has no value", help));
        }
        let read = read_expression(self.path, text).map_err(|(span, problem)| {
            let place = span.start as usize..(span.end as usize).min(text.len());
            let help = format!("it is no expression: {problem}");
            self.problem(self.value.place(place), "does not parse", help)
        });
        read.map(|kind| (text.clone(), kind))
    }

    fn criterion(&self) -> Result<String, Problem> {
        let (text, _) = self.expression()?;
        match criterion_problem(self.path, &text) {
            None => Ok(text),
            Some(help) => {
                let place = self.value.place(0..text.len());
                Err(self.problem(place, "cannot be asked of a result", help))
            }
        }
    }

    fn resources(&self) -> Result<Resources, Problem> {
        const HELP: &str = "write `memory=64MB`, `timeout=250ms` or `retries=3`, in any order";
        let mut found = Resources::default();
        let text = self.without_remark(&self.value.text);
        for part in
            text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty())
        {
            let refuse = |what: String| self.problem(self.value.place_of(part), what, HELP);
            let (key, value) =
                part.split_once('=').ok_or_else(|| refuse(format!("does not know `{part}`")))?;
            let twice = match key {
                "memory" => found
                    .memory_bytes
                    .replace(
                        units::size(value)
                            .ok_or_else(|| refuse(format!("has a wrong size, `{value}`")))?,
                    )
                    .is_some(),
                "timeout" => found
                    .timeout_ms
                    .replace(
                        units::duration(value)
                            .ok_or_else(|| refuse(format!("has a wrong duration, `{value}`")))?,
                    )
                    .is_some(),
                "retries" => found
                    .retries
                    .replace(
                        value
                            .parse()
                            .map_err(|_| refuse(format!("has a wrong number, `{value}`")))?,
                    )
                    .is_some(),
                _ => return Err(refuse(format!("does not know `{key}`"))),
            };
            if twice {
                return Err(refuse(format!("has `{key}` twice")));
            }
        }
        if found == Resources::default() {
            return Err(self.problem(self.span, "has no value", HELP));
        }
        let whole = self.value.place(0..text.len());
        found.problem().map_or(Ok(found), |problem| {
            Err(self.problem(whole, format!("asks too much: {problem}"), HELP))
        })
    }
}

/// Why an expression is no criterion, if so: alone, or as what is compiled of it.
pub(super) fn criterion_problem(path: &str, text: &str) -> Option<String> {
    let problem = |text: &str| read_expression(path, text).err().map(|(_, problem)| problem);
    problem(text).or_else(|| {
        let waits = "it is asked of a result that is there, and cannot wait for anything";
        problem(&criterion_function(text)).map(|problem| format!("{waits}: {problem}"))
    })
}
