//! Edits that stay, whatever is taken back: `@rollback never`.

use std::collections::BTreeSet;

use belay_model::{Arm, Granularity, Tie};
use belay_weave::{compile_woven, map_frame, same_code};

use crate::tying::Edit;

const MARKS: [&str; 6] = ["N1", "N2", "A1", "A2", "B1", "B2"];

/// What stays and what is in each part, by the marks in their texts; and what is left when all of that is taken back.
#[track_caller]
fn check(edit: &Edit, staying: &str, parts: &[&str], base: &str) {
    let weave = edit.weave();
    let texts = weave.staying().iter().flat_map(|it| [&it.before_text, &it.after_text]);
    let texts: Vec<&String> = texts.collect();
    let has = |mark: &&&str| texts.iter().any(|text| text.contains(**mark));
    assert_eq!(MARKS.iter().filter(has).copied().collect::<Vec<_>>().join(" "), staying, "stays");
    assert_eq!(edit.parts(&MARKS), parts.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    let left = weave.resolve(&|_| Arm::Before).unwrap().1["main.mjs"].clone();
    let same = same_code("main.mjs", belay_model::ModuleKind::Esm, &left, base);
    assert!(same, "taken back:\n{left}\ninstead of\n{base}");
}

/// A function with a statement tagged `never` between two others.
fn around(never: &str, before: &str, after: &str) -> String {
    let never =
        if never.is_empty() { String::new() } else { format!("/** @rollback never */\n{never}") };
    format!(
        "export async function price(order) {{\n{before}\n{never}\n{after}\n  return order;\n}}\n"
    )
}

#[test]
fn what_stays_is_told_apart_from_its_neighbours() {
    let cases = [
        // It changed, was added, was removed, and nothing beside it is the same.
        ("await move('N1', 1);", "await move('N1', 2);", "order.a('A1', 1);", "order.a('A1', 2);"),
        ("", "await move('N1', 2);", "order.a('A1', 1);", "order.a('A1', 2);"),
        ("await move('N1', 1);", "", "order.a('A1', 1);", "order.a('A1', 2);"),
        ("", "await move('N1', 2);", "", "order.a('A1', 2);"),
        ("", "await move('N1', 2);", "order.a('A1', 1);", ""),
    ];
    for (old, new, one, other) in cases {
        let second = |n: u8| format!("order.b('B1', {n});");
        let (before, after) = (around(old, one, &second(1)), around(new, other, &second(2)));
        let base = around(new, one, &second(1));
        // Without it between them, the two others are one run.
        let parts: &[&str] = if new.is_empty() { &["A1 B1"] } else { &["A1", "B1"] };
        check(&Edit::of(&before, &after), "N1", parts, &base);
    }
}

/// Also what was not tagged: taken back, nothing must run both.
#[test]
fn what_stays_takes_the_place_of_what_it_was() {
    let after = around("order.n('N1', 2);", "order.a('A1', 1);", "order.b('B1', 2);");
    let before = after.replace("/** @rollback never */\norder.n('N1', 2)", "order.n('N1', 1)");
    let before = before.replace("order.b('B1', 2)", "order.b('B1', 1)");
    assert!(before.contains("order.n('N1', 1)") && before.contains("order.b('B1', 1)"));
    let base = after.replace("order.b('B1', 2)", "order.b('B1', 1)");
    check(&Edit::of(&before, &after), "N1", &["B1"], &base);
}

#[test]
fn what_stays_is_not_guarded() {
    let edit = Edit::of(
        &around("await move('N1', 1);", "order.a('A1', 1);", ""),
        &around("await move('N1', 2);", "order.a('A1', 2);", ""),
    );
    let compiled = compile_woven(&edit.weave(), Arm::After, &|_| "v1".to_owned()).unwrap();
    let code = &compiled.modules[0].code;
    assert_eq!(code.matches("A1").count(), 2, "{code}");
    assert_eq!(code.matches("N1").count(), 1, "{code}");
    assert!(code.contains("move('N1', 2)"), "{code}");
}

/// Each can be taken back without what it comes from, but not without the others.
#[test]
fn what_uses_a_name_that_stays_is_one_part() {
    let code = |never: &str, receipt: &str, n: u8| {
        format!(
            "export function price(order) {{
  {never}
  note(order);
  order.log('A1', {n}, {receipt});
  note(order);
  order.print('A2', {n}, {receipt});
  note(order);
  order.other('B1', {n});
}}
"
        )
    };
    let before = code("", "0", 1);
    let never = "/** @rollback never */ const receipt = number('N1');";
    let edit = Edit::of(&before, &code(never, "receipt", 2));
    check(&edit, "N1", &["A1 A2", "B1"], &code(never, "0", 1));
    let ties: Vec<Tie> = edit.weave().parts().into_iter().flat_map(|part| part.ties).collect();
    assert_eq!(ties, [Tie::Stays("receipt".to_owned())]);
    // So it is for functions and properties.
    let function = "/** @rollback never */\nfunction receipt() { return 'N1'; }\n";
    let edit = Edit::of(&before, &format!("{function}{}", code("", "receipt()", 2)));
    check(&edit, "N1", &["A1 A2", "B1"], &format!("{function}{before}"));
    let property = "/** @rollback never */ order.receipt = number('N1');";
    let edit = Edit::of(&before, &code(property, "order.receipt", 2));
    check(&edit, "N1", &["A1 A2", "B1"], &code(property, "0", 1));
}

