//! What a user is told about an import that leads nowhere: what, where, and what to do next.

use std::path::{Path, PathBuf};

use belay_model::Diagnostic;

use super::{EntryPoint, node, resolver::Reason};
use crate::{
    fs::{FileKind, SharedFs},
    limits::SourceLimits,
    linking::{Unit, nearest},
    syntax::Import,
};

pub(super) fn tsconfig(problem: &str) -> Diagnostic {
    Diagnostic::warning("tsconfig", format!("tsconfig.json is not used: {problem}"))
        .help("its `paths` do not apply until it can be read")
}

pub(super) fn missing_entry(fs: &SharedFs, root: &Path, entry: &EntryPoint) -> Diagnostic {
    let module = entry.module.display();
    let message =
        format!("function `{}` names the module {module}, which does not exist", entry.function);
    let diagnostic = Diagnostic::error("missing-entry", message);
    match similar_file(fs, &root.join(&entry.module)) {
        Some(name) => diagnostic
            .help(format!("did you mean `{}`?", entry.module.with_file_name(name).display())),
        None => diagnostic.help("paths are relative to the app's directory"),
    }
}

pub(super) fn unreadable(name: &str, problem: &str) -> Diagnostic {
    Diagnostic::error("unreadable-file", format!("{name} cannot be read: {problem}"))
}

pub(super) fn too_long(name: &str, max: usize) -> Diagnostic {
    let message = format!("{name} is longer than {} MiB", max >> 20);
    Diagnostic::error("too-large", message)
        .help("keep large data outside, and read it with `kv` or `fetch`")
}

pub(super) fn too_much(limits: &SourceLimits, chain: Vec<String>) -> Diagnostic {
    let message = format!(
        "the app reaches more than {} modules or {} MiB of source",
        limits.modules,
        limits.total_bytes >> 20
    );
    Diagnostic::error("too-large", message).via(chain).help(
        "import the parts of a package that you use rather than its index, or bundle it first",
    )
}

pub(super) fn not_text(name: &str) -> Diagnostic {
    Diagnostic::error("not-text", format!("{name} is not UTF-8 text"))
        .help("save it as UTF-8; binary data can be imported as base64 in JSON")
}

pub(super) fn and_more(more: usize) -> Diagnostic {
    Diagnostic::error("more-errors", format!("and {more} more errors"))
}

pub(super) fn native(unit: &Unit, import: &Import) -> Diagnostic {
    let message = format!(
        "{:?} loads a native addon, which is machine code for one platform",
        import.specifier
    );
    Diagnostic::error("native-addon", message)
        .at(unit.label(import.span, "loaded here"))
        .help("use a package written in JavaScript, such as `bcryptjs` for `bcrypt`")
}

pub(super) fn node_builtin(unit: &Unit, import: &Import, name: &str) -> Diagnostic {
    Diagnostic::error(
        "node-builtin",
        format!("{:?} is a built-in module of Node, which Belay does not have", import.specifier),
    )
    .at(unit.label(import.span, "imported here"))
    .help(node::instead(name))
}

pub(super) fn asset(unit: &Unit, import: &Import) -> Diagnostic {
    let extension = import.specifier.rsplit_once('.').map_or("", |(_, extension)| extension);
    let help = match extension {
        "css" | "scss" | "sass" | "less" => {
            "styles have no effect in a function; remove the import"
        }
        "wasm" => "WebAssembly cannot be imported; use a version of the package in JavaScript",
        "txt" | "html" | "md" | "sql" | "graphql" => {
            "put the text into a `.ts` file as an exported string"
        }
        "yaml" | "yml" | "toml" => "convert it to JSON, which can be imported",
        _ => "serve it from elsewhere and `fetch` it, or put the data into JSON",
    };
    let message = format!(
        "{:?} is not a module: only JavaScript, TypeScript and JSON can be imported",
        import.specifier
    );
    Diagnostic::error("unsupported-file", message).at(unit.label(import.span, "")).help(help)
}

