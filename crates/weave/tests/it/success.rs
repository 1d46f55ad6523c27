//! `@success`: what handlers promise is compiled into their modules.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{AppManifest, Arm, FunctionSpec, Hash, ModuleEntry, ModuleKind, Tags};
use belay_weave::{Compiled, Tying, compile, compile_woven, weave};

use crate::support::render;

struct Source {
    path: &'static str,
    kind: ModuleKind,
    /// What `belay.toml` says.
    declared: Option<&'static str>,
}

const TS: Source = Source { path: "main.ts", kind: ModuleKind::Esm, declared: None };

impl Source {
    fn manifest(&self, text: &str) -> AppManifest {
        let success = self.declared.map(str::to_owned);
        let spec = FunctionSpec {
            module: self.path.to_owned(),
            export: "pay".to_owned(),
            limits: belay_model::Limits::default(),
            tags: Tags { success, ..Tags::default() },
        };
        AppManifest {
            app: "shop".parse().unwrap(),
            functions: BTreeMap::from([("pay".parse().unwrap(), spec)]),
            environment: belay_model::EnvironmentName::default(),
            env: BTreeMap::new(),
            egress: belay_model::EgressPolicy::default(),
            databases: BTreeMap::new(),
            transactions: BTreeMap::new(),
            tags: belay_model::AppTags::default(),
            policy: belay_model::Policy::default(),
            modules: vec![ModuleEntry {
                path: self.path.to_owned(),
                source: Hash::of(text.as_bytes()),
                kind: self.kind,
                imports: Vec::new(),
            }],
        }
    }

    fn compiled(&self, text: &str) -> Compiled {
        let source: Arc<str> = text.into();
        let compiled = compile(&self.manifest(text), &|_| Some(source.clone()));
        compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)))
    }

    fn woven(&self, before: &str, after: &str) -> Compiled {
        let texts: Vec<Arc<str>> = vec![before.into(), after.into()];
        let source = |hash: &Hash| texts.iter().find(|t| Hash::of(t.as_bytes()) == *hash).cloned();
        let (old, new) = (self.manifest(before), self.manifest(after));
        let weave = weave(&old, &new, &source, Tying::Default).unwrap();
        let compiled = compile_woven(&weave, Arm::After, &|_| "v1".to_owned());
        compiled.unwrap_or_else(|problems| panic!("{}", render(&problems)))
    }
}

fn shown(compiled: &Compiled) -> String {
    let criteria = compiled.criteria.iter().map(|it| format!("{it:?}\n"));
    let modules = compiled.modules.iter();
    let modules = modules.map(|it| format!("{:?}\n{}", it.export_names, it.code));
    criteria.chain(modules).collect()
}

const PAY: &str = "const DONE: string = \"done\";\n\
    /** @success result.status === DONE // as agreed */\n\
    export function pay(event: { sum: number }) {\n  return { status: DONE, sum: event.sum };\n}\n";

#[test]
fn a_criterion_is_one_more_export_that_sees_what_its_module_has() {
    insta::assert_snapshot!(shown(&TS.compiled(PAY)));
}

#[test]
fn belay_toml_is_asked_where_the_code_says_nothing() {
    let said = Source { declared: Some("result.sum > 0, true"), ..TS };
    let silent = PAY.replace("@success", "Success:");
    let [criterion] = &said.compiled(&silent).criteria[..] else { panic!("one criterion") };
    assert_eq!(criterion.text, "result.sum > 0, true");
    let [criterion] = &said.compiled(PAY).criteria[..] else { panic!("one criterion") };
    assert!(criterion.text.starts_with("result.status"), "{criterion:?}");
    assert_eq!(TS.compiled(&silent).criteria, []);
    let wrong = Source { declared: Some("await result"), ..TS };
    assert_eq!(wrong.compiled(&silent).criteria, [], "it is for the tags to refuse");
}

#[test]
fn of_a_common_js_module_nobody_sees_it() {
    let source = Source { path: "main.js", kind: ModuleKind::CommonJs, declared: None };
    let code = "/** @success result > 0 */\nexports.pay = (event) => event.sum; // no line end";
    insta::assert_snapshot!(shown(&source.compiled(code)));
}

#[test]
fn woven_code_has_that_of_each_version() {
    let after = PAY.replace("result.status === DONE", "result.state === DONE");
    let after = after.replace("{ status:", "{ state:");
    insta::assert_snapshot!(shown(&TS.woven(PAY, &after)));
    let same = TS.woven(PAY, &PAY.replace("event.sum", "event.sum * 2"));
    let arms: Vec<Arm> = same.criteria.iter().map(|it| it.arm).collect();
    assert_eq!(arms, [Arm::Before, Arm::After]);
}