#[test]
fn what_it_needs_stays_with_it() {
    let never = "await move('N1', id());";
    let id = "function id() { return secret('A1'); }\n";
    let secret = "const secret = (name) => name + 'A2';\n";
    let before = around("", "order.b('B1', 1);", "");
    let after = around(never, "order.b('B1', 2);", "");
    let edit = Edit::of(&before, &format!("{id}{secret}{after}"));
    let base = format!("{id}{secret}{}", around(never, "order.b('B1', 1);", ""));
    check(&edit, "N1 A1 A2", &["B1"], &base);
    let staying = edit.weave().staying().to_vec();
    let why = staying.iter().map(|hunk| (hunk.reason.is_some(), hunk.after_text.contains("N1")));
    assert!(why.clone().all(|(needed, tagged)| needed != tagged), "{staying:#?}");
    // A variable, and a parameter.
    let of = |id: &str, n: u8| around("await move('N1', id);", id, &format!("order.b('B1', {n});"));
    let edit = Edit::of(&around("", "", "order.b('B1', 1);"), &of("const id = make('A1');", 2));
    check(&edit, "N1 A1", &["B1"], &of("const id = make('A1');", 1));
    let ship = |parameters: &str, n: u8| {
        format!("function ship({parameters}) {{\n  return ['A1', {n}, to];\n}}\n")
    };
    let edit = Edit::of(
        &format!("{}{}", ship("to", 1), around("ship('N1');", "order.b('B1', 1);", "")),
        &format!("{}{}", ship("{ to }", 2), around("ship({ to: 'N1' });", "order.b('B1', 2);", "")),
    );
    let base =
        format!("{}{}", ship("{ to }", 2), around("ship({ to: 'N1' });", "order.b('B1', 1);", ""));
    check(&edit, "N1 A1", &["B1"], &base);
}

/// Old code that used what is gone for good could not run.
#[test]
fn who_used_what_is_gone_stays_as_well() {
    let code = |never: &str, used: &str, n: u8| {
        format!(
            "export function price(order) {{\n  {never}\n  note(order);\n  order.a('A1', {used});\n  note(order);\n  order.b('B1', {n});\n}}\n"
        )
    };
    let never = "/** @rollback never */ const receipt = number('N1');";
    let edit = Edit::of(&code(never, "receipt", 1), &code("", "0", 2));
    check(&edit, "N1 A1", &["B1"], &code("", "0", 1));
    // A function is there as long as somebody may want it.
    let function = "/** @rollback never */\nfunction receipt() { return 'N1'; }\n";
    let before = format!("{}{function}", code("", "receipt()", 1));
    check(&Edit::of(&before, &code("", "0", 2)), "", &["N1 A1", "B1"], &before);
    let before = format!("{function}{}", code("", "0", 1));
    check(&Edit::of(&before, &code("", "0", 2)), "N1", &["B1"], &code("", "0", 1));
}

#[test]
fn functions_constants_and_whole_apps_stay() {
    let never = Some(Granularity::Never);
    let code = |n: u8, m: u8| {
        format!(
            "export async function price(order) {{\n  order.a('A1', {n});\n  note(order);\n  order.b('B1', {n});\n}}\nexport async function ship(order) {{\n  order.c('A2', {m});\n}}\n"
        )
    };
    let edit = || Edit::of(&code(1, 1), &code(2, 2));
    check(&Edit { price: never, ..edit() }, "A1 B1", &["A2"], &code(2, 1));
    check(&Edit { default: never, ..edit() }, "A1 A2 B1", &[], &code(2, 2));
    assert!(!Edit { default: never, ..edit() }.weave().is_empty());
    let fine = Some(Granularity::Fine);
    check(&Edit { default: never, price: fine, ..edit() }, "A2", &["A1", "B1"], &code(1, 2));
    // What cannot be chosen per request needs no second image if it stays.
    let top = |never: &str, n: u8| {
        format!(
            "/** @rollback never */\n{never}\nexport function price(a) {{\n  a.b('A1', {n});\n}}\n"
        )
    };
    for (old, new) in
        [("table('N1', 1);", "table('N1', 2);"), ("const n = ['N1'];", "const n = ['N1', 2];")]
    {
        let edit = Edit::of(&top(old, 1), &top(new, 2));
        check(&edit, "N1", &["A1"], &top(new, 1));
        assert_eq!(edit.weave().image_part(), None);
    }
}