pub(super) fn missing(
    fs: &SharedFs,
    root: &Path,
    importer: &Path,
    unit: &Unit,
    import: &Import,
    reason: &Reason,
) -> Diagnostic {
    let specifier = import.specifier.as_str();
    let diagnostic = match reason {
        Reason::Absent if is_path(specifier) => missing_file(fs, importer, specifier),
        Reason::Absent => missing_package(fs, root, importer, specifier),
        Reason::NotExported { package } => {
            not_exported(package.strip_prefix(root).unwrap_or(package), specifier)
        }
        Reason::Broken(problem) => {
            Diagnostic::error("missing-import", format!("cannot resolve {specifier:?}: {problem}"))
        }
    };
    diagnostic.at(unit.label(import.span, "imported here"))
}

fn is_path(specifier: &str) -> bool {
    specifier.starts_with('.') || specifier.starts_with('/')
}

fn missing_file(fs: &SharedFs, importer: &Path, specifier: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error("missing-import", format!("cannot find {specifier:?}"));
    let wanted = importer.parent().unwrap_or(importer).join(specifier);
    match similar_file(fs, &wanted) {
        Some(name) => {
            let directory = specifier.rsplit_once('/').map_or(".", |(directory, _)| directory);
            diagnostic.help(format!("did you mean \"{directory}/{name}\"?"))
        }
        None => diagnostic
            .help("no file of that name is there, with any extension that can be imported"),
    }
}

fn missing_package(fs: &SharedFs, root: &Path, importer: &Path, specifier: &str) -> Diagnostic {
    let package = package_name(specifier);
    let diagnostic =
        Diagnostic::error("missing-import", format!("cannot find the package {package:?}"));
    if specifier.starts_with("@/") || specifier.starts_with('~') || specifier.starts_with('#') {
        return Diagnostic::error("missing-import", format!("cannot find {specifier:?}")).help(
            "an alias must be declared: `paths` in the tsconfig.json of the app's directory, or `imports` in package.json",
        );
    }
    if package_is_there(fs, importer, &package) {
        return Diagnostic::error(
            "missing-import",
            format!("the package {package:?} has no {specifier:?}"),
        )
        .help("look into its package.json and directory for what can be imported");
    }
    let installed = installed_packages(fs, root);
    match nearest(&package, installed.iter().map(String::as_str)) {
        Some(name) => {
            diagnostic.help(format!("did you mean {name:?}? otherwise run `npm install {package}`"))
        }
        None => diagnostic.help(format!("run `npm install {package}`")),
    }
}

fn not_exported(package: &Path, specifier: &str) -> Diagnostic {
    let message = format!("{specifier:?} is not among the `exports` of its package");
    Diagnostic::error("missing-import", message)
        .help(format!("see \"exports\" in {}", package.join("package.json").display()))
}

/// `@scope/name` or `name`, without the path behind it.
fn package_name(specifier: &str) -> String {
    let parts = if specifier.starts_with('@') { 2 } else { 1 };
    specifier.split('/').take(parts).collect::<Vec<_>>().join("/")
}

fn package_is_there(fs: &SharedFs, importer: &Path, package: &str) -> bool {
    let is_dir = |path: PathBuf| fs.0.metadata(&path).is_ok_and(|meta| meta.kind == FileKind::Dir);
    importer.ancestors().skip(1).any(|above| is_dir(above.join("node_modules").join(package)))
}

fn installed_packages(fs: &SharedFs, root: &Path) -> Vec<String> {
    let directory = root.join("node_modules");
    let list = |path: &Path| fs.0.list(path).into_iter().filter(|name| !name.starts_with('.'));
    let scoped = |scope: String| {
        list(&directory.join(&scope)).map(move |name| format!("{scope}/{name}")).collect::<Vec<_>>()
    };
    let expand = |name: String| if name.starts_with('@') { scoped(name) } else { vec![name] };
    list(&directory).flat_map(expand).collect()
}

/// A file of nearly the same name in the same directory; the same name with another extension
/// first.
fn similar_file(fs: &SharedFs, wanted: &Path) -> Option<String> {
    let name = wanted.file_name()?.to_str()?;
    let mut files = fs.0.list(wanted.parent()?);
    files.sort();
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let same = files.iter().find(|file| stem(file) == stem(name));
    let near = || nearest(name, files.iter().map(String::as_str)).map(str::to_owned);
    let near_stem = || {
        let stems: Vec<String> = files.iter().map(|file| stem(file)).collect();
        let near = nearest(&stem(name), stems.iter().map(String::as_str))?;
        files.iter().find(|file| stem(file) == near).cloned()
    };
    same.cloned().or_else(near).or_else(near_stem)
}
