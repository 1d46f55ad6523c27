//! The functions that are measured.

use std::{fs, path::Path};

use belay_engine::{Entry, Program, ProgramModule};
use belay_model::ModuleKind;

/// Every function of the benchmarks. `echo` is what peers are compared by.
pub(crate) const SOURCE: &str = r#"
export function echo(event) {
  return { n: event.n + 1 };
}
export async function waits(event, { kv }) {
  const first = await kv.get("a");
  const second = await kv.get("b");
  const third = await kv.get("c");
  return { n: event.n + [first, second, third].filter((value) => value === null || value === undefined).length };
}
export function spin({ ms }) {
  const end = Date.now() + ms;
  let turns = 0;
  while (Date.now() < end) turns += 1;
  return { spun: turns > 0 };
}
"#;

pub(crate) const NAMES: [&str; 3] = ["echo", "waits", "spin"];
pub(crate) const ECHO: usize = 0;
pub(crate) const WAITS: usize = 1;

pub(crate) const EVENT: &str = r#"{"n":41}"#;
pub(crate) const ANSWER: &str = r#"{"n":42}"#;

/// The functions as the engine takes them; `salt` makes programs that share no content.
pub(crate) fn program(salt: usize) -> Program {
    let path = "bench.js";
    let module = ProgramModule {
        path: path.to_owned(),
        kind: ModuleKind::Esm,
        code: format!("{SOURCE}\nexport const salt = {salt};\n"),
        export_names: Vec::new(),
        imports: Vec::new(),
    };
    let entry = |name: &&str| Entry { module: path.to_owned(), export: (*name).to_owned() };
    let entries = NAMES.iter().map(entry).collect();
    Program { modules: vec![module], entries, ..Program::default() }
}

/// The same functions as a project that `belay deploy` takes.
pub(crate) fn project(folder: &Path, app: &str) -> anyhow::Result<()> {
    let functions = NAMES.map(|name| format!("{name} = \"bench.js#{name}\"\n")).concat();
    fs::write(folder.join("belay.toml"), format!("app = \"{app}\"\n\n[functions]\n{functions}"))?;
    fs::write(folder.join("bench.js"), format!("{SOURCE}\nexport const app = \"{app}\";\n"))?;
    Ok(())
}

/// A project whose only function is `f` of `code`.
pub(crate) fn one(folder: &Path, app: &str, code: &str) -> anyhow::Result<()> {
    fs::write(
        folder.join("belay.toml"),
        format!("app = \"{app}\"\n\n[functions]\nf = \"bench.js#f\"\n"),
    )?;
    fs::write(folder.join("bench.js"), code)?;
    Ok(())
}
