//! Two versions in one text: every directory of `fixtures/weave/`, and programs that nobody wrote.
//!
//! What is woven is compared with what was agreed on, resolved back to sources, and run in Node beside the two plain
//! programs: with all arms at one version, `main` must answer what that version answers.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::Command, sync::Arc};

use belay_model::{
    AppManifest, Arm, EgressPolicy, EnvironmentName, FunctionSpec, Hash, HunkKind, Limits,
    ModuleEntry, ModuleKind,
};
use belay_weave::{
    CompiledModule, Tying, Weave, compile, compile_woven, map_frame, same_code, weave,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::render;

#[derive(Debug)]
struct Pair {
    path: String,
    kind: ModuleKind,
    before: String,
    after: String,
}

impl Pair {
    fn read(directory: &Path) -> Self {
        let find = |stem: &str| {
            let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
            files.into_iter().find(|path| path.file_stem().unwrap() == stem).unwrap()
        };
        let (before, after) = (find("before"), find("after"));
        let extension = after.extension().unwrap().to_str().unwrap();
        let kind = if extension == "cjs" { ModuleKind::CommonJs } else { ModuleKind::Esm };
        let text = |path| std::fs::read_to_string(path).unwrap();
        Self { path: format!("main.{extension}"), kind, before: text(before), after: text(after) }
    }

    fn manifest(&self, text: &str) -> AppManifest {
        let imports = ["path", "node:path"].into_iter().flat_map(|specifier| {
            [belay_model::ImportKind::Import, belay_model::ImportKind::Require].map(|kind| {
                belay_model::ImportEdge {
                    specifier: specifier.to_owned(),
                    kind,
                    target: belay_model::ImportTarget::Missing(specifier.to_owned()),
                }
            })
        });
        let entry = ModuleEntry {
            path: self.path.clone(),
            source: Hash::of(text.as_bytes()),
            kind: self.kind,
            imports: imports.collect(),
        };
        let export = "main".to_owned();
        let spec = FunctionSpec {
            module: self.path.clone(),
            export,
            limits: Limits::default(),
            tags: belay_model::Tags::default(),
        };
        AppManifest {
            tags: belay_model::AppTags::default(),
            policy: belay_model::Policy::default(),
            app: "woven".parse().unwrap(),
            functions: BTreeMap::from([("main".parse().unwrap(), spec)]),
            environment: EnvironmentName::default(),
            env: BTreeMap::new(),
            egress: EgressPolicy::default(),
            databases: BTreeMap::new(),
            transactions: BTreeMap::new(),
            modules: vec![entry],
        }
    }

    fn weave(&self) -> Weave {
        let texts: Vec<Arc<str>> = vec![self.before.as_str().into(), self.after.as_str().into()];
        let source = |hash: &Hash| texts.iter().find(|t| Hash::of(t.as_bytes()) == *hash).cloned();
        let (before, after) = (self.manifest(&self.before), self.manifest(&self.after));
        weave(&before, &after, &source, Tying::Default).unwrap()
    }

    fn compiled(&self, text: &str) -> CompiledModule {
        let source: Arc<str> = text.into();
        let compiled = compile(&self.manifest(text), &|_| Some(source.clone()));
        compiled.unwrap_or_else(|e| panic!("{}", render(&e))).modules.remove(0)
    }

    fn woven(&self, weave: &Weave, image: Arm) -> CompiledModule {
        let compiled = compile_woven(weave, image, &|_| "v11".to_owned());
        compiled.unwrap_or_else(|e| panic!("{}", render(&e))).modules.remove(0)
    }

    fn program(&self, code: &str, arms: &[Arm]) -> Value {
        let arms: Vec<u8> = arms.iter().map(|arm| u8::from(*arm == Arm::After)).collect();
        json!({ "esm": self.kind == ModuleKind::Esm, "code": code, "arms": arms })
    }

    /// The plain program and the woven one of each version, for [`run`].
    fn programs(&self, weave: &Weave) -> Value {
        let woven = |arm| {
            let arms = vec![arm; weave.parts_len()];
            self.program(&self.woven(weave, arm).code, &arms)
        };
        json!([
            self.program(&self.compiled(&self.before).code, &[]),
            self.program(&self.compiled(&self.after).code, &[]),
            woven(Arm::Before),
            woven(Arm::After),
        ])
    }

    /// For each part: the woven program in which that one is the other way round than all others, and what
    /// [`Weave::resolve`] says it is, for [`run`]. Nothing where that says that there is no such source.
    fn mixtures(&self, weave: &Weave) -> Vec<Option<Value>> {
        let parts = weave.parts();
        let lone = |of: usize| [Arm::Before, Arm::After].map(|others| (of, others));
        let mixtures = (0..parts.len()).filter(|_| parts.len() > 1).flat_map(lone);
        let mixtures = mixtures.map(|(of, others)| {
            let arms: Vec<Arm> =
                (0..parts.len())
                    .map(|part| {
                        if (part == of) == (others == Arm::Before) {
                            Arm::After
                        } else {
                            Arm::Before
                        }
                    })
                    .collect();
            let image = parts.iter().position(|part| part.image).map_or(Arm::After, |at| arms[at]);
            let resolved = weave.resolve(&|part| arms[usize::from(part.0)]);
            let resolved = resolved.ok()?.1;
            Some(json!([
                self.program(&self.compiled(&resolved[&self.path]).code, &[]),
                self.program(&self.woven(weave, image).code, &arms),
            ]))
        });
        mixtures.collect()
    }

    /// What can be proven without running anything.
    fn check(&self, weave: &Weave) {
        let wrong: Vec<_> = weave.mismatches().collect();
        assert!(wrong.is_empty(), "{wrong:?}\n{}\n=>\n{}", self.before, self.after);
        let resolved = |arm: Arm| weave.resolve(&|_| arm).unwrap().1[&self.path].clone();
        assert_eq!(&*resolved(Arm::After), self.after);
        let before = resolved(Arm::Before);
        let same = same_code(&self.path, self.kind, &before, &self.before);
        assert!(same, "taken back:\n{before}\ninstead of\n{}", self.before);
    }
}

const DRIVER: &str = r#"
const fs = require("fs");
globalThis.cells = new Uint8Array(256);
const weave = "data:text/javascript,export const cells = globalThis.cells, arm = () => 0, enter = () => {}, leave = () => {}, settable = () => {};";
async function load({ esm, code }, number) {
  if (!esm) {
    const module = { exports: {} };
    (0, eval)(code)(module.exports, require, module, "main.cjs", ".", cells, () => 0, () => {}, () => {}, () => {});
    return module.exports;
  }
  const text = code.replace('"belay:weave"', JSON.stringify(weave)) + `\n// ${number}`;
  return import("data:text/javascript," + encodeURIComponent(text));
}
async function answer(program, number) {
  try {
    return { value: await (await load(program, number)).main() };
  } catch (error) {
    return { error: `${error?.name}: ${error?.message}` };
  }
}
(async () => {
  const out = [];
  const groups = JSON.parse(fs.readFileSync(0, "utf8"));
  for (const [index, programs] of groups.entries()) {
    const answers = [];
    for (const [number, program] of programs.entries()) {
      cells.fill(0);
      cells.set(program.arms);
      answers.push(JSON.stringify(await answer(program, `${index}.${number}`)));
    }
    out.push(answers);
  }
  console.log(JSON.stringify(out));
})();
"#;

/// What `main` of each program of each group answers.
fn run(groups: &[Value]) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("programs.json");
    std::fs::write(&input, serde_json::to_vec(groups).unwrap()).unwrap();
    let output = Command::new("node")
        .args(["-e", DRIVER])
        .stdin(std::fs::File::open(input).unwrap())
        .output()
        .expect("node is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check_run(pairs: &[&Pair], weaves: &[Weave]) {
    let groups: Vec<Value> =
        pairs.iter().zip(weaves).map(|(pair, weave)| pair.programs(weave)).collect();
    for ((pair, answers), programs) in pairs.iter().zip(run(&groups)).zip(&groups) {
        let shown = |at: usize| programs[at]["code"].as_str().unwrap_or_default().to_owned();
        let [before, after, old, new] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(before, old, "all before, of\n{}\n{}", pair.before, shown(2));
        assert_eq!(after, new, "all after, of\n{}\n{}", pair.after, shown(3));
    }
    let mixtures = pairs.iter().zip(weaves).flat_map(|(pair, weave)| pair.mixtures(weave));
    let mixtures: Vec<Value> = mixtures.flatten().collect();
    for (answers, programs) in run(&mixtures).iter().zip(&mixtures) {
        let shown = |at: usize| programs[at]["code"].as_str().unwrap_or_default();
        assert_eq!(answers[0], answers[1], "{}\n=>\n{}", shown(0), shown(1));
    }
}

#[test]
fn fixtures() {
    insta::glob!("fixtures/weave/*", |directory| {
        let pair = Pair::read(directory);
        let weave = pair.weave();
        pair.check(&weave);
        let mut out = String::new();
        for part in weave.parts() {
            writeln!(out, "{:?}{}", part.id, if part.image { " image" } else { "" }).unwrap();
            for hunk in part.hunks {
                let reason = hunk.reason.map_or(String::new(), |reason| reason.message);
                let (kind, before, after) = (hunk.kind, hunk.before_lines, hunk.after_lines);
                writeln!(out, "  {kind:?} {before:?} => {after:?} {reason}").unwrap();
            }
        }
        out.push_str(&pair.woven(&weave, Arm::After).code);
        insta::assert_snapshot!(out);
    });
}

#[test]
fn woven_fixtures_answer_what_plain_ones_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/weave");
    let directories = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let pairs: Vec<Pair> = directories.map(|directory| Pair::read(&directory)).collect();
    assert!(pairs.len() > 15);
    let weaves: Vec<Weave> = pairs.iter().map(Pair::weave).collect();
    let mixtures = pairs.iter().zip(&weaves).flat_map(|(pair, weave)| pair.mixtures(weave));
    let mixtures: Vec<Option<Value>> = mixtures.collect();
    assert!(mixtures.len() > 50 && mixtures.iter().all(Option::is_some));
    check_run(&pairs.iter().collect::<Vec<_>>(), &weaves);
}

