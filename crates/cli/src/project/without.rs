//! A directory without `belay.toml`: says what one would look like for what is there.

use std::{fmt::Write as _, path::Path};

use crate::{
    commands::named_after,
    config::FILE,
    exit::{CliError, CliResult},
};

/// Files that are likely to hold a handler, the likeliest first.
const LIKELY: [&str; 10] = [
    "src/index.ts",
    "src/index.js",
    "src/index.mjs",
    "src/handler.ts",
    "src/handler.js",
    "index.ts",
    "index.js",
    "index.mjs",
    "handler.ts",
    "handler.js",
];

/// The error for `root`.
pub(super) fn explain(root: &Path) -> CliError {
    let above = root.ancestors().skip(1).find(|dir| dir.join(FILE).is_file());
    if let Some(above) = above {
        return CliError::usage(format!("there is no belay.toml in {}", root.display()))
            .help(format!("there is one above: `belay deploy {}`", above.display()));
    }
    let found = LIKELY.into_iter().find(|path| root.join(path).is_file());
    let error = CliError::usage(format!("there is no belay.toml in {}", root.display()));
    match found.map(|module| suggestion(root, module)) {
        Some(Ok(help)) => error.help(help),
        Some(Err(_)) | None => error.help(if root.join("package.json").is_file() {
            "it has a package.json but no module that looks like a handler; write a belay.toml that \
             names it, as `belay init` does in an empty directory"
        } else {
            "`belay init DIR` writes a new project, and a single .js or .ts file deploys without one"
        }),
    }
}

fn suggestion(root: &Path, module: &str) -> CliResult<String> {
    let stem = root.file_name().unwrap_or_default().to_string_lossy();
    let app = named_after(&stem).map_or_else(|| "app".to_owned(), String::from);
    let exports = super::single::exports(&root.join(module))?;
    let mut file = format!("app = \"{app}\"\n\n[functions]");
    let callable = exports.iter().filter(|export| *export != "default");
    for export in callable.clone() {
        let _ = write!(file, "\n{export} = \"{module}#{export}\"");
    }
    if callable.count() == 0 {
        let _ = write!(file, "\nhello = \"{module}#hello\"");
    }
    let indented = file.replace('\n', "\n    ");
    Ok(format!("write a belay.toml with this (or deploy just {module}):\n\n    {indented}"))
}
