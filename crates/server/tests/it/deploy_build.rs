//! Deploys that are refused, or warned about: what the user reads, and that nothing has changed.

use belay_model::{Diagnostic, Limits};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server};

/// As a compiler would print it.
fn shown(diagnostics: &Value) -> String {
    let diagnostics: Vec<Diagnostic> = serde_json::from_value(diagnostics.clone()).unwrap();
    let mut text = String::new();
    for diagnostic in diagnostics {
        text += &format!("{:?} {}: {}\n", diagnostic.severity, diagnostic.code, diagnostic.message);
        for label in &diagnostic.labels {
            let marked = &label.snippet[label.span.0 as usize..label.span.1 as usize];
            text += &format!(
                "  {}:{}:{} {marked:?} {}\n",
                label.path, label.line, label.column, label.text
            );
        }
        text += &diagnostic.help.map(|help| format!("  help: {help}\n")).unwrap_or_default();
    }
    text
}

/// A module whose top-level code is `top`, on line 3.
fn top(top: &str) -> App {
    let code =
        format!("// A comment.\ntype T = number;\n{top}\nexport function f(): T {{ return 1; }}\n");
    App::new("shop").module("src/main.ts", &code, &[]).function("f", "src/main.ts")
}

async fn refusal(app: &App) -> String {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return 'before';")).await;
    let (status, answer) = server.try_deploy(app).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#}");
    assert_eq!(answer["error"]["code"], "deploy-refused");
    assert_eq!(server.call("shop.f", &json!(null)).await, "before", "nothing has changed");
    assert_eq!(server.get("apps/shop").await.1["latest"], 1);
    shown(&answer["error"]["diagnostics"])
}

macro_rules! refused {
    ($name:ident, $app:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            insta::assert_snapshot!(refusal(&$app).await);
        }
    };
}

refused!(a_syntax_error, top("const x = ;"));
refused!(a_top_level_throw, top("const x: T = null!.y;"));
refused!(a_throw_in_a_function_that_top_level_code_calls, {
    let lib = "interface A { b: string }\n\nexport function check(a: A) {\n  throw new RangeError('no ' + a.b);\n}\n";
    let main =
        "import { check } from './lib';\n\ncheck({ b: 'good' });\nexport const f = () => 1;\n";
    App::new("shop")
        .module("lib.ts", lib, &[])
        .module("main.ts", main, &[("./lib", "lib.ts")])
        .function("f", "main.ts")
});
refused!(a_top_level_effect, top("const answer = await fetch('https://example.com');"));
refused!(a_missing_export, top("").function("g", "src/main.ts"));
refused!(an_export_that_is_no_function, top("export const g = 42;").function("g", "src/main.ts"));
refused!(a_top_level_await_that_never_settles, top("await new Promise(() => {});"));
refused!(endless_top_level_recursion, top("function deep(): T { return 1 + deep(); }\ndeep();"));
refused!(a_top_level_throw_of_what_is_no_error, top("throw 5;"));
refused!(a_throw_without_a_stack_below_the_entry, {
    App::new("shop")
        .module("lib.ts", "export const a = 1;\nthrow { no: 'stack' };\n", &[])
        .module(
            "main.ts",
            "import { a } from './lib';\nexport const f = () => a;\n",
            &[("./lib", "lib.ts")],
        )
        .function("f", "main.ts")
});
refused!(an_endless_loop_at_the_top_level, top("for (;;);"));
refused!(
    a_memory_bomb_at_the_top_level,
    top("const all = [];\nfor (;;) all.push('x'.repeat(1 << 16) + all.length);")
);
refused!(
    a_memory_limit_below_what_the_app_holds,
    top("const all = Array.from({ length: 600_000 }, (_, n) => n);").limited(
        "f",
        "src/main.ts",
        Limits { memory_bytes: 4 << 20, ..Limits::default() }
    )
);
refused!(
    a_limit_out_of_range,
    top("").limited("f", "src/main.ts", Limits { timeout_ms: 0, ..Limits::default() })
);
refused!(no_functions_at_all, App::new("shop"));
refused!(several_wrongs_of_a_manifest, {
    let mut app = top("");
    app.manifest.environment.0 = "node@99".to_owned();
    app.manifest.egress.allow = vec!["https://example.com/path".to_owned()];
    app
});

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_and_randomness_at_the_top_level_are_warned_about() {
    let server = Server::start().await;
    let app = top(
        "const born = Date.now();\nconst id = Math.random();\nconsole.log('hello from', 'the top');",
    );
    let deployed = server.deploy(&app).await;
    insta::assert_snapshot!(shown(&deployed["diagnostics"]));
    assert_eq!(deployed["logs"], json!([{"level": "info", "message": "hello from the top"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_run_time_is_shown_in_the_users_own_lines() {
    let code = "interface Order { price: number }\n\nfunction total(order: Order): number {\n  throw new TypeError('no price');\n}\n\n\
                export async function f(order: Order) {\n  await null;\n  return total(order);\n}\n";
    let app = App::new("shop").module("src/main.ts", code, &[]).function("f", "src/main.ts");
    let server = Server::start().await;
    server.deploy(&app).await;
    let answer = server.invoke("shop.f", &json!({})).await;
    insta::assert_json_snapshot!(answer["failure"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn env_and_secrets_reach_the_function_and_secrets_no_answer() {
    let server = Server::start().await;
    let app = App::of("shop", "return [process.env.COLOR, await context.secrets.get('key')];");
    server.deploy(&app.env("COLOR", "red")).await;
    assert_eq!(
        server.put("apps/shop/secrets/key", &json!({"value": "hush"})).await.0,
        StatusCode::OK
    );
    assert_eq!(server.call("shop.f", &json!(null)).await, json!(["red", "hush"]));
    assert_eq!(server.get("apps/shop/secrets").await.1, json!({"secrets": ["key"]}));
    assert!(!server.get("apps/shop").await.1.to_string().contains("hush"));
    server.delete("apps/shop/secrets/key").await;
    let answer = server.invoke("shop.f", &json!(null)).await;
    assert_eq!(answer["category"], "dependency", "{answer:#}");
}
