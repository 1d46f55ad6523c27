//! Which crates stay pure: their sources must not name a clock, a random source, the environment,
//! the file system, the network, threads, an executor or a logger.
//!
//! Clippy's `disallowed-methods` holds for a whole workspace and cannot say this for some crates.
//! The text is read as tokens: comments and strings are no findings, a grouped `use std::{fs, io}`
//! and code inside macros are. It does not follow renames (`use std as s`), nor what dependencies do.

use std::{fs, path::Path};

use anyhow::Context;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{Row, Workspace};

/// Paths that begin like this are findings.
const STARTS: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "tokio",
    "tracing",
    "log",
    "rand",
    "getrandom",
    "libc",
];

/// Paths that end like this are findings, whatever they were imported as.
const ENDS: &[&str] =
    &["SystemTime::now", "Instant::now", "io::stdin", "io::stdout", "io::stderr", "FileSystemOs"];

/// One sentence for each place in a pure crate that reaches outside.
pub fn findings(workspace: &Workspace, rows: &[Row]) -> anyhow::Result<Vec<String>> {
    let pure = |name: &str| rows.iter().any(|row| row.pure && row.package == name);
    let mut found = Vec::new();
    for package in workspace.packages.iter().filter(|package| pure(&package.name)) {
        for file in rust_files(&package.sources())? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let places = in_source(&text).with_context(|| file.display().to_string())?;
            found.extend(places.iter().map(|place| {
                let (name, file) = (&package.name, file.display());
                format!("{file}:{}: {name} is pure and must not use {}", place.line, place.path)
            }));
        }
    }
    Ok(found)
}

/// A path in a source text that a pure crate must not use.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    pub path: String,
}

/// The findings in one source text.
pub fn in_source(text: &str) -> anyhow::Result<Vec<Place>> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow::anyhow!("not Rust: {error}"))?;
    let mut places = Vec::new();
    walk(tokens, "", &mut places);
    places.retain(|place| is_forbidden(&place.path));
    // `std::fs::read` is found as `std::fs` and again as `std::fs::read`: say it once.
    places.dedup_by(|next, place| {
        next.line == place.line && next.path.starts_with(&format!("{}::", place.path))
    });
    Ok(places)
}

fn is_forbidden(path: &str) -> bool {
    let starts = |start: &&str| {
        path.strip_prefix(*start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let ends = |end: &&str| {
        path.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
    };
    path.contains("::") && (STARTS.iter().any(starts) || ENDS.iter().any(ends))
}

/// Collects every `a::b::c` of `tokens`; `prefix` is the path that leads to a use group, such as `std::`.
fn walk(tokens: TokenStream, prefix: &str, places: &mut Vec<Place>) {
    let mut path = prefix.to_owned();
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => path.push(':'),
            TokenTree::Ident(name) => {
                // Not so after `name:` of a field, nor after its `name: ::` of a path from the root.
                let goes_on = path.ends_with("::") && !path.ends_with(":::") && path != "::";
                path = format!("{}{name}", if goes_on { &path } else { prefix });
                places.push(Place { line, path: path.clone() });
            }
            TokenTree::Group(group) => {
                let is_use_group = group.delimiter() == Delimiter::Brace && path.ends_with("::");
                walk(group.stream(), if is_use_group { &path } else { "" }, places);
                path = prefix.to_owned();
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => path = prefix.to_owned(),
        }
    }
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
