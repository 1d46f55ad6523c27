//! `belay.toml`: what is read, and the frame around every mistake.

use std::collections::BTreeMap;

use belay_cli::{config, frame};
use belay_model::{AppManifest, Diagnostic, FunctionSpec};
use proptest::prelude::*;

/// The content, or all mistakes as they are drawn, without colours.
fn check(source: &str) -> String {
    match config::parse("belay.toml", source) {
        Ok(content) => format!("{content:#?}"),
        Err(mistakes) => {
            let drawn: Vec<_> = mistakes.iter().map(frame::render).collect();
            anstream::adapter::strip_str(&drawn.join("\n\n")).to_string()
        }
    }
}

const ALL: &str = r#"
app = "shop"
environment = "quickjs-ng@0.16"
[functions]
a = "src/a.ts#default"
b = { module = "src/b#1.ts", export = "go", timeout = "250ms", cpu = "2m", concurrency = 1 }
[functions.c]
handler = "src/c.ts#on-order"
memory = "64MB"
stack = "100000B"
event = "3B"
result = "64MB"
log = "0B"
calls_in_flight = 7
rollback = "never"
transaction = "pay"
predict = true
alternative = ["later", "async (order) => ({ order, \"later\": true })"]
success = "result.ok === \"yes\""
isolation = "serializable"
retry = ["Conflict", "ETIMEDOUT"]
retries = 3
depends = ["stripe"]
notape = true
[tags]
rollback = "medium"
notape = true
[env]
"A B" = "it's \"quoted\"\nand long"
EMPTY = ""
[egress]
allow = []
allow_internal = ["10.0.0.7:8080"]
[databases.main]
[databases.ledger]
engine = "postgres"
url = "secret:LEDGER_URL"
readonly_url = "secret:LEDGER_READ"
pool = 3
[transactions.pay]
functions = ["pay", "src/c.ts#on-order"]
predict = false
alternatives = []
memory = "64MB"
timeout = "250ms"
retries = 0
retry = ["Busy"]
isolation = "read-committed"
success = "result.status === 'done'"
[[transactions.pay.rules]]
name = "many \"writes\""
class = "deviation"
measure = "writes"
above = 100
[[transactions.pay.rules]]
name = "busy"
class = "contention"
measure = "load"
above = 0.75
[transactions.empty]
[canary]
ramp = [0.5, 10, 50]
step_min = "10s"
step_max = "1m"
inconclusive = "hold"
window = "1h"
hold_out = 2.5
key = "cookie:session"
harm_max = 20
dry_run = true

[judge]
take_back = 0.0001
slow = 0.01
failures_tolerated = 1.5
costs_tolerated = 2
increase_min = 0.5
harmless_below = 3
deadline = "250ms"

[tapes]
rate = 0.5
bytes = "1MB"
redact = ["iban"]
budget = "500ms"
outputs = "judge"
cpu_tolerated = 5
memory_tolerated = 2.5

[alerts]
webhook = "https://hooks.example.com/belay"
secret = "HOOK"
"#;

/// What is exported says the same again, whatever it is.
#[test]
fn what_is_written_is_read_as_what_it_was() {
    for source in ["app = \"a\"\n[functions]\nf = \"a.js\"\n", ALL] {
        let read = |source: &str| {
            config::parse("belay.toml", source).unwrap_or_else(|_| panic!("{}", check(source)))
        };
        let content = read(source);
        let function = |function: &config::Function| FunctionSpec {
            module: function.module.clone(),
            export: function.export.clone(),
            limits: function.limits,
            tags: function.tags.clone(),
        };
        let functions = content.functions.iter();
        let manifest = AppManifest {
            app: content.app.clone(),
            functions: functions.map(|(name, it)| (name.clone(), function(it))).collect(),
            environment: content.environment.clone(),
            env: content.env.clone(),
            egress: content.egress.clone(),
            databases: content.databases.clone(),
            transactions: content
                .transactions
                .iter()
                .map(|(id, it)| (id.clone(), it.settings.clone()))
                .collect(),
            tags: content.tags,
            policy: content.policy.clone(),
            modules: Vec::new(),
        };
        let written = config::write(&manifest);
        let mut again = read(&written);
        for (function, known) in again.functions.values_mut().zip(content.functions.values()) {
            function.place.clone_from(&known.place);
        }
        for (said, known) in again.transactions.values_mut().zip(content.transactions.values()) {
            said.place.clone_from(&known.place);
        }
        assert_eq!(again, content, "{written}");
        insta::assert_snapshot!(written);
    }
}

