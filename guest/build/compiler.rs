//! Finds a C compiler that makes wasm32-wasi modules: Debian's clang with wasi-libc, or zig's.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

/// Names the compiler and its first arguments, separated by spaces, instead of the search.
pub(crate) const VARIABLE: &str = "BELAY_WASM_CC";

pub(crate) struct Compiler {
    words: Vec<String>,
    version: String,
    /// Puts the C stack below the data, so that an overflow traps instead of overwriting; zig has it not.
    stack_first: bool,
}

const STACK_FIRST: &str = "-Wl,--stack-first";

impl Compiler {
    /// `$BELAY_WASM_CC`, else a clang that can link for wasi, else zig's clang.
    pub(crate) fn find(root: &Path) -> Result<Self> {
        if let Ok(line) = env::var(VARIABLE) {
            let words = line.split_whitespace().map(str::to_owned).collect();
            return Self::try_words(words)
                .map_or_else(|| bail!("{VARIABLE}={line:?} does not run"), Ok);
        }
        let found = candidates(root).into_iter().find_map(Self::try_words);
        found.map_or_else(
            || bail!("no C compiler for WebAssembly was found: run `./x setup`, or set {VARIABLE}"),
            Ok,
        )
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command.args(self.stack_first.then_some(STACK_FIRST));
        command
    }

    /// What tells two compilers apart.
    pub(crate) fn identity(&self) -> String {
        format!("{} {} {}", self.words[1..].join(" "), self.stack_first, self.version)
    }

    /// Whether a small program can be compiled and linked: a clang may lack the linker, libc or builtins.
    fn links(&self) -> bool {
        let Ok(out) = env::var("OUT_DIR").map(PathBuf::from) else { return false };
        let probe = out.join("probe.c");
        let program = "#include <stdlib.h>\nlong double f(void) { return strtold(\"1\", 0); }\n";
        let mut command = self.command();
        command.args(["-mexec-model=reactor", "-o"]).arg(out.join("probe.wasm")).arg(&probe);
        std::fs::write(&probe, program).is_ok()
            && command.output().is_ok_and(|output| output.status.success())
    }

    fn try_words(words: Vec<String>) -> Option<Self> {
        let mut compiler = Self { words, version: String::new(), stack_first: false };
        let output = compiler.command().arg("--version").output().ok()?;
        compiler.version = String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned();
        if !compiler.links() {
            return None;
        }
        compiler.stack_first = true;
        compiler.stack_first = compiler.links();
        Some(compiler)
    }
}

/// In order of preference.
fn candidates(root: &Path) -> Vec<Vec<String>> {
    let clang = (16..=22).rev().map(|major| format!("clang-{major}"));
    let clang = clang
        .chain(["clang".to_owned()])
        .map(|name| vec![name, "--target=wasm32-wasi".into(), "--sysroot=/usr".into()]);
    let private: PathBuf = root.with_file_name(".x").join("zig/bin/python");
    let pythons = [private.to_string_lossy().into_owned(), "python3".into()];
    let zig = pythons.map(|python| {
        ["-m", "ziglang", "cc", "-target", "wasm32-wasi"]
            .iter()
            .fold(vec![python], |words, word| [words, vec![(*word).into()]].concat())
    });
    clang.chain(zig).collect()
}
