//! The engine images: QuickJS and Belay's shim as WebAssembly, and the prelude that is evaluated in
//! them. `build/main.rs` compiles them; this crate only holds the bytes.
//!
//! Invariant: no logic. It does not know how an image is run.

/// One engine version, compiled to a wasm32-wasi reactor module.
pub struct EngineImage {
    /// Name of the environment, such as `quickjs-ng@0.16`.
    pub environment: &'static str,
    pub wasm: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/images.rs"));