#[test]
fn everything_that_can_be_said() {
    insta::assert_snapshot!(check(
        r#"
app = "shop"
environment = "quickjs-ng@0.16"

[functions]
catalog = "src/catalog.ts"
"check-out" = { module = "./src/checkout.ts", export = "default", timeout = "250ms", concurrency = 1 }

[functions.notify]
handler = "src/notify.ts#onOrder"
memory = "64MB"
rollback = "coarse"
transaction = "notify"
predict = true
alternative = ["later", "async (event) => null"]
retries = 3
success = "result.ok"
isolation = "repeatable-read"
retry = ["Timeout"]
depends = ["prices", "./stock"]
notape = true

[tags]
rollback = "medium"
notape = false

[limits]
timeout = "2.5s"
cpu = "1s"
memory = "32MB"
stack = "128KB"
event = "1MB"
result = "2MB"
log = "16KB"
calls_in_flight = 8
concurrency = 0x10

[env]
GREETING = "hello"

[egress]
allow = ["api.example.com", "*.example.org:8443"]
allow_internal = ["10.0.0.7:5432"]

[canary]
ramp = [0.5, 10, 50]
step_min = "10s"
step_max = "1m"
inconclusive = "hold"
window = "1h"
hold_out = 2.5
key = "cookie:session"
harm_max = 20
dry_run = true

[judge]
take_back = 0.0001
slow = 0.01
failures_tolerated = 1.5
costs_tolerated = 2
increase_min = 0.5
harmless_below = 3
deadline = "250ms"

[tapes]
rate = 0.5
bytes = "1MB"
redact = ["iban"]
budget = "500ms"
outputs = "judge"
cpu_tolerated = 5
memory_tolerated = 2.5

[alerts]
webhook = "https://hooks.example.com/belay"
secret = "HOOK"
"#
    ));
}

#[test]
fn all_mistakes_at_once() {
    insta::assert_snapshot!(check(
        r#"
ap = "shop"
environment = 3

[functions]
9x = "src/a.ts"
up = "../x.ts#hello"
hello = { handler = "x.ts#hello", timout = "3s", memory = "1MB" }
b = { timeout = 3 }
both = { handler = "a.ts", module = "b.ts" }
unnamed = "a.ts#"
number = 7

[limits]
timeout = "1h"
concurrency = -1
memry = "64MB"

[env]
PORT = 8080

[egress]
allow = "everything"
colour = "red"
"#
    ));
}

#[test]
fn wrong_tags() {
    insta::assert_snapshot!(check(
        r#"
app = "shop"

[functions.f]
handler = "a.ts"
rollback = "corse"
transaction = "1st"
predict = "yes"
alternative = "later"
retries = 101
success = true
isolation = "high"
retry = ["a b"]
depends = [1]
notpae = true

[tags]
rollback = 1
transaction = "t"
"#
    ));
}

#[test]
fn wrong_policies() {
    insta::assert_snapshot!(check(
        r#"
app = "shop"
functions = { f = "a.ts" }

[canary]
ramp = "fast"
step_mn = "10s"
step_min = 10
inconclusive = "wait"
key = "ip"
hold_out = -1
harm_max = 1.5

[judge]
take_back = "never"
deadline = "soon"
"#
    ));
    insta::assert_snapshot!(
        "wrong-ramp",
        check("app = \"a\"\nfunctions = { f = \"a.ts\" }\n[canary]\nramp = [5, 1]\n")
    );
}

#[test]
fn policies_that_are_out_of_range_are_shown_where_they_are() {
    let policies = "app = \"a\"\nfunctions = { pay = \"a.ts\" }\n\n[judge]\nslow = 0.1\n\n\
        [alerts]\nwebhook = \"ftp://x\"\n\n[canary]\nstep_min = \"10m\"\n\n\
        [for.pay]\nharm_max = 3\ndeadline = \"0s\"\n\n[for.\"src/a b.ts#x\"]\nwindow = \"1h\"\nramp = [1]\n";
    insta::assert_snapshot!(check(policies));
}

#[test]
fn functions_that_a_policy_names_have_to_be_there() {
    let policies = "app = \"a\"\nfunctions = { price = \"a.ts\", pay = \"a.ts#pay\" }\n\n\
        [for.priec]\nwindow = \"1h\"\n\n[for.pay]\nfallback = \"nosuch\"\n\n[for.\"a.ts#total\"]\nramp = [1]\n";
    insta::assert_snapshot!(check(policies));
}

#[test]
fn nothing_to_deploy() {
    insta::assert_snapshot!("empty", check(""));
    insta::assert_snapshot!("no-function", check("app = \"a\"\n[functions]\n"));
}

