//! `@transaction`: what runs it is compiled around the code of a function.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{
    AppManifest, Arm, FunctionSpec, Hash, ModuleEntry, ModuleKind, Tags, TransactionName,
    TransactionSettings,
};
use belay_weave::{Compiled, Tying, Weave, app_tags, compile, compile_woven, map_frame, weave};

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

type Settings = BTreeMap<TransactionName, TransactionSettings>;

/// `[transactions]` of `belay.toml`, as JSON.
fn settings(json: &str) -> Settings {
    serde_json::from_str(json).unwrap()
}

/// An app whose function `pay` is in the first of `modules`.
fn app(modules: &[(&str, &str)], json: &str) -> AppManifest {
    let (path, text) = modules[0];
    let entry = |(path, text): &(&str, &str)| ModuleEntry {
        path: (*path).to_owned(),
        source: Hash::of(text.as_bytes()),
        kind: ModuleKind::Esm,
        imports: Vec::new(),
    };
    AppManifest {
        transactions: settings(json),
        modules: modules.iter().map(entry).collect(),
        ..manifest(path, ModuleKind::Esm, text, Tags::default())
    }
}

/// What is told of them.
fn told(modules: &[(&str, &str)], json: &str) -> String {
    let text = |hash: &Hash| modules.iter().find(|(_, text)| Hash::of(text.as_bytes()) == *hash);
    let source = |hash: &Hash| text(hash).map(|(_, text)| Arc::from(*text));
    render(&app_tags(&app(modules, json), &source).1)
}

/// A module whose settings have nothing wrong, compiled.
fn set(text: &str, json: &str) -> Compiled {
    let modules = [("main.js", text)];
    assert_eq!(told(&modules, json), "");
    let source: Arc<str> = text.into();
    let compiled = compile(&app(&modules, json), &|_| Some(source.clone()));
    compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)))
}

/// What the host is told of the first transaction.
fn spec(compiled: &Compiled) -> serde_json::Value {
    let (_, rest) = code(compiled).split_once("$belay_transaction").unwrap();
    let (_, rest) = rest.split_once('(').unwrap();
    let literal = serde_json::Deserializer::from_str(rest).into_iter::<String>().next();
    serde_json::from_str(&literal.unwrap().unwrap()).unwrap()
}

#[test]
fn settings_go_before_the_tags() {
    let rule =
        r#"{ "name": "many writes", "class": "deviation", "measure": "writes", "above": 100 }"#;
    let all = format!(
        r#"{{ "transfer": {{ "predict": false, "alternatives": [{{ "inline": "async () => 1" }}],
            "resources": {{ "timeout_ms": 900 }}, "retry": [], "isolation": "read-committed",
            "success": "result === 1", "rules": [{rule}] }} }}"#
    );
    let compiled = set(FUNCTIONS, &all);
    let expected = serde_json::json!({
        "id": "transfer", "ways": ["pay", "async () => 1"], "predict": false, "retry": [],
        "timeoutMs": 900, "retries": 2, "isolation": "read-committed", "success": "result === 1",
        "rules": [serde_json::from_str::<serde_json::Value>(rule).unwrap()],
    });
    assert_eq!(spec(&compiled), expected);
    assert!(code(&compiled).contains("(result) => !!((\nresult === 1\n))"), "{}", code(&compiled));
    assert!(!code(&compiled).contains("later(...$belay_a)"), "{}", code(&compiled));
    // What they say nothing of is as it was.
    let only = set(FUNCTIONS, r#"{ "transfer": { "resources": { "retries": 9 } } }"#);
    let mut expected = spec(&self::compiled("main.js", FUNCTIONS));
    expected["retries"] = 9.into();
    assert_eq!(spec(&only), expected);
}

