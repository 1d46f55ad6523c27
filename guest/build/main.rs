//! Builds the engine images: for each manifest in `engines/`, the QuickJS sources of the pinned cargo
//! package and the shim become one wasm module.
//!
//! Hermetic: sources come from checksummed packages, flags from the manifest. Cached in the target
//! directory by the hash of everything that goes in, so that no profile or clean build of the crate
//! compiles them twice.

#![expect(clippy::print_stdout, reason = "that is how a build script talks to cargo")]

mod compiler;
mod engine;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use compiler::Compiler;
use engine::Engine;

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for input in ["build", "engines", "shim", "prelude"] {
        println!("cargo::rerun-if-changed={input}");
    }
    println!("cargo::rerun-if-env-changed={}", compiler::VARIABLE);
    let cache = cache_directory(&out)?;
    let engines = sorted_entries(&root.join("engines"))?;
    let images = engines.iter().map(|dir| image(dir, &root, &cache)).collect::<Result<Vec<_>>>()?;
    let prelude = out.join("prelude.js");
    fs::write(&prelude, concatenate_prelude(&root.join("prelude"))?)?;
    fs::write(out.join("images.rs"), generated(&images, &prelude))?;
    Ok(())
}

/// `target/guest-images`, found from `target/<profile>/build/<package>/out`.
fn cache_directory(out: &Path) -> Result<PathBuf> {
    let target = out.ancestors().nth(4).context("OUT_DIR is not inside a target directory")?;
    let cache = target.join("guest-images");
    fs::create_dir_all(&cache)?;
    Ok(cache)
}

fn sorted_entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut entries = read.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

/// The environment's name and the path of its wasm module, compiled if the cache lacks it.
fn image(directory: &Path, root: &Path, cache: &Path) -> Result<(String, PathBuf)> {
    let engine = Engine::open(directory)?;
    let compiler = Compiler::find(root)?;
    let shim = root.join("shim/belay.c");
    let path = cache.join(format!("{}.wasm", engine.key(&shim, &compiler)?));
    if !path.exists() {
        let work = tempdir(cache)?;
        let built = engine.compile(&shim, &compiler, &work);
        let moved = built.and_then(|wasm| Ok(fs::rename(wasm, &path)?));
        fs::remove_dir_all(&work)?;
        moved?;
    }
    Ok((engine.environment, path))
}

fn tempdir(cache: &Path) -> Result<PathBuf> {
    let work = cache.join(format!("work-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    Ok(work)
}

/// The prelude's files, in name order, as the body of one function from `native` to `hooks`.
fn concatenate_prelude(directory: &Path) -> Result<String> {
    let mut text = String::from("(function (native) { \"use strict\";\n");
    for path in
        sorted_entries(directory)?.iter().filter(|p| p.extension().is_some_and(|e| e == "js"))
    {
        text += &fs::read_to_string(path)?;
        text += "\n";
    }
    text += "return hooks; })";
    Ok(text)
}

fn generated(images: &[(String, PathBuf)], prelude: &Path) -> String {
    let entry = |(environment, path): &(String, PathBuf)| {
        format!(
            "    EngineImage {{ environment: {environment:?}, wasm: include_bytes!({path:?}) }},\n"
        )
    };
    format!(
        "/// Every engine that this build ships.\npub const ENGINES: &[EngineImage] = &[\n{}];\n\n\
         /// JavaScript: a function expression from the shim's natives to the hooks it calls.\n\
         pub const PRELUDE: &str = include_str!({prelude:?});\n",
        images.iter().map(entry).collect::<String>()
    )
}
