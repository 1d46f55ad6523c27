//! Where a specifier leads, by the rules of Node with the conditions of a worker.
//!
//! A thin layer over `oxc_resolver`: the options, and its errors as an [`Outcome`]. Packages of the
//! names of Node's built-in modules (`buffer`, `events`) win over those, since here only the
//! packages exist.

use std::path::{Path, PathBuf};

use belay_model::ImportKind;
use oxc_resolver::{
    ModuleType, ResolveError, ResolveOptions, ResolverGeneric, TsconfigDiscovery, TsconfigOptions,
    TsconfigReferences,
};

use crate::fs::SharedFs;

/// What a specifier leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    File {
        path: PathBuf,
        package_type: Option<PackageType>,
    },
    /// The platform's own module.
    Builtin,
    /// A package maps it to nothing.
    Empty,
    /// A built-in module of Node, without `node:`.
    Node(String),
    NotFound(Reason),
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    Absent,
    /// The package is there and does not let this path be imported.
    NotExported {
        package: PathBuf,
    },
    /// A package.json or its exports are wrong, in the resolver's words.
    Broken(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackageType {
    Module,
    CommonJs,
}

pub(super) struct Resolver {
    import: ResolverGeneric<SharedFs>,
    require: ResolverGeneric<SharedFs>,
    /// With the `paths` of the root's tsconfig.json, for the app's own files.
    own_import: ResolverGeneric<SharedFs>,
    own_require: ResolverGeneric<SharedFs>,
    /// Why tsconfig.json is not used.
    pub(super) tsconfig_problem: Option<String>,
}

impl Resolver {
    pub(super) fn new(fs: &SharedFs, root: &Path) -> Self {
        let import =
            ResolverGeneric::new_with_file_system(fs.clone(), options("import", &PACKAGE_FILES));
        let require = import.clone_with_options(options("require", &PACKAGE_FILES));
        let file = root.join("tsconfig.json");
        let found = fs.0.metadata(&file).is_ok();
        let problem =
            if found { import.resolve_tsconfig(&file).err().map(|e| e.to_string()) } else { None };
        let tsconfig = (found && problem.is_none()).then_some(file);
        let with = |condition| ResolveOptions {
            tsconfig: tsconfig.clone().map(|config_file| {
                TsconfigDiscovery::Manual(TsconfigOptions {
                    config_file,
                    references: TsconfigReferences::Disabled,
                })
            }),
            ..options(condition, &OWN_FILES)
        };
        Self {
            own_import: import.clone_with_options(with("import")),
            own_require: import.clone_with_options(with("require")),
            import,
            require,
            tsconfig_problem: problem,
        }
    }

    /// Resolves an entry: a path relative to the root, or absolute.
    pub(super) fn entry(&self, root: &Path, module: &Path) -> Outcome {
        let text = module.to_string_lossy().replace('\\', "/");
        let specifier =
            if module.is_absolute() || text.starts_with('.') { text } else { format!("./{text}") };
        outcome(&specifier, self.own_import.resolve(root, &specifier))
    }

    pub(super) fn resolve(
        &self,
        importer: &Path,
        own: bool,
        specifier: &str,
        kind: ImportKind,
    ) -> Outcome {
        if specifier == "belay" {
            return Outcome::Builtin;
        }
        let directory = importer.parent().unwrap_or(importer);
        let find = |own: bool| {
            let resolver = match (kind, own) {
                (ImportKind::Require, true) => &self.own_require,
                (ImportKind::Require, false) => &self.require,
                (ImportKind::Import | ImportKind::Dynamic, true) => &self.own_import,
                (ImportKind::Import | ImportKind::Dynamic, false) => &self.import,
            };
            outcome(specifier, resolver.resolve(directory, specifier))
        };
        match find(own) {
            // The package's files are looked for as packages are.
            Outcome::File { path, .. } if own && is_installed(&path) => find(false),
            found => found,
        }
    }
}

/// Whether a file belongs to an installed package. Linked packages of a monorepo are the user's
/// own.
pub(super) fn is_installed(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "node_modules")
}

/// Extensions to try, in this order: what the author writes is newer than what was built from it.
const OWN_FILES: [&str; 9] =
    [".ts", ".tsx", ".mts", ".cts", ".js", ".mjs", ".cjs", ".jsx", ".json"];
/// In packages what was built is what its author tested.
const PACKAGE_FILES: [&str; 9] =
    [".js", ".json", ".cjs", ".mjs", ".jsx", ".ts", ".tsx", ".mts", ".cts"];

fn options(condition: &str, extensions: &[&str]) -> ResolveOptions {
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let alias = |from: &str, to: &[&str]| (from.to_owned(), strings(to));
    ResolveOptions {
        condition_names: strings(&["belay", "worker", "browser", condition, "default"]),
        extensions: strings(extensions),
        // TypeScript asks that `./x.ts` is imported as `./x.js`.
        extension_alias: vec![
            alias(".js", &[".js", ".ts", ".tsx", ".jsx"]),
            alias(".jsx", &[".jsx", ".tsx"]),
            alias(".mjs", &[".mjs", ".mts"]),
            alias(".cjs", &[".cjs", ".cts"]),
        ],
        alias_fields: vec![strings(&["browser"])],
        main_fields: strings(&["browser", "main"]),
        module_type: true,
        ..ResolveOptions::default()
    }
}

fn outcome(specifier: &str, found: Result<oxc_resolver::Resolution, ResolveError>) -> Outcome {
    match found {
        Ok(resolution) => Outcome::File {
            package_type: match resolution.module_type() {
                Some(ModuleType::Module) => Some(PackageType::Module),
                Some(ModuleType::CommonJs) => Some(PackageType::CommonJs),
                Some(ModuleType::Json | ModuleType::Wasm | ModuleType::Addon) | None => None,
            },
            path: resolution.into_path_buf(),
        },
        Err(ResolveError::Ignored(_)) => Outcome::Empty,
        Err(error) => match super::node::builtin(specifier) {
            Some(name) => Outcome::Node(name.to_owned()),
            None => Outcome::NotFound(reason(error)),
        },
    }
}

fn reason(error: ResolveError) -> Reason {
    match error {
        ResolveError::NotFound(_)
        | ResolveError::ExtensionAlias(..)
        | ResolveError::MatchedAliasNotFound(..) => Reason::Absent,
        ResolveError::PackagePathNotExported { package_path, .. } => {
            Reason::NotExported { package: package_path }
        }
        other => Reason::Broken(other.to_string()),
    }
}
