//! What the host learns of anything that a handler throws.

use belay_model::{Category, Failure, Outcome};

use crate::support::{deep, image, run, run_with, start};

/// Runs `throw <expression>`, in which `refused` is an error with which the host rejected an effect.
fn thrown(expression: &str) -> Failure {
    let code = format!(
        "import {{ kv }} from 'belay';
         export async function handler() {{
            const refused = await kv.get('a').catch((e) => e);
            throw {expression};
         }}"
    );
    let image = image(&code);
    deep(|| {
        run_with(&mut start(&image, "{}", belay_model::Limits::default()), |_| {
            Outcome::error("KV_DOWN", "refused")
        })
    })
    .expect_err("it throws")
}

fn check(expression: &str, category: Category, error_type: &str, message: &str) {
    let failure = thrown(expression);
    assert_eq!(
        (failure.category, failure.error_type.as_str(), failure.message.as_str()),
        (category, error_type, message),
        "{expression}"
    );
}

#[test]
fn anything_thrown_has_a_type_and_a_message() {
    use Category::Exception;
    for (expression, error_type, message) in [
        ("new RangeError('far')", "RangeError", "far"),
        ("new (class Odd extends Error { name = 'Odd' })('m')", "Odd", "m"),
        ("new Error()", "Error", ""),
        ("new DOMException('gone', 'AbortError')", "AbortError", "gone"),
        ("'text'", "string", "text"),
        ("undefined", "undefined", "undefined"),
        ("null", "null", "null"),
        ("5n", "bigint", "5n"),
        ("Symbol('s')", "symbol", "Symbol(s)"),
        ("({ a: { b: 1 } })", "object", "{ a: { b: 1 } }"),
        ("({ name: 'Remote', message: 'looks like one' })", "Remote", "looks like one"),
        ("Object.freeze(new TypeError('cold'))", "TypeError", "cold"),
        ("Object.defineProperty(new Error('x'), 'message', { get() { throw 1 } })", "Error", ""),
        ("Object.assign(new Error('x'), { name: 7 })", "Error", "x"),
        ("Object.create(null)", "object", "[Object: null prototype] {}"),
        ("new Error('half \\ud800 pair')", "Error", "half \u{fffd} pair"),
    ] {
        check(expression, Exception, error_type, message);
    }
}

#[test]
fn a_long_message_is_cut() {
    let failure = thrown("new Error('😀'.repeat(1 << 17))");
    assert!(failure.message.len() < 200_000 && failure.message.ends_with('…'));
}

#[test]
fn an_error_is_a_dependency_failure_when_it_is_or_wraps_a_refusal() {
    use Category::{Dependency, Exception};
    check("refused", Dependency, "BelayError", "refused");
    check("new TypeError('w', { cause: refused })", Dependency, "TypeError", "w");
    check(
        "new Error('a', { cause: new Error('b', { cause: refused }) })",
        Dependency,
        "Error",
        "a",
    );
    check("new AggregateError([refused, refused], 'all')", Dependency, "AggregateError", "all");
    check(
        "new AggregateError([refused, new Error()], 'some')",
        Exception,
        "AggregateError",
        "some",
    );
    check(
        "Object.assign(new Error('same code'), { code: 'KV_DOWN' })",
        Exception,
        "Error",
        "same code",
    );
    check(
        "new refused.constructor('KV_DOWN', 'made by hand')",
        Exception,
        "BelayError",
        "made by hand",
    );
    let cycle = "(() => { const e = new Error('cycle'); e.cause = e; return e })()";
    check(cycle, Exception, "Error", "cycle");
}

#[test]
fn causes_follow_the_stack() {
    let failure = thrown("new Error('top', { cause: new TypeError('under', { cause: 'text' }) })");
    let stack = failure.stack.join("\n");
    assert!(failure.stack[0].contains("at handler (main.js:"), "{stack}");
    let under = failure.stack.iter().position(|line| line == "  [cause]: TypeError: under");
    let text = failure.stack.iter().position(|line| line == "    [cause]: text");
    assert!(under.is_some() && under < text, "{stack}");
    assert_eq!(stack.matches("main.js:").count(), 1, "made at the same place: {stack}");
    let deep = thrown(
        "Array.from({ length: 9 }).reduce((cause, _, i) => new Error(`e${i}`, { cause }), null)",
    );
    assert_eq!(deep.stack.iter().filter(|line| line.contains("[cause]")).count(), 5);
}

#[test]
fn endless_recursion_is_a_stack_overflow() {
    let image = image("export const handler = function f() { return f() + 1 }");
    assert_eq!(run(&image, "{}").expect_err("it throws").category, Category::StackOverflow);
}
