//! Results, failures, logs, calls: what a handler does is what the caller gets.

use belay_engine::{LogLevel, Step};
use belay_model::{Category, Limits, Outcome};

use crate::support::{deep, image, run, run_with, start};

#[test]
fn a_handler_answers_with_json() {
    let image = image("export async function handler(event) { return { n: event.n + 1 } }");
    assert_eq!(run(&image, r#"{"n":41}"#), Ok(r#"{"n":42}"#.to_owned()));
}

#[test]
fn a_plain_value_an_undefined_one_and_a_thenable_are_results() {
    let image = image(
        "export function handler(how) {
            return { plain: 7, thenable: { then: (ok) => ok('then') } }[how];
        }",
    );
    assert_eq!(run(&image, r#""plain""#), Ok("7".to_owned()));
    assert_eq!(run(&image, r#""thenable""#), Ok(r#""then""#.to_owned()));
    assert_eq!(run(&image, r#""nothing""#), Ok("null".to_owned()));
}

#[test]
fn calls_come_out_as_values_and_go_in_as_values() {
    let image = image(
        "import { kv } from 'belay';
         export async function handler() {
            const [a, b] = await Promise.all([kv.get('a'), kv.get('b')]);
            return [a, b];
         }",
    );
    let result = deep(|| {
        let mut instance = start(&image, "{}", Limits::default());
        let Step::Pending { calls, cancelled } = instance.step() else { panic!("it waits") };
        assert!(cancelled.is_empty());
        assert_eq!(calls.iter().map(|c| c.op.as_str()).collect::<Vec<_>>(), ["kv.get", "kv.get"]);
        assert_eq!(calls[1].args, r#"{"key":"b"}"#);
        // In the other order: each answer finds its call.
        instance.resolve(calls[1].id, Outcome::json(r#"{"found":true,"revision":2,"json":"B"}"#));
        instance.resolve(calls[0].id, Outcome::json(r#"{"found":true,"revision":1,"json":"A"}"#));
        instance.step()
    });
    assert_eq!(result, Step::Done(r#"["A","B"]"#.to_owned()));
}

#[test]
fn a_rejected_effect_is_an_error_and_a_dependency_failure() {
    let image = image(
        "import { kv } from 'belay';
         export async function handler(event) {
            try { return await kv.get('a') }
            catch (e) {
              if (event.wrap) throw new TypeError('wrapped', { cause: e });
              if (event.hide) throw new TypeError('other');
              return [e.name, e.code, e.message];
            }
         }",
    );
    let with = |event: &str| {
        deep(|| {
            run_with(&mut start(&image, event, Limits::default()), |_| {
                Outcome::error("KV_FULL", "no room")
            })
        })
    };
    assert_eq!(with("{}"), Ok(r#"["BelayError","KV_FULL","no room"]"#.to_owned()));
    let failure = with(r#"{"wrap":true}"#).expect_err("it throws");
    assert_eq!(
        (failure.category, failure.error_type.as_str()),
        (Category::Dependency, "TypeError")
    );
    let failure = with(r#"{"hide":true}"#).expect_err("it throws");
    assert_eq!(failure.category, Category::Exception);
}

#[test]
fn a_throw_names_its_place() {
    let image = image(
        "function inner() { throw new RangeError('too far') }
export async function handler() {
  await null;
  inner();
}",
    );
    let failure = run(&image, "{}").expect_err("it throws");
    assert_eq!(failure.category, Category::Exception);
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("RangeError", "too far"));
    assert!(failure.stack[0].contains("inner (main.js:1:"), "{:?}", failure.stack);
    assert!(failure.stack[1].contains("handler (main.js:4:"), "{:?}", failure.stack);
}

#[test]
fn what_is_thrown_need_not_be_an_error() {
    let image = image(
        "export async function handler(how) {
            if (how === 'string') throw 'just text';
            if (how === 'null') throw null;
            if (how === 'cyclic') { const o = {}; o.o = o; return o }
            if (how === 'bigint') return 1n;
            if (how === 'proxy') throw new Proxy({}, { get() { throw new Error('trap') } });
            if (how === 'floating') { Promise.reject(new Error('nobody listens')); return 1 }
         }",
    );
    let message = |how: &str| run(&image, how).expect_err("it fails").message;
    assert_eq!(message(r#""string""#), "just text");
    assert_eq!(message(r#""null""#), "null");
    assert!(message(r#""cyclic""#).contains("circular"), "{}", message(r#""cyclic""#));
    assert!(message(r#""bigint""#).to_lowercase().contains("bigint"));
    assert!(!message(r#""proxy""#).is_empty());
    assert_eq!(message(r#""floating""#), "nobody listens");
}

#[test]
fn waiting_for_nothing_is_a_deadlock() {
    let image = image("export const handler = () => new Promise(() => {});");
    let failure = run(&image, "{}").expect_err("it never settles");
    assert_eq!(failure.category, Category::Deadlock);
}

#[test]
fn logs_are_collected_with_their_level() {
    let image =
        image("export function handler() { console.log('a', { b: 1 }); console.error('c') }");
    let logs = deep(|| {
        let mut instance = start(&image, "{}", Limits::default());
        assert_eq!(instance.step(), Step::Done("null".to_owned()));
        instance.take_logs()
    });
    let lines: Vec<_> = logs.iter().map(|l| (l.level, l.text.as_str())).collect();
    assert_eq!(lines, [(LogLevel::Info, "a { b: 1 }"), (LogLevel::Error, "c")]);
}

#[test]
fn the_context_tells_of_the_request() {
    let image = image(
        "export function handler(event, context) {
            return [context.awsRequestId, context.functionName, context.getRemainingTimeInMillis() > 0,
                    typeof context.kv.get, context.memoryLimitInMB];
         }",
    );
    assert_eq!(run(&image, "{}"), Ok(r#"["r-1","f",true,"function","128"]"#.to_owned()));
}

#[test]
fn the_same_seed_draws_the_same_numbers() {
    let image = image(
        "export const handler = () => [Math.random(), crypto.randomUUID(), Math.random() !== Math.random()]",
    );
    let first = run(&image, "{}").expect("it runs");
    assert_eq!(run(&image, "{}").expect("it runs"), first);
    assert!(first.ends_with("true]"), "{first}");
}

#[test]
fn a_call_that_is_cancelled_in_the_step_that_made_it_is_not_handed_out() {
    let image = image(
        "import { kv } from 'belay';
        export const handler = async () => {
            const stop = new AbortController();
            const made = fetch('https://example.com', { signal: stop.signal }).catch((error) => error.name);
            await null;
            stop.abort();
            clearTimeout(setTimeout(() => {}, 5));
            await kv.get('a');
            return made;
        }",
    );
    deep(|| {
        let mut instance = start(&image, "{}", Limits::default());
        let Step::Pending { calls, cancelled } = instance.step() else { panic!("it waits") };
        assert_eq!(calls.iter().map(|call| call.op.as_str()).collect::<Vec<_>>(), ["kv.get"]);
        assert_eq!(cancelled, []);
        assert_eq!(instance.in_flight().collect::<Vec<_>>(), [calls[0].id]);
    });
}