/// Where nothing smaller than the whole can be switched, it goes back as a whole.
#[test]
fn as_one_nothing_stays() {
    let [before, after] = [1, 2]
        .map(|n| around(&format!("await move('N1', {n});"), &format!("order.a('A1', {n});"), ""));
    let weave = Edit::of(&before, &after).weave().as_one();
    assert_eq!((weave.parts_len(), weave.staying().len()), (1, 0));
    assert_eq!(weave.resolve(&|_| Arm::Before).unwrap().1["main.mjs"].trim(), before.trim());
}

/// In the lines of the version that somebody has in an editor, which has nothing of what stays.
#[test]
fn old_code_is_told_by_the_lines_of_the_old_version() {
    let before = around("", "note(order);\norder.a(order);", "order.old('A1');\nnote(order);");
    let never = "const one = 'N1';\nawait move(one);\nawait settle(one);";
    let after = around(never, "note(order);\norder.a(order);", "order.fresh('A1');\nnote(order);")
        .replacen("/** @rollback never */", "/** @rollback never */ {", 1)
        .replacen("settle(one);", "settle(one); }", 1);
    let edit = Edit::of(&before, &after);
    let weave = edit.weave();
    assert_eq!(weave.staying().len(), 1);
    let hunk = weave.parts()[0].hunks[0].clone();
    assert_eq!((hunk.before_lines, hunk.after_lines), (Some((5, 5)), Some((8, 8))));
    let module = compile_woven(&weave, Arm::After, &|_| "v1".to_owned()).unwrap().modules.remove(0);
    let frame = |needle: &str| {
        let at = module.code.find(needle).unwrap();
        let line = module.code[..at].matches('\n').count() + 1;
        let column = at - module.code[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
        let maps = |path: &str| (path == module.path).then_some(&module.map);
        map_frame(&format!("    at f (main.mjs:{line}:{column})"), &maps)
    };
    assert_eq!(frame("order.old"), "    at f (main.mjs@v1:5:1)");
    assert_eq!(frame("order.fresh"), "    at f (main.mjs:8:1)");
    assert_eq!(frame("move("), "    at f (main.mjs:6:7)");
}

/// A name of what stays, or of what is put back around it, must not find another variable than it did.
#[test]
fn what_would_change_the_meaning_of_a_name_stays_too() {
    let code = |statements: &str, n: u8| {
        format!(
            "const fee = 'M';\nexport function price(order) {{\n  {statements}\n  note(order);\n  order.b('B1', {n});\n  return order;\n}}\n"
        )
    };
    let own = |name: &str| format!("const {name} = order.a('A1');\n  order.c({name}, 'A2');");
    let never = "note(order);\n  /** @rollback never */ order.n('N1', fee);";
    // In the old function `fee` is one of its own; what stays means the module's.
    let new = format!("{}\n  {never}", own("charge"));
    let edit = Edit::of(&code(&own("fee"), 1), &code(&new, 2));
    check(&edit, "N1 A1 A2", &["B1"], &code(&new, 1));
    // The other way round: what stays brings a name that old code looks for outside.
    let old = "order.c(fee, 'A2');".to_owned();
    let new = "/** @rollback never */ const fee = order.n('N1');\n  order.d('A2');".to_owned();
    let edit = Edit::of(&code(&old, 1), &code(&new, 2));
    check(&edit, "N1 A2", &["B1"], &code(&new, 1));
}

/// Of parts that move alone, no source is made in which a name means something else than in what runs.
#[test]
fn a_source_that_would_mean_something_else_is_not_made() {
    let code = |first: &str, second: &str| {
        format!(
            "const fee = 'M';\nexport function price(order) {{\n  {first}\n  note(order);\n  {second}\n  return order;\n}}\n"
        )
    };
    let edit = Edit::of(
        &code("const fee = order.a('A1');\n  order.c(fee);", "order.b('B1');"),
        &code("const charge = order.a('A1');\n  order.c(charge);", "order.b('B1', fee);"),
    );
    let weave = edit.weave();
    let first = weave.parts().iter().position(|part| part.hunks[0].before_text.contains("A1"));
    let first = u8::try_from(first.unwrap()).unwrap();
    assert_eq!(weave.parts().len(), 2);
    let wrong = weave.resolve(&|part| if part.0 == first { Arm::Before } else { Arm::After });
    let wrong = wrong.unwrap_err();
    assert!(wrong.message.contains("`fee`"), "{wrong:?}");
    assert!(weave.resolve(&|_| Arm::Before).is_ok());
}
