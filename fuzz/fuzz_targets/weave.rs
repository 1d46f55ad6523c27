//! Two versions of one module, the second one edited out of the first: bytes are replaced by others, or by pieces of
//! the text itself.
//!
//! Weaving ends, what is woven is both versions, and all parts taken at *after* are the new text, byte for byte.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use belay_model::Arm;
use belay_weave::{Loose, Tying};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    language: Language,
    text: &'a str,
    edits: Vec<Edit<'a>>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Language {
    JavaScript,
    TypeScript,
    Tsx,
    CommonJs,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Edit<'a> {
    from: u16,
    len: u8,
    by: By<'a>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum By<'a> {
    Text(&'a str),
    /// A piece of what is there.
    Copy { from: u16, len: u8 },
}

fuzz_target!(|input: Input<'_>| {
    let path = match input.language {
        Language::JavaScript => "main.mjs",
        Language::TypeScript => "main.ts",
        Language::Tsx => "main.tsx",
        Language::CommonJs => "main.cjs",
    };
    let after = input.edits.iter().take(8).fold(input.text.to_owned(), edited);
    let sources = |text: &str| BTreeMap::from([(path.to_owned(), text.into())]);
    let weave = Loose::read(&sources(input.text), &sources(&after)).weave(Tying::Default);
    let wrong: Vec<_> = weave.mismatches().collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(&*weave.resolve(&|_| Arm::After).unwrap().1[path], after);
});

fn edited(text: String, edit: &Edit<'_>) -> String {
    let piece = |from: u16, len: u8| {
        let mut start = usize::from(from).min(text.len());
        let mut end = (start + usize::from(len)).min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    };
    let by = match edit.by {
        By::Text(by) => by.to_owned(),
        By::Copy { from, len } => text[piece(from, len)].to_owned(),
    };
    let gone = piece(edit.from, edit.len);
    [&text[..gone.start], &by, &text[gone.end..]].concat()
}
