//! Names of files within an app: readable, stable, without `..`, the same on every machine.
//!
//! A file under the root has its relative path. One outside, such as a hoisted package or a linked
//! one of the same monorepo, is named after its path from the nearest directory above the root that
//! holds both, with how many levels up that is: `@up2/packages/money/src/index.ts`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

#[derive(Default)]
pub(super) struct Names {
    by_file: BTreeMap<PathBuf, String>,
    taken: BTreeSet<String>,
}

impl Names {
    /// The name of a file. The same file has the same name; different files have different ones.
    pub(super) fn name(&mut self, root: &Path, file: &Path) -> String {
        if let Some(name) = self.by_file.get(file) {
            return name.clone();
        }
        let plain = plain_name(root, file);
        let mut names = std::iter::once(plain.clone()).chain((2..).map(|n| numbered(&plain, n)));
        let name = names.find(|name| !self.taken.contains(name)).unwrap_or(plain);
        self.taken.insert(name.clone());
        self.by_file.insert(file.to_owned(), name.clone());
        name
    }
}

fn plain_name(root: &Path, file: &Path) -> String {
    let mut above = root;
    let mut up = 0;
    loop {
        if let Ok(rest) = file.strip_prefix(above) {
            let rest = slashes(rest);
            return if up == 0 { rest } else { format!("@up{up}/{rest}") };
        }
        match above.parent() {
            Some(parent) => above = parent,
            None => return format!("@up{up}/{}", slashes(file)),
        }
        up += 1;
    }
}

/// Characters with a meaning of their own in stacks and manifests are replaced.
fn slashes(path: &Path) -> String {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => {
            let odd = |c: char| matches!(c, '\\' | ':') || c.is_control();
            Some(part.to_string_lossy().replace(odd, "_"))
        }
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            None
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Before the extension, which tells the dialect.
fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}~{number}.{extension}"),
        None => format!("{name}~{number}"),
    }
}