/// Where `needle` is in a compiled module, as the engine would print it, mapped to the sources.
fn frame(module: &CompiledModule, needle: &str) -> String {
    let at = module.code.find(needle).unwrap_or_else(|| panic!("{needle}: {}", module.code));
    let line = module.code[..at].matches('\n').count() + 1;
    let column = at - module.code[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let maps = |path: &str| (path == module.path).then_some(&module.map);
    map_frame(&format!("    at f ({}:{line}:{column})", module.path), &maps)
}

#[test]
fn frames_lead_to_the_version_and_arm_that_ran() {
    for (extension, ty) in [("mjs", ""), ("ts", ": string"), ("cjs", "")] {
        let export = if extension == "cjs" { "exports.main = main;" } else { "export { main };" };
        let pair = Pair {
            path: format!("main.{extension}"),
            kind: if extension == "cjs" { ModuleKind::CommonJs } else { ModuleKind::Esm },
            before: format!("function main(a{ty}) {{\n  old(a);\n}}\n{export}\n"),
            after: format!(
                "// more\nfunction main(a{ty}) {{\n  const b = 1;\n  fresh(a, b);\n}}\n{export}\n"
            ),
        };
        let module = pair.woven(&pair.weave(), Arm::After);
        assert_eq!(frame(&module, "old(a)"), format!("    at f (main.{extension}@v11:2:3)"));
        assert_eq!(frame(&module, "fresh(a"), format!("    at f (main.{extension}:4:3)"));
    }
}

/// Statements that read and write `x`, `y` and `log`.
fn statement(depth: u32) -> BoxedStrategy<String> {
    let value = prop_oneof![
        (0..9_u8).prop_map(|n| n.to_string()),
        proptest::sample::select(vec![
            "x",
            "y",
            "x + y",
            "log.length",
            "f(x)",
            "g(y, 1)",
            "limit",
            "[...gen(3)].length"
        ])
        .prop_map(str::to_owned),
    ];
    let simple =
        (proptest::sample::select(vec!["x = ", "y = ", "x += ", "log.push("]), value.clone())
            .prop_map(|(open, value)| {
                let close = if open.ends_with('(') { ");" } else { ";" };
                format!("{open}{value}{close}")
            });
    let local = (proptest::sample::select(vec!["let a", "const b", "var c"]), value.clone())
        .prop_map(|(name, value)| {
            let used = &name[name.len() - 1..];
            format!("{{ {name} = {value}; log.push({used}, () => {used}); }}")
        });
    if depth == 0 {
        return prop_oneof![simple, local].boxed();
    }
    let block =
        || proptest::collection::vec(statement(depth - 1), 1..3).prop_map(|all| all.join("\n"));
    prop_oneof![
        4 => simple,
        1 => local,
        1 => (value.clone(), block(), block()).prop_map(|(test, then, or)| format!("if (({test}) % 2) {{\n{then}\n}} else {{\n{or}\n}}")),
        1 => block().prop_map(|body| format!("for (let i = 0; i < 2; i++) {{\nx += i;\n{body}\n}}")),
        1 => (value.clone(), block()).prop_map(|(thrown, body)| format!("try {{\n{body}\nif (x > 20) throw {thrown};\n}} catch (error) {{\nlog.push(error);\n}} finally {{\ny++;\n}}")),
        1 => (value, block(), block()).prop_map(|(on, one, two)| format!("switch (({on}) % 3) {{\ncase 0:\n{one}\nbreak;\ncase 1:\n{two}\ndefault:\nx++;\n}}")),
    ]
    .boxed()
}

/// A program as lists of lines that can be edited: constants, bodies of functions, `main`.
type Program = [Vec<String>; 4];

fn program() -> impl Strategy<Value = Program> {
    let list = |depth, most| proptest::collection::vec(statement(depth), 0..most);
    [list(0, 3), list(1, 3), list(1, 3), list(2, 5)]
}

fn print(program: &Program, limit: u8, parameter: &str) -> String {
    let [f, g, gen_body, main] = program.each_ref().map(|list| list.join("\n"));
    format!(
        "const limit = {limit};\nconst log = [];\nlet x = 1, y = 2, depth = 0;\n\
         function f(n{parameter}) {{\nif (depth++ > 20) return n;\n{f}\nreturn n + x;\n}}\n\
         const g = (m, k) => {{\nif (depth++ > 20) return m;\n{g}\nreturn m * k;\n}};\n\
         function* gen(n) {{\nif (depth++ > 20) return;\n{gen_body}\nyield n;\nyield x;\n}}\n\
         export const main = () => {{\n{main}\nreturn [x, y, f.length, g.length, log.map((it) => typeof it === \"function\" ? it() : it)];\n}};\n"
    )
}

/// A random edit of a program: lists of another one in the place of some of its own, or parts of both.
fn edited(old: &Program, new: &Program, kept: [u8; 4]) -> Program {
    std::array::from_fn(|at| match kept[at] % 4 {
        0 => old[at].clone(),
        1 => new[at].clone(),
        2 => old[at].iter().chain(&new[at]).cloned().collect(),
        _ => old[at].iter().skip(1).cloned().collect(),
    })
}

fn pair() -> impl Strategy<Value = Pair> {
    let parameter = || proptest::sample::select(vec!["", "", ", more", ", [p] = [1]"]);
    (program(), program(), any::<[u8; 4]>(), 0..3_u8, (parameter(), parameter())).prop_map(
        |(old, new, kept, limit, (p, q))| {
            let after = edited(&old, &new, kept);
            Pair {
                path: "main.mjs".to_owned(),
                kind: ModuleKind::Esm,
                before: print(&old, 1, p),
                after: print(&after, limit, q),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Edits of programs, by the dozen: proven, resolved and run.
    #[test]
    fn any_edit_of_any_program_is_woven_right(pairs in proptest::collection::vec(pair(), 12)) {
        let weaves: Vec<Weave> = pairs.iter().map(Pair::weave).collect();
        pairs.iter().zip(&weaves).for_each(|(pair, weave)| pair.check(weave));
        check_run(&pairs.iter().collect::<Vec<_>>(), &weaves);
    }
}

#[test]
fn what_runs_when_loaded_is_left_to_the_images() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/weave/loaded");
    let parts = Pair::read(&root).weave().parts();
    assert!(parts.iter().flat_map(|part| &part.hunks).any(|hunk| hunk.kind == HunkKind::Image));
}
