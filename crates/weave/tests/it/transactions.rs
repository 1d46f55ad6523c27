//! `@transaction`: what runs it is compiled around the code of a function.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{AppManifest, Arm, FunctionSpec, Hash, ModuleEntry, ModuleKind, Tags};
use belay_weave::{Compiled, Tying, compile, compile_woven, map_frame, weave};

use crate::support::render;

fn manifest(path: &str, kind: ModuleKind, text: &str, tags: Tags) -> AppManifest {
    let limits = belay_model::Limits::default();
    let spec = FunctionSpec { module: path.to_owned(), export: "pay".to_owned(), limits, tags };
    AppManifest {
        app: "bank".parse().unwrap(),
        functions: BTreeMap::from([("pay".parse().unwrap(), spec)]),
        environment: belay_model::EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: belay_model::EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: belay_model::AppTags::default(),
        policy: belay_model::Policy::default(),
        modules: vec![ModuleEntry {
            path: path.to_owned(),
            source: Hash::of(text.as_bytes()),
            kind,
            imports: Vec::new(),
        }],
    }
}

fn compiled(path: &str, text: &str) -> Compiled {
    tagged(path, text, Tags::default())
}

fn tagged(path: &str, text: &str, tags: Tags) -> Compiled {
    let kind = if path.ends_with(".cjs") { ModuleKind::CommonJs } else { ModuleKind::Esm };
    let source: Arc<str> = text.into();
    let compiled = compile(&manifest(path, kind, text, tags), &|_| Some(source.clone()));
    compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)))
}

fn code(compiled: &Compiled) -> &str {
    &compiled.modules[0].code
}

/// Where compiled code says that `needle` comes from.
fn origin(compiled: &Compiled, needle: &str) -> String {
    let module = &compiled.modules[0];
    let at = module.code.find(needle).unwrap();
    let (line, start) =
        module.code[..at].bytes().zip(1..).fold((1, 0), |(line, start), (b, next)| {
            if b == b'\n' { (line + 1, next) } else { (line, start) }
        });
    let frame = format!("at f ({}:{line}:{})", module.path, at - start + 1);
    map_frame(&frame, &|_| Some(&module.map))
}

const FUNCTIONS: &str = r#"async function later(order) { return { later: order }; }
/**
 * @transaction transfer
 * @predict
 * @alternative later
 * @alternative async (order) => ({ refused: order }) // as ever
 * @resources timeout=250ms retries=2
 * @success result.status === "done" // "or else"
 * @isolation serializable
 * @retry Busy, Late
 */
export async function pay(order, kv) { "use strict"; /* ü */ const it = await kv.get(order); throw new Error(it);
}
/** @transaction nightly */
export const nightly = async (event) => event.n;
class Bank {
  /** @transaction close
   * @alternative open */
  async close(a) { var a, b = this; return [a, b, arguments.length]; }
  async open() {}
}
"#;

#[test]
fn functions_arrows_and_methods() {
    let compiled = compiled("main.js", FUNCTIONS);
    insta::assert_snapshot!(code(&compiled));
    assert_eq!(origin(&compiled, "kv.get(order)"), "at f (main.js:12:79)");
    assert_eq!(origin(&compiled, "new Error"), "at f (main.js:12:100)");
    assert_eq!(origin(&compiled, "event.n"), "at f (main.js:15:41)");
    assert_eq!(origin(&compiled, "b = this"), "at f (main.js:19:27)");
}

#[test]
fn typescript_keeps_its_places_too() {
    let text = "interface O { n: number }\n/** @transaction pay\n * @success result > (0 as number) */\nexport async function pay(o: O): Promise<number> {\n  const müll: string = \"ü\"; throw new Error(`${o.n}`); return 1;\n}\n";
    let compiled = compiled("main.ts", text);
    insta::assert_snapshot!(code(&compiled));
    assert_eq!(origin(&compiled, "new Error"), "at f (main.ts:5:35)");
}

#[test]
fn commonjs_is_given_what_it_needs() {
    let text = "/** @transaction pay */\nexports.pay = async function (o) { return boom(o); };\n";
    let compiled = compiled("main.cjs", text);
    insta::assert_snapshot!(code(&compiled));
    assert_eq!(origin(&compiled, "boom"), "at f (main.cjs:2:43)");
}

#[test]
fn belay_toml_can_say_so() {
    let tags = Tags { transaction: Some("pay".parse().unwrap()), ..Tags::default() };
    let silent = "export async function pay() { return 1; }\n";
    let said = format!("/** @transaction pay */ {silent}");
    let (silent, said) = (tagged("main.js", silent, tags), compiled("main.js", &said));
    assert!(code(&silent).contains("$belay_transaction("), "{}", code(&silent));
    let call = |code: &str| code[code.find("export").unwrap()..].to_owned();
    assert_eq!(call(code(&silent)), call(code(&said)));
}

#[test]
fn code_without_them_is_left_as_it_is() {
    let text = "// no @transaction here\nexport async function pay() { return 1; }\n";
    assert_eq!(code(&compiled("main.js", text)), text);
}

#[test]
fn a_woven_one_is_one_transaction_of_both_versions() {
    let before = "/** @transaction pay */\nexport async function pay(o) {\n  const sum = o.a + o.b;\n  return { sum };\n}\n";
    let after = before.replace("o.a + o.b", "o.a * o.b");
    let texts: Vec<Arc<str>> = vec![before.into(), after.as_str().into()];
    let source = |hash: &Hash| texts.iter().find(|t| Hash::of(t.as_bytes()) == *hash).cloned();
    let of = |text: &str| manifest("main.js", ModuleKind::Esm, text, Tags::default());
    let weave = weave(&of(before), &of(&after), &source, Tying::Default).unwrap();
    let compiled = compile_woven(&weave, Arm::After, &|_| "v1".to_owned());
    let compiled = compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)));
    insta::assert_snapshot!(code(&compiled));
    assert_eq!(origin(&compiled, "o.a + o.b"), "at f (main.js@v1:3:15)");
    assert_eq!(origin(&compiled, "o.a * o.b"), "at f (main.js:3:15)");
    assert_eq!(origin(&compiled, "{ sum }"), "at f (main.js:4:10)");
}
