//! Hostile and broken handlers: each fails in its category, and the next request is not affected.

use belay_model::Limits;
use serde_json::Value;

use crate::{
    data_support::Reply,
    support::{App, Server},
};

/// Name, body of the handler, category.
const HANDLERS: [(&str, &str, &str); 16] = [
    ("throws", "throw new TypeError('no such price');", "exception"),
    ("rejects", "await null; throw new RangeError('later');", "exception"),
    ("throws_text", "throw 'just text';", "exception"),
    ("throws_null", "throw null;", "exception"),
    ("bigint", "return { n: 1n };", "exception"),
    ("cyclic", "const a = {}; a.a = a; return a;", "exception"),
    ("getter", "return { get a() { throw new Error('in a getter'); } };", "exception"),
    ("never", "await new Promise(() => {});", "deadlock"),
    ("loops", "for (;;) {}", "timeout"),
    ("awaits_for_ever", "for (;;) await null;", "timeout"),
    ("regex", "/(a+)+$/.test('a'.repeat(40) + 'b');", "timeout"),
    ("waits", "await new Promise((done) => setTimeout(done, 600_000));", "timeout"),
    ("recurses", "const f = () => f() + 1; return f();", "stack_overflow"),
    (
        "hoards",
        "const all = []; for (;;) all.push(new Array(1e5).fill(all.length));",
        "out_of_memory",
    ),
    ("giant", "return 'x'.repeat(2e6);", "exception"),
    ("fetches", "await fetch('http://127.0.0.1:1/');", "dependency"),
];

fn app() -> App {
    let limits = Limits {
        // On a busy machine it takes long until the CPU limit is used up.
        timeout_ms: 300_000,
        cpu_ms: 200,
        memory_bytes: 32 << 20,
        result_bytes: 1 << 20,
        log_bytes: 10_000,
        ..Limits::default()
    };
    let code: String = HANDLERS
        .iter()
        .map(|(name, body, _)| format!("export async function {name}() {{\n  {body}\n}}\n"))
        .collect();
    let fine = "let calls = 0;\nexport const fine = () => ++calls;\n\
                export const floods = () => { for (;;) console.log('x'.repeat(100)); };\n";
    let app = App::new("shop").module("src/main.js", &(code + fine), &[]);
    let names = HANDLERS.iter().map(|(name, ..)| *name).chain(["fine", "floods"]);
    let app = names.fold(app, |app, name| app.limited(name, "src/main.js", limits));
    // What another limit ends must not meet this one first, however slow the machine is.
    let enough = Limits { cpu_ms: 60_000, ..limits };
    let others = ["recurses", "hoards", "giant"];
    let app = others.iter().fold(app, |app, name| app.limited(name, "src/main.js", enough));
    app.limited("waits", "src/main.js", Limits { timeout_ms: 500, ..limits })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_category_and_harms_nobody_else() {
    let server = Server::start().await;
    server.deploy(&app()).await;
    let mut lines = Vec::new();
    for (name, _, category) in HANDLERS {
        let reply = Reply::of(server.lambda(name, "{}")).await;
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(reply.header("x-amz-function-error"), "Unhandled", "{name}");
        let counted = server.failures("shop", name);
        assert_eq!(
            counted.into_iter().collect::<Vec<_>>(),
            [(category, 1)],
            "{name}: {}",
            reply.text()
        );
        lines.push(format!("{name}: {}", told(&reply.json())));

        let reply = Reply::of(server.lambda("fine", "{}")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "1"), "after {name}");
    }
    insta::assert_snapshot!(lines.join("\n"));
    server.stop().await;
}

/// The error as the caller sees it, without what depends on the engine's version.
fn told(error: &Value) -> String {
    let stack = error["stackTrace"].as_array().unwrap();
    let own = stack.iter().map(|frame| frame.as_str().unwrap());
    let own: Vec<_> = own.filter(|frame| frame.contains("src/main.js")).take(1).collect();
    format!("{} | {} | {own:?}", error["errorType"], error["errorMessage"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_logs_is_cut_at_its_limit() {
    let server = Server::start().await;
    server.deploy(&app()).await;
    let reply = Reply::of(server.lambda("floods", "{}")).await;
    assert_eq!(reply.header("x-amz-function-error"), "Unhandled");
    let logged: usize = server.messages("floods").await.iter().map(String::len).sum();
    assert!((5_000..20_000).contains(&logged), "{logged}");
    assert_eq!(Reply::of(server.lambda("fine", "{}")).await.text(), "1");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_names_the_users_own_file_and_line() {
    let server = Server::start().await;
    let code = "interface Order { id: number }\n\
                \n\
                function price(order: Order): number {\n\
                \x20 throw new RangeError(`no price for ${order.id}`);\n\
                }\n\
                \n\
                export async function f(event: { order: Order }): Promise<number> {\n\
                \x20 return price(event.order);\n\
                }\n";
    server
        .deploy(&App::new("shop").module("src/price.ts", code, &[]).function("f", "src/price.ts"))
        .await;
    let reply = Reply::of(server.lambda("f", r#"{"order":{"id":7}}"#)).await;
    let error = reply.json();
    assert_eq!(error["errorMessage"], "no price for 7");
    let stack: Vec<_> =
        error["stackTrace"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    assert!(stack[0].starts_with("at price (src/price.ts:4:"), "{stack:?}");
    assert!(stack[1].starts_with("at f (src/price.ts:8:"), "{stack:?}");
    server.stop().await;
}
