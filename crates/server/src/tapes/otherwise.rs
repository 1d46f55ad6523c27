//! What a change answers or writes otherwise, field by field: an example of each, and how many requests show it.
//!
//! A field that differs on every tape must not hide one that differs on few, so a field is told once, whatever its values. Nor
//! must a long list: of `items[0].price`, `items[1].price` and so on one is told before the others.
//!
//! Invariant: bounded: [`KNOWN_MAX`] fields are known, [`TOLD_MAX`] are told.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use belay_host::tape::{Difference, Field};
use belay_model::FunctionName;

/// Fields that are told.
pub(super) const TOLD_MAX: usize = 12;
/// Fields that are known. What differs in more of them differs altogether.
const KNOWN_MAX: usize = 1_000;

/// A field that differs on some tape.
pub(super) struct Line {
    /// Of the field, whatever its values are, and whatever the request is about.
    pub(super) name: String,
    /// Such as `result.total was 12, now 13`.
    pub(super) text: String,
}

/// All fields that differ.
#[derive(Default)]
pub(super) struct Otherwise {
    fields: Vec<Seen>,
    by_name: BTreeMap<(FunctionName, String), usize>,
}

/// One field with the tape that showed it first.
struct Seen {
    family: String,
    example: String,
    requests: usize,
}

impl Otherwise {
    /// What one tape shows.
    pub(super) fn note(&mut self, function: &FunctionName, differences: &[Difference]) {
        let mut of_tape = BTreeSet::new();
        for Line { name, text } in differences.iter().flat_map(lines) {
            if !of_tape.insert(name.clone()) {
                continue;
            }
            let (full, next) = (self.fields.len() >= KNOWN_MAX, self.fields.len());
            let key = (function.clone(), name);
            match self.by_name.get(&key) {
                Some(at) => self.fields[*at].requests += 1,
                None if full => {}
                None => {
                    let family = format!("{function}: {}", shape(&key.1));
                    let example = format!("{function}: {text}");
                    self.fields.push(Seen { family, example, requests: 1 });
                    self.by_name.insert(key, next);
                }
            }
        }
    }

    /// The first ones for people, and how many more there are: one of each family, then the second of each; those that the most
    /// requests show first.
    pub(super) fn told(&self) -> (Vec<String>, u64) {
        let mut all: Vec<&Seen> = self.fields.iter().collect();
        all.sort_by_key(|field| Reverse(field.requests));
        let (mut families, mut ranked) = (BTreeMap::new(), Vec::new());
        for field in all {
            let rank = families.entry(&field.family).or_insert(0_usize);
            *rank += 1;
            ranked.push((*rank, field));
        }
        ranked.sort_by_key(|(rank, field)| (*rank, Reverse(field.requests)));
        let text = |(_, field): &(usize, &Seen)| {
            let noun = if field.requests == 1 { "request" } else { "requests" };
            format!("{} ({} {noun})", field.example, field.requests)
        };
        let told = ranked.iter().take(TOLD_MAX).map(text).collect();
        (told, ranked.len().saturating_sub(TOLD_MAX) as u64)
    }
}

/// What differs, a line for each field.
pub(super) fn lines(difference: &Difference) -> Vec<Line> {
    let fields = |of: &str, all: &[Field]| all.iter().map(|field| line(of, field)).collect();
    let call = |op: &str, subject: &str, what: &str| {
        vec![Line {
            name: format!("{op} {} {what}", shape(subject)),
            text: format!("{op} {subject} {what}"),
        }]
    };
    match difference {
        Difference::Result { fields: all } => fields("", all),
        Difference::Ending { was, now } => {
            let text = format!("ended with {was}, now with {now}");
            vec![Line { name: "ended".to_owned(), text }]
        }
        Difference::Changed { op, subject, fields: all } => {
            fields(&format!("{op} {subject} "), all)
        }
        Difference::Missing { op, subject } => call(op, subject, "is not made any more"),
        Difference::Additional { op, subject } => call(op, subject, "is new"),
    }
}

