//! Compiles an engine image to machine code once per image and machine, and keeps it on disk.
//!
//! The key covers everything that decides the code: the module, wasmtime's version and settings, and the
//! machine's features (all in wasmtime's compatibility hash). A file that does not match its own checksum
//! is compiled anew.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use belay_model::Hash;
use wasmtime::{Engine, Module};

use crate::EngineError;

const CHECKSUM: usize = 32;

/// The compiled module, from `cache` if it is there; the cache is made if need be.
pub(crate) fn compile(engine: &Engine, wasm: &[u8], cache: &Path) -> Result<Module, EngineError> {
    let path = cache.join(format!("{}.machine-code", key(engine, wasm).to_hex()));
    if let Some(module) = read(engine, &path) {
        return Ok(module);
    }
    let code = engine.precompile_module(wasm).map_err(|e| broken(&e))?;
    write(cache, &path, &code)?;
    deserialize(engine, &code).map_err(|e| broken(&e))
}

fn key(engine: &Engine, wasm: &[u8]) -> Hash {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut material = hasher.finish().to_le_bytes().to_vec();
    material.extend_from_slice(wasm);
    Hash::of(&material)
}

fn read(engine: &Engine, path: &Path) -> Option<Module> {
    let file = fs::read(path).ok()?;
    let (checksum, code) = file.split_at_checked(CHECKSUM)?;
    if self::checksum(path, code).as_bytes() != checksum {
        return None;
    }
    deserialize(engine, code).ok()
}

/// Covers the name, which is the key: code under another key is not what was asked for.
fn checksum(path: &Path, code: &[u8]) -> Hash {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    Hash::of(&[Hash::of(name).as_bytes().as_slice(), Hash::of(code).as_bytes()].concat())
}

/// Under a temporary name first, so that a reader never sees half a file.
fn write(cache: &Path, path: &Path, code: &[u8]) -> Result<(), EngineError> {
    let content = [checksum(path, code).as_bytes().as_slice(), code].concat();
    let written = fs::create_dir_all(cache)
        .and_then(|()| tempfile::Builder::new().suffix(".partial").tempfile_in(cache))
        .and_then(|mut file| file.write_all(&content).map(|()| file))
        .and_then(|file| file.persist(path).map_err(|failed| failed.error));
    written.map(drop).map_err(|source| file_error(path.to_owned(), source))
}

fn file_error(path: PathBuf, source: io::Error) -> EngineError {
    EngineError::File { operation: "keeping machine code in", path, source }
}

#[expect(unsafe_code, reason = "machine code is trusted: this process or an earlier one made it")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: from `precompile_module`, or from a file of the user's own cache whose checksum was verified.
    unsafe { Module::deserialize(engine, code) }
}

fn broken(error: &wasmtime::Error) -> EngineError {
    EngineError::EngineImage { environment: Default::default(), reason: format!("{error:#}") }
}