#[test]
fn settings_name_functions_that_no_tag_speaks_of() {
    let said = "/** @transaction pay\n * @predict */ export async function pay(o) { return o; }\n";
    let tagged = compiled("main.js", said);
    let by_name = |text: &str, name: &str| {
        let json = format!(r#"{{ "pay": {{ "functions": [{name:?}], "predict": true }} }}"#);
        spec(&set(text, &json))
    };
    let silent = "export async function pay(o) { return o; }\n";
    assert_eq!(by_name(silent, "pay"), spec(&tagged));
    assert_eq!(by_name(silent, "main.js#pay"), spec(&tagged));
    let inner = "const inner = async (o) => o;\nexport { inner as pay };\n";
    for name in ["inner", "pay"] {
        assert_eq!(by_name(inner, name)["ways"], serde_json::json!(["inner"]), "{name}");
    }
    let private = "async function part(o) { return o; }\nexport const pay = (o) => part(o);\n";
    assert_eq!(by_name(private, "part")["ways"], serde_json::json!(["part"]));
    let default = "export default async function pay(o) { return o; }\nexport { pay };\n";
    assert_eq!(by_name(default, "main.js#default")["ways"], serde_json::json!(["pay"]));
    let overloads = "export async function pay(o) { return o; }\n";
    let signature = "export async function pay(o: string): Promise<string>;\n";
    let typed = format!("{signature}{overloads}");
    let json = r#"{ "pay": { "functions": ["pay"] } }"#;
    assert_eq!(told(&[("main.ts", &typed)], json), "");
}

#[test]
fn settings_of_what_is_not_there_are_refused() {
    let pay = "async function later() {}\nexport async function pay() {}\n";
    let tagged = "/** @transaction transfer */\nexport async function pay() {}\n";
    let beside = ("b.js", "export async function pay() { return 2; }\n");
    let limits = r#"{ "transfer": { "resources": { "timeout_ms": 60000 } } }"#;
    let mistakes = [
        told(&[("a.js", pay)], r#"{ "transfer": { "predict": true } }"#),
        told(&[("a.js", tagged)], r#"{ "tranfser": { "predict": true } }"#),
        told(&[("a.js", pay)], r#"{ "t": { "functions": ["paay"] } }"#),
        told(&[("a.js", pay)], r#"{ "t": { "functions": ["src/a.js#pay"] } }"#),
        told(&[("a.js", pay), beside], r#"{ "t": { "functions": ["pay"] } }"#),
        told(&[("a.js", "export const pay = wrap();\n")], r#"{ "t": { "functions": ["pay"] } }"#),
        told(&[("a.js", "export function pay() {}\n")], r#"{ "t": { "functions": ["pay"] } }"#),
        told(&[("a.js", tagged)], r#"{ "t": { "functions": ["pay"] } }"#),
        told(
            &[("a.js", pay)],
            r#"{ "t": { "functions": ["pay"] }, "u": { "functions": ["a.js#pay"] } }"#,
        ),
        told(
            &[("a.js", tagged)],
            r#"{ "transfer": { "alternatives": [{ "function": "latr" }] } }"#,
        ),
        told(&[("a.js", tagged)], r#"{ "transfer": { "success": "await result" } }"#),
        told(&[("a.js", tagged)], r#"{ "transfer": { "alternatives": [{ "inline": "a => " }] } }"#),
        told(&[("a.js", tagged)], limits),
    ];
    insta::assert_snapshot!(mistakes.join("\n"));
    assert_eq!(told(&[("a.js", pay), beside], r#"{ "t": { "functions": ["a.js#pay"] } }"#), "");
}

#[test]
fn each_image_has_the_settings_of_its_version() {
    let before = "export async function pay(o) {\n  const sum = o.a + o.b;\n  return { sum };\n}\n";
    let after = before.replace("o.a + o.b", "o.a * o.b");
    let texts: Vec<Arc<str>> = vec![before.into(), after.as_str().into()];
    let source = |hash: &Hash| texts.iter().find(|t| Hash::of(t.as_bytes()) == *hash).cloned();
    let of = |text: &str, retries: u32| {
        let resources = format!(r#""resources": {{ "retries": {retries} }}"#);
        app(&[("main.js", text)], &format!(r#"{{ "t": {{ "functions": ["pay"], {resources} }} }}"#))
    };
    let weave = weave(&of(before, 1), &of(&after, 7), &source, Tying::Default).unwrap();
    for (image, retries) in [(Arm::After, 7), (Arm::Before, 1)] {
        let compiled = compile_woven(&weave, image, &|_| "v1".to_owned());
        let compiled = compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)));
        assert_eq!(spec(&compiled)["retries"], retries, "{image:?}");
        assert!(code(&compiled).contains("o.a + o.b"), "both versions of the code are in either");
        let image_part = weave.image_part().unwrap();
        let arm = |part| if part == image_part { image } else { Arm::After };
        let (manifest, texts) = weave.resolve(&arm).unwrap();
        let settings = manifest.transactions.values().next().unwrap();
        assert_eq!(settings.resources.retries, Some(retries));
        assert_eq!(&*texts["main.js"], after);
    }
}

/// Two versions of a module, and both of its images.
fn both(before: &str, after: &str) -> (Weave, [Compiled; 2]) {
    let texts: Vec<Arc<str>> = vec![before.into(), after.into()];
    let source = |hash: &Hash| texts.iter().find(|t| Hash::of(t.as_bytes()) == *hash).cloned();
    let of = |text: &str| manifest("main.js", ModuleKind::Esm, text, Tags::default());
    let weave = weave(&of(before), &of(after), &source, Tying::Default).unwrap();
    let images = [Arm::Before, Arm::After].map(|image| {
        let compiled = compile_woven(&weave, image, &|_| "v1".to_owned());
        compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)))
    });
    (weave, images)
}

/// What code begins as transactions, in the order of the source.
fn begun(compiled: &Compiled) -> Vec<serde_json::Value> {
    let parts = code(compiled).split("$belay_transaction");
    let specs = parts.skip(1).filter_map(|part| {
        let text = part.strip_prefix("al").unwrap_or(part).strip_prefix('(')?;
        let literal =
            serde_json::Deserializer::from_str(text).into_iter::<String>().next()?.ok()?;
        Some(serde_json::from_str(&literal).unwrap())
    });
    specs.collect()
}

/// In each image the functions of its version are what that says, and the sources with the part of the images taken back
/// say so too. What more an image begins, nobody calls there.
fn check(before: &str, after: &str) -> Weave {
    let (weave, images) = both(before, after);
    for (image, source) in images.iter().zip([before, after]) {
        let (plain, woven) = (begun(&compiled("main.js", source)), begun(image));
        let missing = plain.iter().find(|spec| !woven.contains(spec));
        assert!(missing.is_none(), "{missing:?}: {}", code(image));
        for spec in &woven {
            let of_other =
                begun(&compiled("main.js", if source == before { after } else { before }));
            assert!(plain.contains(spec) || of_other.contains(spec), "{spec}: {}", code(image));
        }
    }
    let old = weave.resolve(&|_| Arm::Before).unwrap().1["main.js"].to_string();
    let own = [before, &old].map(|text| begun(&compiled("main.js", text)));
    assert_eq!(own[0], own[1], "{old}");
    if weave.image_part().is_some() && weave.parts_len() == 1 {
        let back = without_image(&weave);
        let lines = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&back), lines(before), "but for the order of comments");
        let own = [before, &back].map(|text| begun(&compiled("main.js", text)));
        assert_eq!(own[0], own[1], "{back}");
    }
    weave
}

/// The sources with the part of the images taken back, and all others as they are.
fn without_image(weave: &Weave) -> String {
    let image = weave.image_part().unwrap();
    let arm = |part| if part == image { Arm::Before } else { Arm::After };
    weave.resolve(&arm).unwrap().1["main.js"].to_string()
}

const PLAIN: &str = "'use strict';

// What it is for.
export async function pay(o) {
  const sum = o.a + o.b;
  return sum;
}
class Bank {
  name = 'bank';

  /** Closes it. */
  async close(a) { return a; }
}
export const nightly = async (event) => event.n;
export const rate = (o) => o.rate;
";

/// [`PLAIN`] with a comment above `pay`.
fn said(what: &str) -> String {
    let pay = "export async function pay";
    PLAIN.replace(pay, &format!("/** {what} */\n{pay}"))
}

#[test]
fn what_is_said_of_a_transaction_is_a_part_of_a_change() {
    let pay = "/** @transaction pay\n * @resources retries=1 */\nexport async function pay";
    let close = "/** Closes it.\n   * @transaction close */\n  async close";
    let nightly = "/** @transaction nightly */ export const nightly";
    for (from, to) in [
        ("export async function pay", pay),
        (
            "// What it is for.\nexport async function pay",
            "/** @transaction pay */\n// What it is for.\nexport async function pay",
        ),
        ("/** Closes it. */\n  async close", close),
        ("export const nightly", nightly),
    ] {
        let said = PLAIN.replace(from, to);
        assert_ne!(said, PLAIN);
        // Beside an edit of the code, which is a part of its own.
        let edit = |text: &str| text.replace("o.rate", "o.rate * 2");
        let more = edit(&said);
        for (before, after, begin) in
            [(PLAIN, &*said, [0, 1]), (&*said, PLAIN, [1, 0]), (PLAIN, &*more, [0, 1])]
        {
            let weave = check(before, after);
            let (_, images) = both(before, after);
            assert_eq!(images.each_ref().map(|it| begun(it).len()), begin, "{from}");
            let edited = after == more;
            assert_eq!(weave.parts_len(), 1 + usize::from(edited), "{:#?}", weave.parts());
            if before == PLAIN {
                let expected = if edited { edit(PLAIN) } else { before.to_owned() };
                assert_eq!(without_image(&weave), expected, "{from}");
            }
        }
    }
}

#[test]
fn what_is_said_otherwise_is_a_part_and_all_else_of_a_comment_is_none() {
    let weave = check(
        &said("@transaction pay\n * @resources retries=1"),
        &said("@transaction pay\n * @resources retries=7\n * @depends rate"),
    );
    let parts = weave.parts();
    assert_eq!((parts.len(), parts[0].image), (1, true));
    let hunk = &parts[0].hunks[0];
    assert_eq!(hunk.before_text, "/** @transaction pay\n * @resources retries=1 */");
    let edit = &hunk.edit;
    assert_eq!(edit.function, "pay");
    assert!(edit.before.is_some() && edit.after.is_some() && edit.before != edit.after);
    let reason = &hunk.reason.as_ref().unwrap().message;
    assert_eq!(reason, "what is said of a transaction is a part of the image");

    for (before, after) in [
        ("@transaction pay", "It pays.\n * @transaction pay\n * @depends rate"),
        (
            "@transaction pay\n * @success result > 1",
            "@transaction pay\n * @success result\n *   > 1",
        ),
        ("@success result > 1", "@success result > 2"),
        ("", "@resources memory=64MB"),
    ] {
        let (weave, _) = both(&said(before), &said(after));
        assert_eq!(weave.parts_len(), 0, "{before}, {after}");
    }
}

/// What was written for it goes with it; what is in other functions does not.
#[test]
fn what_becomes_a_transaction_does_so_with_its_code() {
    let edit = |text: &str| text.replace("o.a + o.b", "o.a * o.b").replace("o.rate", "o.rate * 2");
    let weave = check(PLAIN, &edit(&said("@transaction pay")));
    assert_eq!(weave.parts_len(), 2, "{:#?}", weave.parts());
    assert_eq!(without_image(&weave), PLAIN.replace("o.rate", "o.rate * 2"));
    let limits = |retries| said(&format!("@transaction pay\n * @resources retries={retries}"));
    let weave = check(&limits(1), &edit(&limits(7)));
    assert_eq!(weave.parts_len(), 3, "{:#?}", weave.parts());
    // So does what it names.
    let [with, without] = ["export async function later(o) { return o; }\n", ""]
        .map(|later| format!("{PLAIN}{later}"));
    let pay = "export async function pay";
    let tagged =
        with.replace(pay, &format!("/** @transaction pay\n * @alternative later */\n{pay}"));
    for (before, after) in [(&tagged, &without), (&without, &tagged)] {
        let weave = check(before, after);
        assert_eq!(weave.parts_len(), 1, "{:#?}", weave.parts());
    }
}

#[test]
fn it_moves_with_what_rollback_asks_for() {
    let edit = |text: &str| text.replace("o.a + o.b", "o.a * o.b").replace("o.rate", "o.rate * 2");
    let of = |rollback: &str, retries: u32| {
        said(&format!("@transaction pay\n * @resources retries={retries}\n * @rollback {rollback}"))
    };
    for (rollback, parts) in [("fine", 3), ("medium", 2), ("coarse", 1)] {
        let weave = check(&of(rollback, 1), &edit(&of(rollback, 7)));
        assert_eq!(weave.parts_len(), parts, "{rollback}: {:#?}", weave.parts());
    }
    let (weave, images) = both(&of("never", 1), &edit(&of("never", 7)));
    assert_eq!(weave.staying().len(), 2, "{:#?}", weave.staying());
    assert!(weave.image_part().is_none(), "{:#?}", weave.parts());
    assert_eq!(begun(&images[1])[0]["retries"], 7);
}

/// Where one text cannot say of each function what its version says, the module is two images.
#[test]
fn no_function_is_taken_for_another() {
    let whole = |before: &str, after: &str| {
        let weave = check(before, after);
        assert_eq!((weave.parts_len(), weave.parts()[0].image), (1, true), "{after}");
        let plain = [before, after].map(|text| begun(&compiled("main.js", text)));
        assert_eq!(both(before, after).1.each_ref().map(begun), plain, "{after}");
    };
    let tagged = "const a = { /** @transaction a */ async save() { return 1; } };\n";
    let others = "const b = { async save() { return 2; } };\nexport const pay = [a, b];\n";
    let before = format!("{tagged}{others}");
    whole(&before, &format!("const n = {{ async save() {{ return 3; }} }};\n{before}"));

    let tag = "/** @transaction t */\n";
    let function = "export async function pay(o = 1) {\n  return o;\n}\n";
    let others = [
        "export async function pay({ o }) {\n  return o;\n}\n",
        "export const pay = async (o = 1) => {\n  return o;\n};\n",
    ];
    for other in others {
        whole(function, &format!("{tag}{other}"));
        whole(&format!("{tag}{function}"), other);
        check(&format!("{tag}{function}"), &format!("{tag}{other}"));
    }
    let inner = |tag: &str| {
        format!(
            "export function pay() {{\n  {tag}async function go() {{ return 1; }}\n  return go();\n}}\n"
        )
    };
    whole(&inner(""), &inner(tag));
    check(&inner(tag), &inner(tag).replace("return 1", "return 2"));
}

/// What a comment stands above, when all around it comes and goes.
#[test]
fn comments_stay_where_they_belong() {
    const T: &str = "/** @transaction t */\n";
    let pay = "export function pay() { return 1; }\n";
    let [z, a, b] =
        ["z", "a", "b"].map(|name| format!("export const {name} = async (o) => o.{name};\n"));
    let c = "export async function c(o) { return o; }\n";
    let class = |members: &str| format!("const k = 'k';\nexport class Bank {{ {members} }}\n{pay}");
    let inner = |body: &str| format!("export async function pay() {{ {body} return 2; }}\n");
    let go = "async function go() { return 3; }\n";
    for (before, after) in [
        (
            format!("{z}{T}{a}{c}{pay}"),
            format!("{T}{a}{}{pay}", c.replace("return o", "return [o]")),
        ),
        (format!("{T}{a}{b}{pay}"), format!("{T}{}{b}{pay}", a.replace("const a", "const d"))),
        (format!("{pay}{c}"), format!("{pay}/** @transaction t */\n\n{b}{c}")),
        (format!("{pay}{c}"), format!("{pay}/** @transaction t */ {b}{c}")),
        (class("async [k](o) { return o; }"), class(&format!("{T}async [k](o) {{ return o; }}"))),
        (
            class(&format!("{T}static async go() {{ return 4; }}\nasync go() {{ return 5; }}")),
            class(&format!("{T}async go() {{ return 5; }}\nstatic async go() {{ return 4; }}")),
        ),
        (
            inner(&format!("pay.call();\n{T}async function go() {{}} await go();")),
            inner(&format!("{T}async function og() {{}} await og();")),
        ),
        (inner(&format!("pay.call();\n{T}{go}")), inner(&format!("{T}{go}"))),
        (
            inner(&format!("pay.call('one'); {T} {go}")),
            inner(&format!("pay.call('two'); {T} {go}")),
        ),
    ] {
        for (before, after) in [(&before, &after), (&after, &before)] {
            check(before, after);
        }
    }
}

/// A transaction whose comment did not change is in nobody's way.
#[test]
fn beside_what_is_said_as_before_edits_are_as_fine_as_ever() {
    let first = "/** @transaction t */\nexport async function first(o) {\n  return o.a;\n}\n";
    let pay = "export function pay(o = 1) {\n  return o;\n}\n";
    let before = format!("{first}{pay}");
    let after = before.replace("o.a", "o.b").replace("pay(o = 1)", "pay({ o })");
    assert_eq!(check(&before, &after).parts_len(), 2);
    let after = before.replace("o.a", "o.b").replace("return o;", "return [o];");
    assert_eq!(check(&before, &after).parts_len(), 2);
}

/// Each is what it was said to be, whatever stands beside it.
#[test]
fn those_that_come_and_go_keep_what_is_said_of_them() {
    let pay = "/** @transaction t */\nasync function pay1(o) { return o; }\n";
    let main = |functions: &str, call: &str| {
        format!("{functions}export function pay(o) {{ return {call}(o); }}\n")
    };
    let renamed = pay.replace("pay1", "pay2");
    let more = "async function other(o) { return [o]; }\n/** @transaction u */\nasync function third(o) { return o; }\n";
    for (before, after) in [
        (main(pay, "pay1"), main(&renamed, "pay2")),
        (main(pay, "pay1"), main(&renamed.replace("@transaction t", "@transaction u"), "pay2")),
        (main(pay, "pay1"), main(&format!("{pay}{more}"), "third")),
        (main(&format!("{more}{pay}"), "third"), main(pay, "pay1")),
        (main(more, "third"), main(&renamed, "pay2")),
    ] {
        let weave = check(&before, &after);
        assert!(weave.image_part().is_none(), "{after}: {:#?}", weave.parts());
        let count = begun(&both(&before, &after).1[1]).len();
        let own = [&before, &after].map(|text| begun(&compiled("main.js", text)));
        assert!(count >= own[0].len().max(own[1].len()), "both are there");
    }
}

#[test]
fn what_a_transaction_promises_is_asked_of_its_handler_too() {
    let text = "/** @transaction t\n * @success result > 1 */\nexport async function pay() {}\n";
    let compiled = set(text, r#"{ "t": { "success": "result > 2" } }"#);
    let criteria: Vec<_> = compiled.criteria.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(criteria, ["result > 2"]);
}