/// `of` is the call that the field is of, if it is of one.
fn line(of: &str, field: &Field) -> Line {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let path = &field.path;
    let text = format!("{of}{path} was {}, now {}", shown(&field.was), shown(&field.now));
    Line { name: format!("{}{path}", shape(of)), text }
}

/// A name in which what counts or identifies things is left out: `kv.put order:17` and `kv.put order:18` have the same one.
fn shape(name: &str) -> String {
    let mut shape = String::new();
    for word in name.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let end = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
        let (letters, rest) = word.split_at(end);
        let counts = letters.contains(|c: char| c.is_ascii_digit());
        shape.push_str(if counts { "#" } else { letters });
        shape.push_str(rest);
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, was: usize) -> Field {
        let shown = |number: usize| Some(number.to_string());
        Field { path: path.to_owned(), was: shown(was), now: shown(was + 1) }
    }

    fn result(fields: impl IntoIterator<Item = Field>) -> Difference {
        Difference::Result { fields: fields.into_iter().collect() }
    }

    fn told(tapes: impl IntoIterator<Item = Vec<Difference>>) -> String {
        let mut otherwise = Otherwise::default();
        let function = "f".parse().unwrap();
        tapes.into_iter().for_each(|tape| otherwise.note(&function, &tape));
        let (lines, more) = otherwise.told();
        format!("{}\nmore: {more}", lines.join("\n"))
    }

    #[test]
    fn a_field_that_always_differs_hides_no_other() {
        let often = (0..50).map(|n| vec![result([field("result.at", n)])]);
        let once = [vec![result([field("result.at", 50), field("result.total", 7)])]];
        insta::assert_snapshot!(told(often.chain(once)), @"
        f: result.at was 0, now 1 (51 requests)
        f: result.total was 7, now 8 (1 request)
        more: 0
        ");
    }

    #[test]
    fn a_long_list_hides_no_field_and_what_is_left_out_is_counted() {
        let items = (0..30).map(|n| field(&format!("result.items[{n}].price"), n));
        let tape = result(items.chain([field("result.sum", 1), field("result.items[4].tax", 1)]));
        insta::assert_snapshot!(told([vec![tape]]), @"
        f: result.items[0].price was 0, now 1 (1 request)
        f: result.sum was 1, now 2 (1 request)
        f: result.items[4].tax was 1, now 2 (1 request)
        f: result.items[1].price was 1, now 2 (1 request)
        f: result.items[2].price was 2, now 3 (1 request)
        f: result.items[3].price was 3, now 4 (1 request)
        f: result.items[4].price was 4, now 5 (1 request)
        f: result.items[5].price was 5, now 6 (1 request)
        f: result.items[6].price was 6, now 7 (1 request)
        f: result.items[7].price was 7, now 8 (1 request)
        f: result.items[8].price was 8, now 9 (1 request)
        f: result.items[9].price was 9, now 10 (1 request)
        more: 20
        ");
    }

    #[test]
    fn calls_are_known_again_whatever_they_are_about() {
        let (op, put) = ("kv.commit".to_owned(), |n: usize| format!("order:{n}"));
        let tape = |n: usize| {
            vec![
                Difference::Changed {
                    op: op.clone(),
                    subject: put(n),
                    fields: vec![field("args.writes[0].value.sum", n)],
                },
                Difference::Additional {
                    op: "http.fetch".to_owned(),
                    subject: "GET http://a/x".to_owned(),
                },
                Difference::Missing {
                    op: "http.fetch".to_owned(),
                    subject: format!("GET http://b/{n}"),
                },
                Difference::Ending { was: "a result".to_owned(), now: "a failure".to_owned() },
            ]
        };
        insta::assert_snapshot!(told((0..20).map(tape)), @"
        f: kv.commit order:0 args.writes[0].value.sum was 0, now 1 (20 requests)
        f: http.fetch GET http://a/x is new (20 requests)
        f: http.fetch GET http://b/0 is not made any more (20 requests)
        f: ended with a result, now with a failure (20 requests)
        more: 0
        ");
    }
}
