//! Each limit ends the run in its category, and the next request is not affected.

use belay_engine::Step;
use belay_model::{Category, Failure, Limits};

use crate::support::{deep, image, run_limited, start};

fn failure(code: &str, limits: Limits) -> Failure {
    let image = image(code);
    let failure = run_limited(&image, r#""limit""#, limits).expect_err("it is stopped");
    let after = run_limited(&image, r#""small""#, limits);
    assert_eq!(after, Ok(r#""fine""#.to_owned()), "the next request");
    failure
}

fn guarded(body: &str) -> String {
    format!("export async function handler(what) {{ if (what === 'small') return 'fine'; {body} }}")
}

#[test]
fn endless_loops_are_timeouts() {
    let limits = Limits { cpu_ms: 30, ..Limits::default() };
    for body in ["for (;;);", "for (;;) await 0;", "return /(a+)+$/.test('a'.repeat(60) + 'b')"] {
        assert_eq!(failure(&guarded(body), limits).category, Category::Timeout, "{body}");
    }
    let limits = Limits { timeout_ms: 30, ..Limits::default() };
    assert_eq!(failure(&guarded("for (;;);"), limits).category, Category::Timeout);
}

#[test]
fn endless_recursion_is_a_stack_overflow() {
    let limits = Limits::default();
    let bodies = [
        "const f = (n) => f(n + 1) + 1; return f(0)",
        "let o = []; for (let i = 0; i < 200000; i++) o = [o]; return JSON.stringify(o)",
        "return JSON.parse('['.repeat(400000))",
        "const o = { toString() { return `${o}` } }; return `${o}`",
    ];
    for body in bodies {
        let failure = failure(&guarded(body), limits);
        assert_eq!(failure.category, Category::StackOverflow, "{body}: {failure:?}");
    }
}

#[test]
fn the_largest_stack_that_may_be_asked_for_is_safe() {
    let limits = Limits { stack_bytes: 512 << 10, ..Limits::default() };
    let failure = failure(&guarded("const f = (n) => f(n + 1) + 1; return f(0)"), limits);
    assert_eq!(failure.category, Category::StackOverflow);
}

#[test]
fn a_memory_bomb_is_out_of_memory() {
    let limits = Limits { memory_bytes: 32 << 20, ..Limits::default() };
    let bodies = [
        "const a = []; for (;;) a.push(new Array(1000).fill(a.length))",
        "return 'x'.repeat(1 << 28)",
        "return new ArrayBuffer(1 << 29).byteLength",
        "return /(?:a|a)*/.test('a'.repeat(1e7))",
    ];
    for body in bodies {
        let failure = failure(&guarded(body), limits);
        assert_eq!(failure.category, Category::OutOfMemory, "{body}: {failure:?}");
    }
}

#[test]
fn refused_memory_can_be_caught() {
    let code = "export function handler() { try { new ArrayBuffer(1 << 29) } catch (e) { return 'caught' } }";
    let limits = Limits { memory_bytes: 32 << 20, ..Limits::default() };
    assert_eq!(run_limited(&image(code), "{}", limits), Ok(r#""caught""#.to_owned()));
}

#[test]
fn a_giant_result_and_a_log_flood_are_refused() {
    let limits = Limits { result_bytes: 1000, log_bytes: 1000, ..Limits::default() };
    let result = failure(&guarded("return 'x'.repeat(2000)"), limits);
    assert_eq!(
        (result.category, result.error_type.as_str()),
        (Category::Exception, "Belay.ResultTooLarge")
    );
    let flood = failure(&guarded("for (;;) console.log('x')"), limits);
    assert_eq!(
        (flood.category, flood.error_type.as_str()),
        (Category::Exception, "Belay.LogLimit")
    );
    let line = failure(&guarded("console.log('x'.repeat(5000))"), limits);
    assert_eq!(line.error_type, "Belay.LogLimit");
}

#[test]
fn an_aborted_invocation_fails_as_told() {
    let image = image("export const handler = () => new Promise((ok) => setTimeout(ok, 1000))");
    deep(|| {
        let mut instance = start(&image, "{}", Limits::default());
        assert!(matches!(instance.step(), Step::Pending { .. }));
        let failure = Failure::new(Category::Timeout, "Belay.Timeout", "too late");
        instance.abort(failure.clone());
        assert_eq!(instance.step(), Step::Failed(failure));
    });
}

#[test]
fn use_is_measured() {
    let image = image(
        "export const handler = (n) => { let s = 0; for (let i = 0; i < n; i++) s += i; return s }",
    );
    let used = |n: &str| {
        deep(|| {
            let mut instance = start(&image, n, Limits::default());
            assert!(matches!(instance.step(), Step::Done(_)));
            instance.usage()
        })
    };
    let (little, much) = (used("1"), used("1000000"));
    assert!(much.cpu > little.cpu, "{much:?} against {little:?}");
    assert!(little.written_bytes > 0 && little.peak_bytes >= image.sizes().0 as u64);
}