#[test]
fn not_toml() {
    insta::assert_snapshot!("syntax", check("app = \"shop\"\n[functions\nhello = x\n"));
    insta::assert_snapshot!("twice", check("app = \"shop\"\napp = \"store\"\n"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        check(&text);
    }

    /// Texts that are nearly right reach further than random ones.
    #[test]
    fn any_value_is_read_or_refused(
        key in "(app|environment|functions|limits|tags|env|egress|transactions|transactions\\.t|canary|judge|x)(\\.(handler|timeout|memory|rollback|retries|rules|allow|ramp|key|slow|é))?",
        value in "(\"[a-z0-9.#/é]*(ms|s|MB)?\"|-?[0-9]{1,25}|true|\\[[0-9\", ]*\\]|\\{\\}|1979-05-27)",
    ) {
        check(&format!("app = \"a\"\n{key} = {value}\n"));
    }
}

#[test]
fn databases_are_declared_and_where_they_are_is_a_secret() {
    let app = "app = \"a\"\nfunctions.f = \"a.js\"\n";
    let parsed = config::parse(
        "belay.toml",
        &format!(
            "{app}[databases.main]\n[databases.b]\nengine = \"postgres\"\nurl = \"secret:B\"\n"
        ),
    );
    let databases = parsed.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).databases;
    let written = serde_json::to_value(&databases).unwrap();
    let expected = serde_json::json!({
        "b": { "engine": "postgres", "url": "B" },
        "main": { "engine": "sqlite" },
    });
    assert_eq!(written, expected);
}

#[test]
fn mistakes_in_databases_are_told_in_their_order() {
    let source = r#"
app = "a"
functions.f = "a.js"
[databases]
one = "sqlite"
"1st" = {}
[databases.two]
engine = "postgre"
[databases.three]
engine = "postgres"
[databases.four]
url = "secret:A"
pool = 3
[databases.five]
engine = "postgres"
url = "postgres://me:word@host/five"
readonly_url = "secret:with space"
pool = 65
uri = "secret:A"
"#;
    let mistakes = config::parse("belay.toml", source).expect_err("it has mistakes");
    let codes: Vec<&str> = mistakes.iter().map(|mistake| mistake.code.as_str()).collect();
    let expected = [
        "wrong-type",
        "bad-name",
        "unknown-engine",
        "missing-key",
        "conflict",
        "conflict",
        "bad-secret",
        "bad-secret",
        "out-of-range",
        "unknown-key",
    ];
    assert_eq!(codes, expected, "{}", check(source));
}

#[test]
fn transactions_are_set_by_their_ids() {
    let parsed = config::parse(
        "belay.toml",
        "app = \"a\"\nfunctions.f = \"a.js\"\n[transactions.transfer]\nalternatives = [\"later\", \"() => 1\"]\n\
         timeout = \"2s\"\nrules = [{ name = \"far\", class = \"external\", measure = \"calls\", above = 2 }]\n",
    );
    let transactions = parsed.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).transactions;
    let (id, transaction) = transactions.first_key_value().unwrap();
    let written = serde_json::to_value(&transaction.settings).unwrap();
    let expected = serde_json::json!({
        "alternatives": [{ "function": "later" }, { "inline": "() => 1" }],
        "resources": { "timeout_ms": 2000 },
        "rules": [{ "name": "far", "class": "external", "measure": "calls", "above": 2 }],
    });
    assert_eq!((id.as_str(), written), ("transfer", expected));
    // What only the server can say is shown where it stands here.
    let places = BTreeMap::from([(id.clone(), transaction.place.clone().unwrap())]);
    let told = |message: &str| vec![Diagnostic::error("unknown-transaction", message)];
    let lost = told("[transactions.transfer] speaks of a transaction that the code does not have");
    let lost = config::placed(lost, &places);
    assert_eq!((lost[0].labels[0].path.as_str(), lost[0].labels[0].line), ("belay.toml", 3));
    for other in ["[transactions.other] is not here", "function f: no"] {
        assert_eq!(config::placed(told(other), &places), told(other));
    }
}

#[test]
fn wrong_transactions() {
    let many = "\n[[transactions.many.rules]]\nname = \"r\"\nclass = \"external\"\nmeasure = \"calls\"\nabove = 1\n";
    let source = r#"
app = "shop"
functions = { f = "a.ts" }

[transactions]
none = true

[transactions.1st]

[transactions.transfer]
function = ["transfer"]
functions = "transfer"
predict = "yes"
alternatives = "later"
memory = "64"
timeout = "1h"
retries = 101
retry = ["a b"]
isolation = "high"
success = true
rules = 3

[[transactions.pay.rules]]
name = ""
class = "deviatoin"
measure = "luck"
above = -1
below = 3

[[transactions.pay.rules]]
name = "no number"
class = "external"
measure = "calls"
above = "many"

[[transactions.pay.rules]]
name = "no end"
class = "external"
above = inf
"#;
    insta::assert_snapshot!(check(source));
    let source = format!("app = \"a\"\nfunctions.f = \"a.js\"\n{}", many.repeat(33));
    insta::assert_snapshot!("many-rules", check(&source));
}
