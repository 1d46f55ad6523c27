//! A single file as an app.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use belay_model::{
    AppName, AppTags, Diagnostic, EgressPolicy, EnvironmentName, FunctionName, Limits, Tags,
};

use super::Project;
use crate::{
    commands::named_after,
    config::Function,
    exit::{CliError, CliResult},
};

const EXTENSIONS: [&str; 6] = ["js", "mjs", "cjs", "ts", "mts", "cts"];

/// `file` is absolute.
pub(super) fn open(file: &Path, name: Option<AppName>) -> CliResult<Project> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !EXTENSIONS.contains(&extension) {
        return Err(CliError::usage(format!("{} is not something to deploy", file.display()))
            .help("give a directory with a belay.toml, or a .js or .ts file"));
    }
    let app = name.map_or_else(|| app_name(file), Ok)?;
    let root = root_of(file);
    let module = relative(&root, file)?;
    let functions = functions(file, &module)?;
    Ok(Project {
        root,
        app,
        environment: EnvironmentName::default(),
        functions,
        env: BTreeMap::new(),
        egress: EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: AppTags::default(),
        policy: belay_model::Policy::default(),
        test: None,
    })
}

fn app_name(file: &Path) -> CliResult<AppName> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    named_after(&stem).ok_or_else(|| {
        CliError::usage(format!("no app can be named after {stem:?}")).help("name it: --name hello")
    })
}

/// The nearest directory that has packages, so that they are found; else the file's own.
fn root_of(file: &Path) -> PathBuf {
    let own = file.parent().unwrap_or(file);
    let has_packages =
        |dir: &&Path| dir.join("package.json").is_file() || dir.join("node_modules").is_dir();
    own.ancestors().find(has_packages).unwrap_or(own).to_owned()
}

fn relative(root: &Path, file: &Path) -> CliResult<String> {
    let path = file.strip_prefix(root).ok().and_then(Path::to_str);
    path.map(str::to_owned)
        .ok_or_else(|| CliError::usage(format!("the path {} is not UTF-8", file.display())))
}

fn functions(file: &Path, module: &str) -> CliResult<BTreeMap<FunctionName, Function>> {
    let exports = exports(file)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let named = |name: &str, export: &str| {
        let function = Function {
            module: module.to_owned(),
            export: export.to_owned(),
            limits: Limits::default(),
            tags: Tags::default(),
            place: None,
        };
        Some((name.parse::<FunctionName>().ok()?, function))
    };
    let own = ["handler", "default"].into_iter().find(|own| exports.iter().any(|name| name == own));
    if let Some(export) = own {
        let name = named_after(&stem).map_or_else(|| "handler".to_owned(), String::from);
        return Ok(named(&name, export).into_iter().collect());
    }
    let found: BTreeMap<_, _> = exports.iter().filter_map(|export| named(export, export)).collect();
    if found.is_empty() {
        let diagnostic = Diagnostic::error("no-handler", format!("{module} exports no function"))
            .help("export one: `export async function handler(event) { … }`");
        return Err(CliError::refused("there is nothing to deploy", vec![diagnostic]));
    }
    Ok(found)
}

/// Names of the functions that a module exports.
pub(super) fn exports(file: &Path) -> CliResult<Vec<String>> {
    let source = fs::read_to_string(file).map_err(|error| {
        CliError::usage(format!("cannot read {}", file.display())).because(&error)
    })?;
    let path = file.file_name().unwrap_or_default().to_string_lossy();
    belay_weave::exported_functions(&path, &source).map_err(|diagnostics| {
        CliError::refused(format!("{path} was not deployed; nothing has changed"), diagnostics)
    })
}
