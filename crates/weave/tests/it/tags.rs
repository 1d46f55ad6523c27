//! Tags: what is read, from where, and what is told of mistakes.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{
    AppManifest, AppTags, Diagnostic, EgressPolicy, EnvironmentName, FunctionSpec, Granularity,
    Hash, Limits, ModuleEntry, ModuleKind, Severity, Tagged, Tags,
};
use belay_weave::{app_tags, blocks, same_tags, tags};
use proptest::prelude::*;

use crate::support::render;

/// The tags of a TypeScript module and what is told of them.
fn read(source: &str) -> (Vec<Tagged>, Vec<Diagnostic>) {
    tags("src/main.ts", ModuleKind::Esm, source)
}

fn shown(source: &str) -> String {
    let (tagged, diagnostics) = read(source);
    let mut text = String::new();
    for it in &tagged {
        let (start, end) = (it.span.0 as usize, it.span.1 as usize);
        let code = source[start..end].split('\n').next().unwrap_or_default();
        let words = [&it.name, &it.export, &it.within].map(|name| name.as_deref().unwrap_or("-"));
        text +=
            &format!("{}-{} {:?} {}: {code}\n", it.lines.0, it.lines.1, it.kind, words.join(" "));
        it.tags.lines().iter().for_each(|line| text += &format!("    {line}\n"));
    }
    text + &render(&diagnostics)
}

#[track_caller]
fn one(source: &str) -> Tags {
    let (tagged, diagnostics) = read(source);
    assert!(diagnostics.is_empty(), "{}", render(&diagnostics));
    let [tagged] = tagged.as_slice() else { panic!("{tagged:?}") };
    tagged.tags.clone()
}

/// Codes of what is told, the errors with a `!`.
fn codes(source: &str) -> Vec<String> {
    let (_, diagnostics) = read(source);
    let mark = |severity| if severity == Severity::Error { "!" } else { "" };
    diagnostics.iter().map(|it| format!("{}{}", mark(it.severity), it.code)).collect()
}

/// As in the design, with remarks set off.
const TRANSFER: &str = r#"
async function transferLater(order) {}

/**
 * Moves money.
 *
 * @param order what is paid
 * @rollback fine - of this function or block
 * @transaction transfer
 * @predict
 * @alternative transferLater
 * @alternative async (order) =>
 *   transferLater({ ...order, slow: true })
 * @resources memory=64MB timeout=250ms
 *   retries=3
 * @success result.status === "done" &&
 *   result.total > 0
 * @isolation repeatable read
 * @retry PaymentError, Belay.Timeout
 * @depends prices, stock
 * @notape
 * @returns {Promise<void>}
 */
export async function transfer(order, { kv }) {
  return { status: "done", total: 1 };
}
"#;

#[test]
fn every_tag() {
    insta::assert_snapshot!(shown(TRANSFER));
    let tags = one(TRANSFER);
    insta::assert_debug_snapshot!("every-tag-typed", tags);
    let stored = serde_json::to_value(&tags).unwrap();
    assert_eq!(serde_json::from_value::<Tags>(stored).unwrap(), tags);
}

#[test]
fn whatever_a_comment_can_stand_above() {
    insta::assert_snapshot!(shown(
        r#"/** @rollback fine */
import { kv } from "belay";

/** @rollback coarse */
const rate = 1.2;
/** @rollback medium */
export const price = (n: number) => n * rate;
/** @rollback never */
@sealed
export class Basket {
  /** @rollback fine */
  static count = 0;
  /** @notape */
  add = async (item: string) => {
    /** @rollback coarse */
    if (item) Basket.count += 1;
  };
  /** @transaction empty */
  @logged
  async #empty() {
    for (const a of [1]) {
      /** @rollback never */
      drop(a);
    }
  }
}
export const handlers = {
  /** @notape */
  async first() {},
  /** @rollback medium */
  second: async function () {},
};
/** @notape */
export default async () => handlers;
/** @rollback medium */
async function late() {}
export { late as lazy };
switch (rate) {
  case 1:
    /** @rollback fine */
    late();
}
label: {
  /** @rollback fine */ /** @depends prices */ late(); // both
}
"#
    ));
}

#[test]
fn commonjs_exports_are_known_by_their_names() {
    let source = "/** @rollback fine */\nexports.one = async () => 1;\n/** @rollback medium */\nfunction two() {}\n\
        /** @rollback never */\nmodule.exports.three = function () {};\nmodule.exports.both = two;\n";
    let (tagged, diagnostics) = tags("lib/index.cjs", ModuleKind::CommonJs, source);
    assert_eq!(render(&diagnostics), "");
    let exports: Vec<_> = tagged.iter().map(|it| it.export.as_deref().unwrap_or("-")).collect();
    assert_eq!(exports, ["one", "both", "three"]);
}

