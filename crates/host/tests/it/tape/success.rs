//! What functions promise of their results, and what is held against whoever does not keep it.

use belay_engine::FunctionImage;
use belay_host::tape::{Candidate, Criteria, Criterion, Reason, Replayed, Tape, Verdict, prove};
use belay_model::Arm;

use super::{candidate, lenient, replayed_as, tape_of};
use crate::{
    functions::{deep, image_with},
    world::World,
};

/// Two versions of a handler, of which the second promises something else, in one program.
fn woven(code: &str) -> FunctionImage {
    let code = format!(
        "import {{ arm }} from 'belay:weave';
        const DONE = 'done';
        export async function handler(event) {{ {code} }}
        export const old = (result) => !!(result.status === DONE);
        export const young = (result) => !!(result.state.name === DONE);"
    );
    image_with(&code, &["handler", "old", "young"])
}

fn criterion(entry: usize, text: &str) -> Criterion {
    Criterion { entry, text: text.to_owned() }
}

fn both() -> Criteria {
    Criteria { before: Some(criterion(1, "old")), after: Some(criterion(2, "young")) }
}

fn on<'a>(image: &'a FunctionImage, criteria: &'a Criteria, arms: &'a [Arm]) -> Candidate<'a> {
    Candidate { arms, criteria: Some(criteria), ..candidate(image) }
}

fn reasons(replayed: &Replayed) -> &[Reason] {
    match &replayed.verdict {
        Verdict::Worse(reasons) => reasons,
        Verdict::Same | Verdict::Changed => &[],
        Verdict::Diverged(divergence) => panic!("{divergence}"),
    }
}

fn violated(criterion: &str, why: Option<&str>) -> Reason {
    Reason::Violated { criterion: criterion.to_owned(), why: why.map(str::to_owned) }
}

async fn proven(image: &FunctionImage, criteria: &Criteria) -> Tape {
    let mut tape = tape_of(&World::new(), image, "{}").await;
    let before = on(image, criteria, &[]);
    assert!(deep(|| prove(&before, &mut tape, &lenient()).unwrap()));
    tape
}

#[tokio::test]
async fn a_promise_that_is_not_kept_any_more_is_worse() {
    let same = Criteria { after: Some(criterion(1, "old")), ..both() };
    let image = woven("return { status: arm(0) ? 'lost' : 'done' }");
    let tape = proven(&image, &same).await;
    assert!(!tape.violated);
    let after = replayed_as(&on(&image, &same, &[Arm::After]), &tape);
    assert_eq!(reasons(&after), [violated("old", None)]);
    assert!(after.violated);
    let before = replayed_as(&on(&image, &same, &[Arm::Before]), &tape);
    assert_eq!(before.verdict, Verdict::Same);
    let unheard = Candidate { criteria: None, ..on(&image, &same, &[Arm::After]) };
    assert_eq!(replayed_as(&unheard, &tape).verdict, Verdict::Changed);
}

#[tokio::test]
async fn one_that_was_not_kept_before_is_held_against_nobody() {
    let image = woven("return { status: arm(0) ? 'late' : 'lost' }");
    let same = Criteria { after: Some(criterion(1, "old")), ..both() };
    let tape = proven(&image, &same).await;
    assert!(tape.violated && tape.proven);
    assert_eq!(replayed_as(&on(&image, &same, &[Arm::After]), &tape).verdict, Verdict::Changed);
}

#[tokio::test]
async fn each_version_is_held_to_its_own() {
    let image = woven(
        "return [arm(0), arm(1)].includes(1) ? { state: { name: 'done' } } : { status: 'done' }",
    );
    let criteria = both();
    let tape = proven(&image, &criteria).await;
    let held = |arms: &[Arm]| replayed_as(&on(&image, &criteria, arms), &tape).violated;
    assert!(!held(&[Arm::Before, Arm::Before]));
    assert!(!held(&[Arm::After, Arm::After]));
    // One that ran both may mean either.
    assert!(!held(&[Arm::Before, Arm::After]));
    // … but not neither.
    let neither = woven("return arm(0) + arm(1) ? { state: 'done' } : { status: 'done' }");
    let tape = proven(&neither, &criteria).await;
    let mixed = replayed_as(&on(&neither, &criteria, &[Arm::Before, Arm::After]), &tape);
    assert_eq!(reasons(&mixed), [violated("young", None)]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_kept() {
    let image = woven("return arm(0) ? { status: 'done' } : { status: 'done' }");
    let criteria = both();
    let tape = proven(&image, &criteria).await;
    let after = replayed_as(&on(&image, &criteria, &[Arm::After]), &tape);
    let [Reason::Violated { criterion, why: Some(why) }] = reasons(&after) else {
        panic!("{after:?}")
    };
    assert_eq!(criterion, "young");
    assert!(why.starts_with("TypeError: "), "{why}");
    // The image says which version ran, also where no guard does.
    let plain = woven("return { status: 'done' }");
    let tape = proven(&plain, &criteria).await;
    let face = |face| Candidate { face: Some(face), ..on(&plain, &criteria, &[]) };
    assert!(!replayed_as(&face(Arm::Before), &tape).violated);
    assert!(replayed_as(&face(Arm::After), &tape).violated);
}
