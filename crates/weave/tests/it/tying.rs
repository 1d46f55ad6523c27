//! How closely edits are tied, as `@rollback` asks for it in the code and in `belay.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{
    AppManifest, AppTags, Arm, EgressPolicy, EnvironmentName, FunctionSpec, Granularity, Hash,
    Limits, ModuleEntry, ModuleKind, PartInfo, Tags, Tie,
};
use belay_weave::{Tying, Weave, weave};

/// One module of two versions, and what `belay.toml` says of it.
#[derive(Default)]
pub(crate) struct Edit {
    pub(crate) before: String,
    pub(crate) after: String,
    /// Of `price` and `ship`, and of all functions.
    pub(crate) price: Option<Granularity>,
    pub(crate) ship: Option<Granularity>,
    pub(crate) default: Option<Granularity>,
}

impl Edit {
    pub(crate) fn of(before: &str, after: &str) -> Self {
        Self { before: before.to_owned(), after: after.to_owned(), ..Self::default() }
    }

    fn manifest(&self, text: &str) -> AppManifest {
        let function = |name: &str, rollback| {
            let tags = Tags { rollback, ..Tags::default() };
            let (module, export) = ("main.mjs".to_owned(), name.to_owned());
            let spec = FunctionSpec { module, export, limits: Limits::default(), tags };
            (name.parse().unwrap(), spec)
        };
        AppManifest {
            app: "shop".parse().unwrap(),
            functions: [("price", self.price), ("ship", self.ship)]
                .into_iter()
                .filter(|(name, _)| exports(&self.after, name))
                .map(|(name, rollback)| function(name, rollback))
                .collect(),
            environment: EnvironmentName::default(),
            env: BTreeMap::new(),
            egress: EgressPolicy::default(),
            databases: BTreeMap::new(),
            transactions: BTreeMap::new(),
            tags: AppTags { rollback: self.default, notape: false },
            policy: belay_model::Policy::default(),
            modules: vec![ModuleEntry {
                path: "main.mjs".to_owned(),
                source: Hash::of(text.as_bytes()),
                kind: ModuleKind::Esm,
                imports: Vec::new(),
            }],
        }
    }

    pub(crate) fn weave(&self) -> Weave {
        let texts: [Arc<str>; 2] = [self.before.as_str().into(), self.after.as_str().into()];
        let source = |hash: &Hash| texts.iter().find(|t| Hash::of(t.as_bytes()) == *hash).cloned();
        let (before, after) = (self.manifest(&self.before), self.manifest(&self.after));
        let weave = weave(&before, &after, &source, Tying::Default).unwrap();
        let wrong: Vec<_> = weave.mismatches().collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(&*weave.resolve(&|_| Arm::After).unwrap().1["main.mjs"], self.after);
        weave
    }

    /// What is in each part: of its hunks, those of `marks` that they have in their new text, or else in the old one.
    pub(crate) fn parts(&self, marks: &[&str]) -> BTreeSet<String> {
        self.weave().parts().iter().map(|part| marked(part, marks)).collect()
    }
}

fn exports(text: &str, name: &str) -> bool {
    ["function", "async function", "const"]
        .iter()
        .any(|kind| text.contains(&format!("export {kind} {name}")))
}

fn marked(part: &PartInfo, marks: &[&str]) -> String {
    let has = |mark: &&&str| {
        part.hunks.iter().any(|hunk| {
            let text =
                if hunk.after_text.is_empty() { &hunk.before_text } else { &hunk.after_text };
            text.contains(**mark)
        })
    };
    marks.iter().filter(has).copied().collect::<Vec<_>>().join(" ")
}

/// Two functions, with what stands above them and above a statement of the first. Four statements differ between `n` = 1
/// and 2: A1 and A2 write and use the property `total`; B1 and B2 have nothing to do with anything.
#[derive(Default, Clone, Copy)]
struct Shop {
    price: &'static str,
    b1: &'static str,
    ship: &'static str,
}

impl Shop {
    fn version(self, n: u8) -> String {
        let Self { price, b1, ship } = self;
        format!(
            "{price}
export async function price(order) {{
  const net = order.net;
  order.total = net * 'A1'.at({n});
  note(net);
  order.items.forEach((item) => {{
    {b1}
    audit('B1', {n}, item);
  }});
  return {{ net }};
}}
{ship}
export async function ship(order) {{
  audit('B2', {n});
  note(order);
  return order.total + 'A2'.at({n});
}}
"
        )
    }

    fn edit(self) -> Edit {
        Edit::of(&self.version(1), &self.version(2))
    }
}