#[test]
fn other_comments_and_other_peoples_tags_are_left_alone() {
    let nothing = [
        "/**\n * @param {string} a\n * @returns nothing, see {@link rollback}\n * @deprecated\n * @callback x\n * @access y */\nf();",
        "// rollback fine\nf();",
        "/* @ts-ignore */ f();",
        "/**\n * @example\n * ```js\n * @rollback whatever\n * ```\n */\nf();",
        "/** mail me@rollback.example */\nf();",
        "/** @jsx h */ f();",
        "const text = '/** @rollback x */';",
    ];
    for source in nothing {
        assert_eq!(read(source), (vec![], vec![]), "{source}");
    }
    let wrong = "/** @rollback whatever */\nexport const a = 1;";
    assert_eq!(tags("node_modules/p/a.js", ModuleKind::Esm, wrong), (vec![], vec![]));
    assert_eq!(tags("data.json", ModuleKind::Json, "\"@rollback\""), (vec![], vec![]));
}

#[test]
fn wrong_values_are_told_with_their_place() {
    let sources = [
        "/** @rollback fien */\nf();",
        "/** @rollback */\nf();",
        "/** @rollback fine because I say so */\nf();",
        "/** @transaction 1st */\nasync function f() {}",
        "/** @predict on\n * @transaction t */\nasync function f() {}",
        "/** @resources memory=64 */\nf();",
        "/** @resources memory=1KB */\nf();",
        "/** @resources disk=1GB */\nf();",
        "/** @resources retries=1 retries=2 */\nf();",
        "/** @resources retries=101 */\nf();",
        "/**\n * @transaction t\n * @success result.ok &&\n *   result.(total)\n */\nasync function f() {}",
        "/** @transaction t\n * @success */\nasync function f() {}",
        "/** @transaction t\n * @alternative a => b, c */\nasync function f() {}",
        "/** @transaction t\n * @isolation high */\nasync function f() {}",
        "/** @depends prices & stock */\nf();",
    ];
    let told: Vec<_> = sources.iter().map(|source| render(&read(source).1)).collect();
    for (source, told) in sources.iter().zip(&told) {
        assert!(told.starts_with("error[bad-tag]"), "{source}\n{told}");
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn contradictions_are_told() {
    let sources = [
        "/**\n * @rollback fine\n * @rollback coarse\n */\nf();",
        "/** @predict */\nasync function f() {}",
        "/** @success result */\nasync function f() {}",
        "/** @isolation serializable */\nasync function f() {}",
        "/** @retry Timeout */\nasync function f() {}",
        "/** @transaction t */\nexport function f() {}",
        "/** @transaction t */\nasync function* f() {}",
        "/** @transaction t */\nclass A {}",
        "/** @transaction t */\nf();",
        "/** @notape */\nconst handler = wrap(async () => 1);",
        "async function later() {}\n/**\n * @transaction t\n * @alternative latter\n */\nasync function f() {}",
    ];
    let told: Vec<_> = sources.iter().map(|source| render(&read(source).1)).collect();
    for (source, told) in sources.iter().zip(&told) {
        assert!(told.starts_with("error"), "{source}\n{told}");
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn slips_are_warnings() {
    let sources = [
        "/** @rolback fine */\nf();",
        "/** @Transactions t */\nasync function f() {}",
        "// @rollback never\nf();",
        "f(); /** @rollback never */",
        "/** @rollback never */\ninterface A {}",
        "function f() {\n  g();\n  /** @rollback fine */\n}",
    ];
    let told: Vec<_> = sources.iter().map(|source| render(&read(source).1)).collect();
    for (source, told) in sources.iter().zip(&told) {
        assert!(told.starts_with("warning"), "{source}\n{told}");
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_alternative_may_be_whatever_the_function_could_call() {
    let fine = [
        "import { later } from './later';\n/** @transaction t\n * @alternative later */\nasync function f() {}",
        "class A {\n  /** @transaction t\n * @alternative later */\n  async f() {}\n  async later() {}\n}",
        "const a = {\n  /** @transaction t\n * @alternative later */\n  async f() {},\n  async later() {},\n};",
        "function g() {\n  const later = async () => {};\n  /** @transaction t\n * @alternative later */\n  async function f() {}\n}",
    ];
    for source in fine {
        assert_eq!(codes(source), Vec::<String>::new(), "{source}");
    }
    let inner = "function g() {\n  const later = async () => {};\n}\n/** @transaction t\n * @alternative later */\nasync function f() {}";
    assert_eq!(codes(inner), ["!unknown-function"]);
}

#[test]
fn many_mistakes_do_not_hide_an_error() {
    let slips = "/** @rolback fine */\nf();\n".repeat(100);
    let told = codes(&format!("{slips}/** @rollback fien */\nf();\n"));
    assert!(told.len() < 40 && told.contains(&"!bad-tag".to_owned()), "{told:?}");
}

/// One module `src/main.ts` whose function `f` has these tags in `belay.toml`.
fn manifest(source: &str, tags: Tags, limits: Limits) -> AppManifest {
    let (module, export) = ("src/main.ts".to_owned(), "f".to_owned());
    let spec = FunctionSpec { module: module.clone(), export, limits, tags };
    AppManifest {
        app: "test".parse().unwrap(),
        functions: BTreeMap::from([("pay".parse().unwrap(), spec)]),
        environment: EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: AppTags::default(),
        policy: belay_model::Policy::default(),
        modules: vec![ModuleEntry {
            path: module,
            source: Hash::of(source.as_bytes()),
            kind: ModuleKind::Esm,
            imports: Vec::new(),
        }],
    }
}

fn with_toml(source: &str, tags: Tags) -> String {
    let limits = Limits { memory_bytes: 32 << 20, ..Limits::default() };
    let text: Arc<str> = source.into();
    let (_, told) = app_tags(&manifest(source, tags, limits), &|_| Some(text.clone()));
    render(&told)
}

#[test]
fn what_belay_toml_says_is_held_against_the_code() {
    let transaction = || Tags { transaction: Some("pay".parse().unwrap()), ..Tags::default() };
    let success = "/** @success result.ok */\nexport async function f() {}\n";
    assert_eq!(with_toml(success, transaction()), "");
    // A handler may promise something without being a transaction.
    assert_eq!(with_toml(success, Tags::default()), "");
    let named = |text: &str| belay_model::Alternative::Function(text.to_owned());
    let told = [
        with_toml(
            "export async function f() {}\n",
            Tags { success: Some("await result".to_owned()), ..Tags::default() },
        ),
        with_toml("export function f() {}\n", transaction()),
        with_toml(
            "export async function f() {}\n",
            Tags { alternatives: vec![named("later")], ..transaction() },
        ),
        with_toml("export async function f() {}\n", Tags { predict: true, ..Tags::default() }),
        with_toml(
            "export async function f() {}\n",
            Tags { success: Some("result.".to_owned()), ..transaction() },
        ),
        with_toml(
            "/** @rollback fine */\nexport async function f() {}\n",
            Tags { rollback: Some(Granularity::Coarse), ..Tags::default() },
        ),
        with_toml("/** @resources memory=64MB */\nexport async function f() {}\n", Tags::default()),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn tags_that_move_or_change_are_a_change_and_nothing_else_is() {
    let base = "export function f() {\n  /** @rollback fine */\n  g();\n  g();\n}\n";
    let same = |after: &str| {
        let manifest = manifest(base, Tags::default(), Limits::default());
        same_tags(&manifest, &manifest.modules[0], base, after).is_some()
    };
    assert!(same(base));
    assert!(same(&base.replace(
        "/** @rollback fine */",
        "/**\n * Why.\n *\n * @rollback fine - yes\n * @see g\n */"
    )));
    assert!(same(&format!("/** A type. */\ninterface A {{}}\n\n{base}")));
    assert!(!same(&base.replace("fine", "never")));
    assert!(!same(&base.replace("  /** @rollback fine */\n", "")));
    assert!(!same("export function f() {\n  g();\n  /** @rollback fine */\n  g();\n}\n"));
    assert!(!same(&base.replace("fine", "fien")), "what is wrong has to be told");
}

#[test]
fn tags_find_their_blocks() {
    let source = r#"/** @notape */
export const f = async (items: number[]) => {
  let sum = 0;
  /** @rollback fine */
  for (const item of items) {
    /** @rollback never */
    sum += item;
  }
  /** @rollback coarse */
  const twice = items.map((item) => item * 2);
  return [sum, twice];
};
class A {
  /** @notape */
  async b() {}
}
"#;
    let tree = blocks("src/main.ts", ModuleKind::Esm, source).unwrap();
    let (tagged, _) = read(source);
    let way = |tagged: &Tagged| {
        let (mut block, mut way) = (&tree, Vec::new());
        while let Some(at) = block.way_to(tagged) {
            block = &block.blocks[at];
            way.push(format!("{:?}", block.kind));
        }
        format!("{} → {} {:?}", tagged.tags.lines().join(" "), way.join(" "), block.lines)
    };
    let ways: Vec<_> = tagged.iter().map(way).collect();
    insta::assert_snapshot!(ways.join("\n"));
}

proptest! {
    /// Whatever is written, it is read or refused, and every place lies within the source.
    #[test]
    fn any_comment_is_read(
        tag in "@(rollback|transaction|predict|alternative|resources|success|isolation|retry|depends|notape|[a-z]{0,12})",
        value in "[ -~é\n*]{0,40}|(\\(|=>|result|fine|memory=| |\n \\* ){0,12}",
        code in "(export )?(async )?(function f\\(\\) \\{\\}|const a = \\(\\) => 1;|g\\(\\);|class A \\{\\})",
    ) {
        prop_assume!(!value.contains("*/"));
        let source = format!("/** é\n * {tag} {value}\n */\n{code}\n");
        let (tagged, diagnostics) = read(&source);
        for it in &tagged {
            prop_assert!(source.get(it.span.0 as usize..it.span.1 as usize).is_some());
        }
        for label in diagnostics.iter().flat_map(|it| &it.labels) {
            let (start, end) = (label.span.0 as usize, label.span.1 as usize);
            prop_assert!(label.snippet.get(start..end).is_some());
        }
    }
}
