//! Woven programs: one image holds two versions of each part, a request says which it runs, and the host learns what
//! was reached.

use belay_engine::{
    BuildError, Built, EngineError, Entry, FunctionImage, Instance, Program, ProgramModule, Seed,
    Start, Step,
};
use belay_model::{
    Arm::{self, After, Before},
    Category, Failure, Limits, ModuleKind, Outcome,
};

use crate::support::{CONTEXT, build, deep, module, run_with, start_on};

const IMPORT: &str = "import { cells as $belay, arm as $belay_arm, enter as $belay_enter, leave as $belay_leave, settable as $belay_settable } from 'belay:weave';";
const WRAPPER: &str = "(function (exports, require, module, __filename, __dirname, $belay, $belay_arm, $belay_enter, $belay_leave, $belay_settable) {";

/// An ES module that exports `handler`.
fn esm(code: &str) -> Program {
    let imports = [("belay:weave", "belay:weave"), ("belay", "belay")];
    of(module("main.js", &format!("{IMPORT}{code}"), &imports))
}

/// A CommonJS module that exports `handler`.
fn common_js(code: &str) -> Program {
    of(ProgramModule {
        path: "main.js".to_owned(),
        kind: ModuleKind::CommonJs,
        code: format!("{WRAPPER}{code}}})"),
        export_names: vec!["handler".to_owned()],
        imports: Vec::new(),
    })
}

fn of(module: ProgramModule) -> Program {
    let entry = Entry { module: "main.js".to_owned(), export: "handler".to_owned() };
    Program { modules: vec![module], entries: vec![entry], ..Program::default() }
}

