//! `belay init`: writes a project that type-checks, deploys and answers, and overwrites nothing.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use belay_model::AppName;
use serde_json::json;

use crate::{
    args::Init,
    exit::{CliError, CliResult},
    output::{BOLD, GOOD, Output, styled},
};

/// The published types, copied in so that the project type-checks without an install.
const TYPES: &str = include_str!("../../../../npm/index.d.ts");

/// One file to write, with `{{app}}` for the app's name.
type Template = (&'static str, &'static str);

const SHARED: [Template; 2] =
    [("belay.d.ts", TYPES), (".gitignore", include_str!("../templates/gitignore"))];

const TYPESCRIPT: [Template; 4] = [
    ("belay.toml", include_str!("../templates/belay.ts.toml")),
    ("package.json", include_str!("../templates/package.ts.json")),
    ("tsconfig.json", include_str!("../templates/tsconfig.json")),
    ("src/index.ts", include_str!("../templates/index.ts")),
];

const JAVASCRIPT: [Template; 4] = [
    ("belay.toml", include_str!("../templates/belay.js.toml")),
    ("package.json", include_str!("../templates/package.js.json")),
    ("jsconfig.json", include_str!("../templates/jsconfig.json")),
    ("src/index.js", include_str!("../templates/index.js")),
];

pub(crate) fn run(args: &Init, output: Output) -> CliResult {
    let app = app_name(&args.dir)?;
    let own = if args.js { &JAVASCRIPT } else { &TYPESCRIPT };
    let files: Vec<Template> = own.iter().chain(&SHARED).copied().collect();
    refuse_to_overwrite(&args.dir, &files)?;
    for (path, content) in &files {
        let path = args.dir.join(path);
        let content = content.replace("{{app}}", app.as_str());
        write(&path, &content).map_err(|error| cannot_write(&path, &error))?;
    }
    tell(args, &app, &files, output);
    Ok(())
}

/// The directory's name, with what cannot be in a name replaced.
fn app_name(dir: &Path) -> CliResult<AppName> {
    let full = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let stem = full.file_name().unwrap_or_default().to_string_lossy();
    named_after(&stem).ok_or_else(|| {
        CliError::usage(format!("no app can be named after the directory {}", full.display()))
            .help("give a directory whose name has a letter: `belay init hello`")
    })
}

/// A name made of what `text` has of letters, digits, `-` and `_`.
pub(crate) fn named_after(text: &str) -> Option<AppName> {
    let fitting = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = text.chars().map(|c| if fitting(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    let name: String = name.chars().take(64).collect();
    name.trim_end_matches('-').parse().ok()
}

fn refuse_to_overwrite(dir: &Path, files: &[Template]) -> CliResult {
    let exists = |path: &&str| dir.join(path).symlink_metadata().is_ok();
    let taken: Vec<&str> = files.iter().map(|(path, _)| *path).filter(exists).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let message =
        format!("{} already has {}; nothing was written", dir.display(), taken.join(", "));
    Err(CliError::failed("exists", message).help("choose an empty directory: `belay init NAME`"))
}

/// `create_new`, so that a file that appeared meanwhile survives too.
fn write(path: &Path, content: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create_new(path)?.write_all(content.as_bytes())
}

fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    CliError::failed("write", format!("cannot write {}", path.display())).because(error)
}

fn tell(args: &Init, app: &AppName, files: &[Template], output: Output) {
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| args.dir.join(path)).collect();
    output.json(&json!({ "app": app, "dir": args.dir, "files": paths }));
    output.line(format!("{} {}", styled(GOOD, "created"), styled(BOLD, app)));
    for path in &paths {
        output.line(format!("  {}", path.display()));
    }
    let dir = quoted(&args.dir.to_string_lossy());
    output.line("\nnext:");
    output.line("  belay up                                   the server, in another terminal");
    output.line(format!("  {:<42} build it and make it live", format!("belay deploy {dir}")));
    output.line("  belay invoke hello '{\"name\": \"Ada\"}'");
}

/// A path as it is typed in a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{named_after, quoted};

    #[test]
    fn paths_in_a_shell() {
        assert_eq!(quoted("../my-app_2"), "../my-app_2");
        assert_eq!(quoted("b ad"), "'b ad'");
        assert_eq!(quoted("~/it's"), r"'~/it'\''s'");
    }

    #[test]
    fn names_of_directories() {
        let named = |text| named_after(text).map(String::from);
        assert_eq!(named("shop"), Some("shop".to_owned()));
        assert_eq!(named("my shop (2)"), Some("my-shop--2".to_owned()));
        assert_eq!(named("2024-report"), Some("report".to_owned()));
        assert_eq!(named("123"), None);
        assert_eq!(named(""), None);
        assert_eq!(named(&"x".repeat(80)).map(|name| name.len()), Some(64));
    }
}