#[track_caller]
fn check(edit: &Edit, expected: &[&str]) {
    let parts = edit.parts(&["A1", "B1", "A2", "B2"]);
    assert_eq!(parts, expected.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
}

const FINE: &str = "/** @rollback fine */";
const MEDIUM: &str = "/** @rollback medium */";
const COARSE: &str = "/** @rollback coarse */";

const APART: [&str; 4] = ["A1", "A2", "B1", "B2"];
const TOGETHER: [&str; 1] = ["A1 B1 A2 B2"];

#[test]
fn more_edits_than_parts_are_one() {
    let app = |edits: usize, value: usize| -> String {
        let one = |n: usize| format!("export function f{n}(x) {{ return x + {n} * {value}; }}\n");
        (0..edits).map(one).collect()
    };
    for (edits, parts) in [(250, 250), (260, 1)] {
        let weave = Edit::of(&app(edits, 1), &app(edits, 2)).weave();
        assert_eq!(weave.parts_len(), parts, "{:?}", weave.parts()[0].ties);
        let tied = weave.parts()[0].ties.contains(&Tie::TooMany);
        assert_eq!(tied, parts == 1);
    }
}

#[test]
fn untagged_edits_are_tied_by_names_of_properties() {
    check(&Shop::default().edit(), &["A1 A2", "B1", "B2"]);
}

/// At either end of the tie: who writes `fine` vouches for that piece of code.
#[test]
fn fine_unties_names_at_either_end() {
    check(&Shop { price: FINE, ..Shop::default() }.edit(), &APART);
    check(&Shop { ship: FINE, ..Shop::default() }.edit(), &APART);
    check(&Shop { b1: FINE, ..Shop::default() }.edit(), &["A1 A2", "B1", "B2"]);
}

/// Callbacks in it belong to it.
#[test]
fn medium_ties_the_function() {
    check(&Shop { price: MEDIUM, ..Shop::default() }.edit(), &["A1 B1 A2", "B2"]);
    check(&Shop { price: MEDIUM, ship: FINE, ..Shop::default() }.edit(), &["A1 B1", "A2", "B2"]);
    check(&Shop { ship: MEDIUM, price: FINE, ..Shop::default() }.edit(), &["A1", "B1", "A2 B2"]);
    // Of a statement, it means the function around.
    check(&Shop { b1: MEDIUM, ..Shop::default() }.edit(), &["A1 B1 A2", "B2"]);
}

#[test]
fn coarse_ties_everything_if_something_in_it_changed() {
    for shop in [
        Shop { price: COARSE, ..Shop::default() },
        Shop { b1: COARSE, ..Shop::default() },
        Shop { ship: COARSE, price: FINE, ..Shop::default() },
    ] {
        check(&shop.edit(), &TOGETHER);
    }
    let other = |n| {
        format!(
            "{COARSE}\nexport function ship() {{ return 1; }}\nexport function price(a) {{\n  a.b('B1', {n});\n  note(a);\n  a.c('B2', {n});\n}}\n"
        )
    };
    check(&Edit::of(&other(1), &other(2)), &["B1", "B2"]);
}

#[test]
fn the_innermost_tag_counts() {
    check(&Shop { price: MEDIUM, b1: FINE, ..Shop::default() }.edit(), &["A1 A2", "B1", "B2"]);
    check(&Shop { price: COARSE, b1: FINE, ..Shop::default() }.edit(), &TOGETHER);
    check(&Shop { price: FINE, b1: MEDIUM, ..Shop::default() }.edit(), &["A1", "B1", "A2", "B2"]);
    check(&Shop { price: FINE, b1: COARSE, ..Shop::default() }.edit(), &TOGETHER);
}

#[test]
fn belay_toml_counts_where_the_code_says_nothing() {
    let (fine, medium) = (Some(Granularity::Fine), Some(Granularity::Medium));
    let untagged = || Shop::default().edit();
    check(&Edit { price: medium, ..untagged() }, &["A1 B1 A2", "B2"]);
    check(&Edit { price: fine, ..untagged() }, &APART);
    check(&Edit { default: fine, ..untagged() }, &APART);
    check(&Edit { default: medium, ..untagged() }, &TOGETHER);
    check(&Edit { default: Some(Granularity::Coarse), ..untagged() }, &TOGETHER);
    // A function before the default, and the code before both.
    check(&Edit { default: fine, ship: medium, ..untagged() }, &["A1", "B1", "A2 B2"]);
    let tagged = || Shop { price: FINE, ..Shop::default() }.edit();
    check(&Edit { price: medium, ..tagged() }, &APART);
    check(&Edit { default: medium, ..tagged() }, &["A1", "B1", "A2 B2"]);
}

#[test]
fn the_new_source_says_what_counts() {
    let (tagged, plain) = (Shop { price: MEDIUM, ..Shop::default() }, Shop::default());
    check(&Edit::of(&plain.version(1), &tagged.version(2)), &["A1 B1 A2", "B2"]);
    check(&Edit::of(&tagged.version(1), &plain.version(2)), &["A1 A2", "B1", "B2"]);
}

/// A deleted statement is asked for by its own tag, and else by the place where it was.
#[test]
fn what_is_deleted_is_told_by_the_old_source() {
    let code = |function: &str, tag: &str, first: &str, n: u8| {
        format!(
            "{function}\nexport function price(a) {{\n  {tag}\n  {first}\n  note(a);\n  a.c('B2', {n});\n}}\nexport function ship(a) {{\n  a.d('A2', {n});\n}}\n"
        )
    };
    let edit = |old: [&str; 2], new: &str| {
        let first = if old[1].is_empty() { "a.b('A1');" } else { "a.b('A1', 0);" };
        Edit::of(&code(old[0], old[1], first, 1), &code(new, "", "", 2))
    };
    check(&edit(["", ""], ""), &["A1", "A2", "B2"]);
    check(&edit(["", COARSE], ""), &["A1 A2 B2"]);
    check(&edit(["", ""], MEDIUM), &["A1 B2", "A2"]);
    check(&edit(["", FINE], MEDIUM), &["A1", "A2", "B2"]);
}

/// Where an edit is larger than what is tagged, the strictest tag of what differs in it counts.
#[test]
fn tags_within_an_edit_count_if_what_they_speak_of_differs() {
    let code = |parameters: &str, tagged: &str, n: u8| {
        format!(
            "export function price({parameters}) {{\n  {COARSE}\n  use({tagged});\n  return [a, 'A1', {n}];\n}}\nexport function ship(a) {{\n  a.d('A2', {n});\n}}\n"
        )
    };
    let edit = |tagged| Edit::of(&code("a", "1", 1), &code("{ a }, b", tagged, 2));
    check(&edit("1"), &["A1", "A2"]);
    check(&edit("2"), &["A1 A2"]);
}

#[test]
fn methods_are_functions_and_classes_hold_them() {
    let code = |class: &str, method: &str, n: u8| {
        format!(
            "{class}\nclass Shop {{\n  {method}\n  price(a) {{\n    a.b('A1', {n});\n    note(a);\n    a.c('B1', {n});\n  }}\n  ship(a) {{\n    a.d('A2', {n});\n    note(a);\n    a.e('B2', {n});\n  }}\n}}\nexport const price = (a) => new Shop().price(a);\nexport const ship = price;\n"
        )
    };
    let edit =
        |class: &str, method: &str| Edit::of(&code(class, method, 1), &code(class, method, 2));
    check(&edit("", ""), &APART);
    check(&edit("", MEDIUM), &["A1 B1", "A2", "B2"]);
    check(&edit(MEDIUM, ""), &["A1 B1", "A2 B2"]);
    check(&edit(MEDIUM, FINE), &["A1", "B1", "A2 B2"]);
}

/// Whatever either asks for.
#[test]
fn callers_go_with_parameters() {
    let code = |tag: &str, parameters: &str, n: u8| {
        format!(
            "{tag}\nfunction way({parameters}) {{\n  return ['A1', {n}, to];\n}}\nexport function price(a) {{\n  way('A2', {n});\n  note(a);\n  a.b('B1', {n});\n}}\n"
        )
    };
    for tag in ["", FINE, MEDIUM] {
        let edit = Edit::of(&code(tag, "to", 1), &code(tag, "{ to }", 2));
        check(&edit, &["A1 A2", "B1"]);
        let edit = Edit::of(&code(tag, "to", 1), &code(tag, "to", 2));
        check(&edit, &["A1", "A2", "B1"]);
    }
}

/// Which of them it is does not depend on what becomes of the other one.
#[test]
fn edits_that_are_the_same_twice_are_two() {
    let code = |first: u8, second: u8, third: u8| {
        format!(
            "export function price(a) {{\n  a.b('x', {first});\n  note(a);\n  a.b('x', {second});\n}}\nexport function ship(a) {{\n  a.b('x', {third});\n}}\n"
        )
    };
    let edits = |edit: &Edit| -> Vec<(String, u32)> {
        let parts = edit.weave().parts();
        let hunks = parts.into_iter().flat_map(|part| part.hunks);
        hunks.map(|hunk| (hunk.edit.function, hunk.edit.ordinal)).collect()
    };
    let of = |function: &str, ordinal| (function.to_owned(), ordinal);
    let before = code(1, 1, 1);
    let all = edits(&Edit::of(&before, &code(2, 2, 2)));
    assert_eq!(all, [of("price", 1), of("price", 2), of("ship", 0)]);
    assert_eq!(edits(&Edit::of(&before, &code(2, 1, 1))), [of("price", 1)]);
    assert_eq!(edits(&Edit::of(&before, &code(1, 2, 1))), [of("price", 2)]);
    // Where there was nothing, the new version counts.
    let added = |n: usize| format!("export function price(a) {{\n{}}}\n", "  a.b();\n".repeat(n));
    assert_eq!(edits(&Edit::of(&added(0), &added(1))), [of("price", 0)]);
    assert_eq!(edits(&Edit::of(&added(1), &added(2)))[0].0, "price");
}