fn built(program: &Program) -> Built {
    build(program).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

fn image(code: &str) -> FunctionImage {
    built(&esm(code)).image
}

fn start(image: &FunctionImage, arms: &[Arm]) -> Instance {
    start_on(image, "{}", Limits::default(), arms)
}

/// The arms of parts 0 to 255, all before but for `after`.
fn with_after(after: &[usize]) -> Vec<Arm> {
    (0..256).map(|part| if after.contains(&part) { After } else { Before }).collect()
}

fn parts(instance: &Instance) -> Vec<(u8, Arm)> {
    instance.reached().iter().map(|reached| (reached.part, reached.arm)).collect()
}

fn not_found() -> Outcome {
    Outcome::json(r#"{"found":false}"#)
}

/// Runs to the end; whatever key is asked for is not there.
fn run(instance: &mut Instance) -> Result<String, Failure> {
    run_with(instance, |_| not_found())
}

/// What the request answers, and what it reached.
fn request(image: &FunctionImage, arms: &[Arm]) -> (String, Vec<(u8, Arm)>) {
    let mut instance = start(image, arms);
    let answer = run(&mut instance).unwrap_or_else(|failure| panic!("{failure:?}"));
    (answer, parts(&instance))
}

const HANDLER: &str = "
    const pick = (part, after, before) => {
        if ($belay[part] || $belay_arm(part)) { return after } else { return before }
    };
    const handler = () => [pick(0, 'a', 'b'), pick(7, 'c', 'd'), pick(255, 'e', 'f')];";

#[test]
fn requests_of_one_image_run_the_arms_they_bring() {
    let programs = [
        esm(&format!("{HANDLER} export {{ handler }}")),
        common_js(&format!("{HANDLER} exports.handler = handler;")),
    ];
    for program in programs {
        let image = built(&program).image;
        deep(|| {
            for (arms, answer, arms_of_parts) in [
                (with_after(&[0, 255]), r#"["a","d","e"]"#, [After, Before, After]),
                (vec![], r#"["b","d","f"]"#, [Before, Before, Before]),
                (vec![After], r#"["a","d","f"]"#, [After, Before, Before]),
                (with_after(&[7]), r#"["b","c","f"]"#, [Before, After, Before]),
            ] {
                let reached: Vec<_> = [0, 7, 255].into_iter().zip(arms_of_parts).collect();
                assert_eq!(request(&image, &arms), (answer.to_owned(), reached));
            }
        });
    }
}

#[test]
fn a_woven_module_may_be_imported_at_request_time() {
    let lazy = module(
        "lazy.js",
        &format!("{IMPORT} export const arm = () => $belay[6] || $belay_arm(6)"),
        &[("belay:weave", "belay:weave")],
    );
    let main = "export const handler = async () => (await import('./lazy.js')).arm()";
    let mut program = of(module("main.js", main, &[("./lazy.js", "lazy.js")]));
    program.modules.push(lazy);
    let image = built(&program).image;
    deep(|| {
        assert_eq!(request(&image, &with_after(&[6])), ("1".to_owned(), vec![(6, After)]));
    });
}

#[test]
fn a_part_that_is_not_reached_is_not_told() {
    let image = image("export const handler = () => 1");
    deep(|| assert_eq!(request(&image, &with_after(&[1])), ("1".to_owned(), vec![])));
}

#[test]
fn what_was_reached_is_told_however_the_request_ends() {
    use Category::{Deadlock, Exception, OutOfMemory, StackOverflow, Timeout};
    let limits = Limits { cpu_ms: 30, memory_bytes: 32 << 20, ..Limits::default() };
    for (end, category) in [
        ("throw new Error('x')", Exception),
        ("for (;;);", Timeout),
        ("new ArrayBuffer(1 << 29)", OutOfMemory),
        ("const f = () => f() + 1; f()", StackOverflow),
        ("await new Promise(() => {})", Deadlock),
    ] {
        let image =
            image(&format!("export const handler = async () => {{ $belay_arm(3); {end} }}"));
        deep(|| {
            let mut instance = start_on(&image, "{}", limits, &with_after(&[3]));
            let failure = run(&mut instance).expect_err("it fails");
            assert_eq!((failure.category, parts(&instance)), (category, vec![(3, After)]), "{end}");
        });
    }
}

/// Part 1 before an await, part 2 after it.
const AROUND_AN_AWAIT: &str = "import { kv } from 'belay';
    export const handler = async () => {
        const first = $belay[1] || $belay_arm(1);
        await kv.get('a');
        const second = $belay[2] || $belay_arm(2);
        return [first, second];
    };";

#[test]
fn an_aborted_request_tells_what_it_reached() {
    let image = image(AROUND_AN_AWAIT);
    deep(|| {
        let mut instance = start(&image, &[Before, After]);
        assert!(matches!(instance.step(), Step::Pending { .. }));
        instance.abort(Failure::new(Category::Timeout, "Belay.Timeout", "too late"));
        assert!(matches!(instance.step(), Step::Failed(_)));
        assert_eq!(parts(&instance), [(1, After)]);
    });
}

#[test]
fn forks_and_snapshots_keep_their_arms() {
    let image = image(AROUND_AN_AWAIT);
    deep(|| {
        let mut fresh = start(&image, &[Before, Before, After]);
        let fork = fresh.fork(Seed::Keep).expect("a fork that has not run");
        assert!(matches!(fresh.step(), Step::Pending { .. }));
        let mut waiting = fresh.fork(Seed::New([1; 32])).expect("a fork that waits");
        let saved = fresh.snapshot().expect("a snapshot");
        let mut restored = image.restore(&saved, &Limits::default()).expect("it is restored");
        for instance in [&mut waiting, &mut restored, &mut fresh] {
            let call = instance.in_flight().next().expect("one call");
            instance.resolve(call, not_found());
        }
        for mut instance in [fork, waiting, restored, fresh] {
            assert_eq!(run(&mut instance), Ok("[0,1]".to_owned()));
            assert_eq!(parts(&instance), [(1, Before), (2, After)]);
        }
    });
}

#[test]
fn time_inside_a_part_adds_up_over_its_awaits() {
    let image = image(
        "import { kv } from 'belay';
         export const handler = async () => {
            let inside = 0;
            for (let i = 0; i < 2; i++) {
                $belay_enter(5);
                try {
                    $belay_arm(5);
                    const before = performance.now();
                    await kv.get('a');
                    inside += performance.now() - before;
                } finally { $belay_leave(5) }
            }
            return inside;
         };",
    );
    deep(|| {
        let mut instance = start(&image, &[]);
        let inside: f64 = run(&mut instance).expect("it ends").parse().expect("a number");
        let reached = instance.reached();
        let [part] = reached.as_slice() else { panic!("{reached:?}") };
        assert!(inside > 0.0 && part.time_ms >= inside, "{part:?}, at least {inside}");
    });
}

#[test]
fn a_fresh_instance_knows_nothing_of_the_last_request() {
    let image = image(
        "export const handler = () => {
            $belay_enter(1);
            const arm = $belay[1] || $belay_arm(1);
            $belay_leave(1);
            return arm;
         };",
    );
    deep(|| {
        for _ in 0..3 {
            assert_eq!(request(&image, &with_after(&[1])), ("1".to_owned(), vec![(1, After)]));
            let fresh = start(&image, &[]);
            assert_eq!((fresh.memory_hash(), fresh.reached()), (image.hash(), vec![]));
            drop(fresh);
            assert_eq!(request(&image, &[]), ("0".to_owned(), vec![(1, Before)]));
        }
    });
}

#[test]
fn arms_make_a_request_write_no_page_more() {
    let image = image("export const handler = (event) => event");
    let written = |arms: &[Arm]| {
        let mut instance = start(&image, arms);
        assert_eq!(run(&mut instance), Ok("{}".to_owned()));
        instance.usage().written_bytes
    };
    deep(|| assert_eq!(written(&[]), written(&[After; 256])));
}

#[test]
fn a_part_that_top_level_code_reached_is_told_and_is_frozen() {
    let mut program = esm("const chosen = ($belay[4] || $belay_arm(4)) ? 'new' : 'old';
         export const handler = () => [chosen, $belay[4]]");
    for (arm, chosen) in [(Before, "old"), (After, "new")] {
        program.arms = vec![Before, After, After, After, arm];
        let Built { image, reached, .. } = built(&program);
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), [4]);
        let frozen = format!(r#"["{chosen}",0]"#);
        deep(|| {
            assert_eq!(request(&image, &with_after(&[4])), (frozen.clone(), vec![]));
            assert_eq!(request(&image, &[]), (frozen, vec![]));
        });
    }
}

/// Where no guard chose anything, the arms of the build leave no trace: not in the cells, nor in the clock.
#[test]
fn an_image_is_sealed_clean() {
    let mut program = esm("$belay_enter(9);
         $belay_arm(8);
         for (let i = 0; i < 1e5; i++);
         $belay_leave(9);
         $belay_enter(8);
         export const handler = () => $belay.some((cell) => cell !== 0)");
    let before = built(&program);
    assert_eq!(before.notes, []);
    assert_eq!(before.reached.len(), 1);
    program.arms = with_after(&[0, 3, 9, 255]);
    let after = built(&program);
    assert_eq!(after.image.hash(), before.image.hash());
    deep(|| {
        assert_eq!(request(&after.image, &[]), ("false".to_owned(), vec![]));
    });
}

#[test]
fn more_arms_than_parts_are_an_error() {
    let image = image("export const handler = () => 1");
    let (arms, limits) = ([After; 257], Limits::default());
    let request =
        Start { entry: 0, event: "{}", context: CONTEXT, limits, seed: [7; 32], arms: &arms };
    let refused = image.start(request).err();
    assert!(matches!(refused, Some(EngineError::TooManyArms { given: 257 })));
    let program = Program { arms: arms.to_vec(), ..esm("export const handler = () => 1") };
    let refused = build(&program).err();
    let expected = EngineError::TooManyArms { given: 257 }.to_string();
    assert!(matches!(refused, Some(BuildError::Engine(error)) if error.to_string() == expected));
}

#[test]
fn garbage_in_the_cells_is_read_as_nothing() {
    for (act, reached) in [
        ("$belay.fill(7); $belay[0] = -1", vec![]),
        (
            "for (const part of [-1, 256, 0.5, 1e300, NaN, 1n, '1', {}, undefined]) { if ($belay_arm(part) !== 0) throw part }
             if ($belay_arm() !== 0 || $belay_arm(0) !== 1 || $belay[0] !== 1) throw 'arm'; $belay_arm(255)",
            vec![(0, After), (255, Before)],
        ),
        ("$belay_leave(1); $belay_arm(1)", vec![(1, Before)]),
        ("$belay_enter(1); $belay_arm(1)", vec![(1, Before)]),
        (
            "for (const part of [-1, 256, 0.5, 1e300, NaN, 1n, '1', {}, undefined]) { $belay_enter(part); $belay_leave(part) }
             $belay_enter(); $belay_leave(); $belay_arm(1)",
            vec![(1, Before)],
        ),
        ("$belay.buffer.transfer(); $belay[1] || $belay_arm(1)", vec![(1, Before)]),
        ("try { $belay.buffer.transfer(1 << 20) } catch {}", vec![]),
        ("try { $belay.buffer.resize(1 << 20) } catch {}", vec![]),
        ("structuredClone($belay.buffer, { transfer: [$belay.buffer] }).slice(8)", vec![]),
    ] {
        let image = image(&format!("export const handler = () => {{ {act}; return 'fine' }}"));
        deep(|| {
            let mut instance = start(&image, &with_after(&[0]));
            assert_eq!(run(&mut instance), Ok(r#""fine""#.to_owned()), "{act}");
            assert_eq!(parts(&instance), reached, "{act}");
            assert!(instance.reached().iter().all(|part| part.time_ms == 0.0), "{act}");
            drop(instance);
            assert_eq!(start(&image, &[]).memory_hash(), image.hash(), "{act}");
        });
    }
}

#[test]
fn code_that_is_not_woven_finds_no_cells() {
    let plain = of(module(
        "main.js",
        "const name = ['belay', 'weave'].join(':');
         export const handler = async () => [
            await import(name).catch((e) => e.name),
            Object.getOwnPropertyNames(globalThis).filter((name) => /belay|weave|woven|cells/.test(name)),
         ]",
        &[("belay", "belay")],
    ));
    let image = built(&plain).image;
    deep(|| assert_eq!(request(&image, &[]).0, r#"["TypeError",[]]"#));

    let mut plain = common_js("");
    plain.modules[0].code = "(function (exports, require, module, __filename, __dirname) {
        const given = arguments.length;
        exports.handler = () => { try { require('belay:weave') } catch (e) { return [given, e.name] } } })"
        .to_owned();
    let image = built(&plain).image;
    deep(|| assert_eq!(request(&image, &[]).0, r#"[5,"TypeError"]"#));
}

/// Not all are timed; those that are count for the others as well.
#[test]
fn time_inside_a_part_that_is_passed_often_is_no_less_than_that_of_some_passes() {
    let image = image(
        "import { kv } from 'belay';
         const pass = async () => {
            $belay_enter(5);
            try { $belay_arm(5); const before = performance.now(); await kv.get('a'); return performance.now() - before }
            finally { $belay_leave(5) }
         };
         export const handler = async () => {
            let inside = 0;
            for (let i = 0; i < 100; i++) { const took = await pass(); if (i < 8) inside += took }
            return inside;
         };",
    );
    deep(|| {
        let mut instance = start(&image, &[]);
        let inside: f64 = run(&mut instance).expect("it ends").parse().expect("a number");
        let time_ms = instance.reached()[0].time_ms;
        assert!(inside > 0.0 && time_ms > inside, "{time_ms}, more than {inside}");
    });
}

/// Else a property that chooses would do more than the assignment that it stands for, or be seen in another way.
#[test]
fn only_plain_properties_have_two_values() {
    let made = |object: &str| {
        let code = format!(
            "const object = {object}; $belay_settable(object, 'x', true); export const handler = () => 1"
        );
        build(&esm(&code)).is_ok()
    };
    let plain = [
        "{}",
        "{ x: 1 }",
        "function () {}",
        "class {}",
        "Object.create({ x: 1 })",
        "Object.create(null)",
    ];
    for object in plain {
        assert!(made(object), "{object}");
    }
    let other = [
        "{ get x() { return 1 } }",
        "{ set x(value) {} }",
        "Object.freeze({})",
        "Object.freeze({ x: 1 })",
        "Object.create({ set x(value) {} })",
        "Object.create(Object.freeze({ x: 1 }))",
        "Object.defineProperty({}, 'x', { value: 1, writable: true, enumerable: true })",
        "Object.defineProperty({}, 'x', { value: 1, writable: true, configurable: true })",
        "new Proxy({}, {})",
        "Object.create(new Proxy({}, {}))",
    ];
    for object in other {
        assert!(!made(object), "{object}");
    }
}
