//! One engine version: its manifest, where its sources are, and how they are compiled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::compiler::Compiler;

/// `[package.metadata.belay]` of `engines/NAME/Cargo.toml`.
#[derive(Deserialize)]
struct Manifest {
    environment: String,
    /// The cargo package that carries the C sources, and the folder in it.
    package: String,
    directory: String,
    sources: Vec<String>,
    flags: Vec<String>,
    #[serde(default)]
    patches: Vec<Patch>,
}

/// A replacement that must apply exactly once.
#[derive(Deserialize)]
struct Patch {
    file: String,
    from: String,
    to: String,
}

pub(crate) struct Engine {
    pub(crate) environment: String,
    manifest: Manifest,
    sources: PathBuf,
}

const FLAGS: &[&str] = &[
    "-O2",
    "-w",
    "-std=gnu11",
    "-DNDEBUG",
    "-D_GNU_SOURCE",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_SIGNAL",
    "-fno-strict-aliasing",
    "-fwrapv",
    "-mexec-model=reactor",
    "-mbulk-memory",
    "-msign-ext",
    "-mnontrapping-fptoint",
    "-mmutable-globals",
    "-Wl,-z,stack-size=720896",
    "-Wl,--export=__stack_pointer",
    "-lm",
    "-lwasi-emulated-process-clocks",
];

impl Engine {
    /// Asks cargo for the sources of the pinned package; cargo downloads and checks them if need be.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("Cargo.toml");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
            .arg(&path)
            .output()?;
        ensure!(
            output.status.success(),
            "cargo metadata of {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
        let own = packages.iter().find(|p| p["metadata"]["belay"].is_object());
        let own =
            own.with_context(|| format!("{} has no [package.metadata.belay]", path.display()))?;
        let manifest: Manifest = serde_json::from_value(own["metadata"]["belay"].clone())?;
        let package = packages.iter().find(|p| p["name"] == manifest.package.as_str());
        let at = package
            .and_then(|p| p["manifest_path"].as_str())
            .context("the pinned package is not in the lock file")?;
        let sources = Path::new(at).with_file_name(&manifest.directory);
        Ok(Self { environment: manifest.environment.clone(), manifest, sources })
    }

    /// The hash of all that decides the result.
    pub(crate) fn key(&self, shim: &Path, compiler: &Compiler) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        FLAGS.iter().for_each(|flag| add(flag.as_bytes()));
        self.manifest.flags.iter().for_each(|flag| add(flag.as_bytes()));
        add(compiler.identity().as_bytes());
        add(&fs::read(shim)?);
        for name in self.file_names()? {
            add(name.as_bytes());
            add(self.patched(&name)?.as_bytes());
        }
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }

    /// Compiles in `work`, where patched copies of the sources go; returns the module's path.
    pub(crate) fn compile(&self, shim: &Path, compiler: &Compiler, work: &Path) -> Result<PathBuf> {
        for name in self.file_names()? {
            fs::write(work.join(&name), self.patched(&name)?)?;
        }
        let wasm = work.join("engine.wasm");
        let mut command = compiler.command();
        command
            .args(FLAGS)
            .args(&self.manifest.flags)
            .arg("-I")
            .arg(work)
            .arg("-o")
            .arg(&wasm)
            .arg(shim);
        command.args(self.manifest.sources.iter().map(|name| work.join(name)));
        let output = command.output().with_context(|| format!("running {command:?}"))?;
        if !output.status.success() {
            bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(wasm)
    }

    /// The C sources and every header beside them, sorted.
    fn file_names(&self) -> Result<Vec<String>> {
        let wanted = |name: &String| name.ends_with(".h") || self.manifest.sources.contains(name);
        let entries = fs::read_dir(&self.sources)
            .with_context(|| format!("reading {}", self.sources.display()))?;
        let names = entries
            .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        let mut names: Vec<_> = names.into_iter().filter(wanted).collect();
        names.sort();
        Ok(names)
    }

    fn patched(&self, name: &str) -> Result<String> {
        let mut text = fs::read_to_string(self.sources.join(name))?;
        for patch in self.manifest.patches.iter().filter(|patch| patch.file == name) {
            ensure!(
                text.matches(&patch.from).count() == 1,
                "a patch of {name} in {} does not apply once: {:?}",
                self.environment,
                patch.from
            );
            text = text.replace(&patch.from, &patch.to);
        }
        Ok(text)
    }
}
