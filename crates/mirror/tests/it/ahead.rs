//! Mirrors of databases: they see what they write, foresee what is forbidden, and change nothing.
//!
//! The code asks a service whether to do its work. It is told no, and its mirror, which is told what the service answered
//! last, is told yes: whatever is done is done by the mirror alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router, extract,
    http::{Method, StatusCode},
    routing::any,
};
use belay_mirror::Mirrored;
use serde_json::{Value, json};

use crate::world::{World, spec};

const BOTH: [&str; 2] = ["main", "ledger"];

const TABLES: [&str; 4] = [
    "CREATE TABLE account (name VARCHAR(20) PRIMARY KEY, sum INTEGER NOT NULL CHECK (sum >= 0), note TEXT DEFAULT 'none')",
    "CREATE TABLE entry (number INTEGER PRIMARY KEY, account VARCHAR(20) NOT NULL REFERENCES account (name), amount NUMERIC(10, 2), UNIQUE (account, number))",
    "INSERT INTO account (name, sum) VALUES ('a', 100), ('b', 50), ('it''s \\ \"c\"', 0)",
    "INSERT INTO entry VALUES (1, 'a', 1.50), (2, 'a', 2.25)",
];

/// A service that said yes once, which is what mirrors are told, and is out of order ever since.
pub(crate) struct Gate {
    pub(crate) url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: AtomicUsize,
    /// That is, by GET.
    got: AtomicUsize,
    /// It answers late, so that mirrors come to their end before their originals go on.
    delay_ms: AtomicU64,
}

impl Gate {
    pub(crate) async fn start(world: &World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let answer = async |method: Method, extract::State(state): extract::State<Arc<State>>| {
            let first = state.asked.fetch_add(1, Relaxed) == 0;
            state.got.fetch_add(usize::from(method == Method::GET), Relaxed);
            // What cannot be undone is done at any time.
            if first || method == Method::POST {
                return StatusCode::OK;
            }
            tokio::time::sleep(Duration::from_millis(state.delay_ms.load(Relaxed))).await;
            StatusCode::SERVICE_UNAVAILABLE
        };
        let router = Router::new().fallback(any(answer)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let gate = Self { url, state };
        assert_eq!(world.ok(&asking(&gate, "main", "")).await, json!("yes"));
        gate
    }

    pub(crate) fn answers_after(&self, delay_ms: u64) {
        self.state.delay_ms.store(delay_ms, Relaxed);
    }

    /// How often it was asked so far for what changes nothing.
    pub(crate) fn got(&self) -> usize {
        self.state.got.load(Relaxed)
    }

    /// How often it was asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Relaxed)
    }
}

/// A transaction that does `body` where the service says yes, with `db` and `expect`.
pub(crate) fn asking(gate: &Gate, database: &str, body: &str) -> String {
    // With a rule of its own, each has a mirror.
    let rule = json!({ "name": "many", "class": "deviation", "measure": "writes", "above": 1e5 });
    let more = json!({ "ways": ["transfer"], "predict": true, "retries": 0, "rules": [rule] });
    let (spec, url) = (spec(&more), &gate.url);
    format!(
        "const url = '{url}', db = sql.database('{database}');
         const expect = (found, wanted) => {{ const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)]; if (one !== other) throw new Error(one + ' is not ' + other); }};
         return transaction({spec}, [async () => {{
            const {{ status }} = await http.get(url);
            if (status !== 200) return 'no';
            {body}
            return 'yes';
         }}], []);"
    )
}

/// Not so where no connection was free, or open.
pub(crate) fn came_to_its_end(mirror: &Mirrored) -> bool {
    let stopped = mirror.unmodelled.as_ref().is_some_and(|what| !what.contains("connection"));
    mirror.ended.is_some() || stopped
}

/// What its mirror has done; tried again with more time until it has come to an end.
pub(crate) async fn mirrored(world: &World, gate: &Gate, database: &str, body: &str) -> Mirrored {
    let (code, mut last) = (asking(gate, database, body), None);
    // The function itself may take ten seconds.
    for delay_ms in [10, 100, 1_000, 3_000, 5_000] {
        gate.answers_after(delay_ms);
        let finished = world.run(&code).await;
        assert_eq!(finished.result.as_deref(), Ok("\"no\""), "the original does nothing");
        let story = world.book.stories(|_| true, 1).remove(0);
        let mirror = story.mirror.clone().unwrap();
        if came_to_its_end(&mirror) {
            return mirror;
        }
        last = Some(mirror);
    }
    panic!("the mirror does not come to its end: {body}\n{last:#?}");
}

pub(crate) async fn bank() -> World {
    filled(World::with_server().await).await
}

async fn filled(world: World) -> World {
    for database in BOTH {
        for text in TABLES {
            let text =
                if database == "main" { text.replace("\\\\", "\\") } else { text.to_owned() };
            world.sql(database, &text).await;
        }
    }
    world
}

/// What is in a database.
async fn content(world: &World, database: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for table in ["account", "entry"] {
        all.push(world.sql(database, &format!("SELECT * FROM {table} ORDER BY 1")).await);
    }
    all
}

#[tokio::test]
async fn what_it_writes_is_seen_by_itself_alone() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    for database in BOTH {
        let before = content(&world, database).await;
        for body in [
            "await db.execute(\"UPDATE account SET sum = sum - $1 WHERE name = $2\", [30, 'a']);
             await db.execute(\"UPDATE account SET sum = sum + $1 WHERE name = $2\", [30, 'b']);
             expect(await db.query('SELECT name, sum FROM account WHERE sum > 0 ORDER BY name'), [{ name: 'a', sum: 70 }, { name: 'b', sum: 80 }]);
             expect(await db.one('SELECT sum(sum) AS all FROM account'.replace('all', 'total')), { total: 150 });",
            "expect(await db.execute(\"UPDATE account SET sum = 1, note = name || $1 WHERE sum < $2\", ['!', 60]), { changed: 2 });
             expect(await db.execute(\"UPDATE account SET sum = sum + 1 WHERE sum = 1\"), { changed: 2 });
             expect((await db.query('SELECT sum, note FROM account ORDER BY name')).map(Object.values), [[100, 'none'], [2, 'b!'], [2, `it's \\\\ \"c\"!`]]);",
            "await db.execute(\"INSERT INTO account (name, sum) VALUES ($1, $2), ('e', 5)\", ['d', 4]);
             expect(await db.query(\"SELECT * FROM account WHERE name IN ('d', 'e') ORDER BY name\"), [{ name: 'd', sum: 4, note: 'none' }, { name: 'e', sum: 5, note: 'none' }]);
             await db.execute(\"UPDATE account SET name = 'f' WHERE name = 'd'\");
             await db.execute(\"DELETE FROM account WHERE name = 'e'\");
             expect((await db.query('SELECT name FROM account ORDER BY sum DESC')).map((row) => row.name), ['a', 'b', 'f', `it's \\\\ \"c\"`]);",
            "expect(await db.query(\"DELETE FROM entry WHERE number = 1 RETURNING account, number + 1 AS next\"), [{ account: 'a', next: 2 }]);
             expect(await db.query(\"UPDATE account AS it SET sum = it.sum * 2 WHERE it.name = 'b' RETURNING sum AS doubled\"), [{ doubled: 100 }]);
             expect(await db.query(\"INSERT INTO entry (number, account) VALUES (9, 'b') RETURNING number, amount\"), [{ number: 9, amount: null }]);
             expect(await db.query('SELECT e.number, a.sum FROM entry e JOIN account a ON a.name = e.account ORDER BY e.number'), [{ number: 2, sum: 100 }, { number: 9, sum: 100 }]);",
            "await db.execute(\"INSERT INTO entry SELECT number + $1, account, amount FROM entry\", [10]);
             expect(await db.query('WITH own AS (SELECT account, count(*) AS n FROM entry GROUP BY account) SELECT n FROM own'), [{ n: 4 }]);
             expect(await db.execute('DELETE FROM entry'), { changed: 4 });
             expect(await db.query('SELECT * FROM entry'), []);
             await db.execute(\"DELETE FROM account WHERE name = 'a'\");
             expect((await db.query('SELECT name FROM account ORDER BY name')).length, 2);",
            "expect(await db.query('SELECT count(*) AS n FROM account WHERE sum > (SELECT avg(sum) FROM account)'), [{ n: 1 }]);
             await db.execute(\"UPDATE account SET sum = 0 WHERE name = 'a' AND EXISTS (SELECT 1 FROM entry WHERE account = 'a')\");
             expect(await db.query('SELECT count(*) AS n FROM account WHERE sum > (SELECT avg(sum) FROM account)'), [{ n: 1 }]);
             expect(await db.one('SELECT max(sum) AS most FROM account'), { most: 50 });",
        ] {
            let mirror = mirrored(&world, &gate, database, body).await;
            assert_eq!(mirror.ended.as_deref(), Some("done"), "{database}: {body}\n{mirror:#?}");
        }
        assert_eq!(content(&world, database).await, before, "{database}");
    }
}

const ALL: &str = "SELECT name, sum, note FROM account ORDER BY name";
const ADD: &str = "INSERT INTO account VALUES ('a', 5, 'new'), ('z', 7, 'new') ON CONFLICT (name) DO UPDATE SET sum = account.sum + excluded.sum, note = excluded.note RETURNING name, sum";
/// Statements of one transaction each, with the parameters 'b' and 20.
const UPSERTS: [&[&str]; 23] = [
    &[ADD, ALL, ADD, ALL],
    &[ADD, "DELETE FROM account WHERE sum < 60", ADD, ALL],
    &[
        "INSERT INTO account (name, sum) VALUES ('a', 1), ('y', 2) ON CONFLICT DO NOTHING RETURNING name",
        ALL,
    ],
    &[
        "INSERT INTO account (name, sum) VALUES ('b', 9) ON CONFLICT (name) DO UPDATE SET sum = excluded.sum WHERE account.sum > 60",
        ALL,
    ],
    &[
        "INSERT INTO account (name, sum) VALUES ('b', 9) ON CONFLICT (name) DO UPDATE SET sum = excluded.sum WHERE account.sum > 40",
        ALL,
    ],
    &[
        "INSERT INTO account (name, sum) VALUES ('b', 0) ON CONFLICT (name) DO UPDATE SET sum = 1 / excluded.sum WHERE account.sum > 60",
        ALL,
    ],
    &[
        "INSERT INTO account (name, sum) VALUES ('b', 0) ON CONFLICT (name) DO UPDATE SET sum = 1 / excluded.sum WHERE account.sum > 40",
    ],
    &[
        "INSERT INTO account (sum, name) VALUES ($2, $1) ON CONFLICT (name) DO UPDATE SET note = account.note || $1, sum = account.sum - $2",
        ALL,
    ],
    &[
        "INSERT INTO account SELECT 'a', 1, 'and ' || note FROM account WHERE name = 'b' ON CONFLICT (name) DO UPDATE SET note = excluded.note",
        ALL,
    ],
    &[
        "INSERT INTO account (name, sum) SELECT name, 1 FROM account WHERE sum < 0 ON CONFLICT (name) DO UPDATE SET sum = excluded.sum",
        ALL,
    ],
    &["INSERT INTO account (name, sum) VALUES ('a', -1) ON CONFLICT (name) DO UPDATE SET sum = 5"],
    &["INSERT INTO account (name, sum) VALUES ('a', NULL) ON CONFLICT (name) DO NOTHING"],
    &[
        "INSERT INTO account (name, sum) VALUES ('a', 200) ON CONFLICT (name) DO UPDATE SET sum = account.sum - excluded.sum",
    ],
    &[
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET name = 'b'",
    ],
    &["INSERT INTO entry VALUES (8, 'nobody', 1) ON CONFLICT DO NOTHING"],
    &["INSERT INTO member (id, mail) VALUES (103, 'x') ON CONFLICT (id) DO NOTHING"],
    &[
        "INSERT INTO member (id, mail) VALUES (103, 'x'), (101, 'n'), (104, 'w') ON CONFLICT DO NOTHING RETURNING id",
        "INSERT INTO member (id, mail) VALUES (101, 'y') ON CONFLICT DO NOTHING RETURNING id",
    ],
    &[
        "INSERT INTO member (mail, n) VALUES ('x', 5) ON CONFLICT (mail) DO UPDATE SET n = member.n * 10 + excluded.n, mail = excluded.mail || '!' RETURNING mail",
        "SELECT id, mail, n FROM member ORDER BY id",
    ],
    &[
        "INSERT INTO member (mail, n) VALUES ('x', 5) ON CONFLICT (mail) DO UPDATE SET n = CASE WHEN excluded.n = '5' THEN 10 ELSE 20 END RETURNING id, n",
    ],
    &[
        "INSERT INTO member (mail) VALUES ('x'), ('v') ON CONFLICT (mail) DO UPDATE SET n = member.n + 1 RETURNING mail, member.n",
    ],
    &["INSERT INTO member (mail) VALUES (NULL), (NULL) ON CONFLICT (mail) DO NOTHING"],
    &[
        "INSERT INTO member (mail) VALUES ('n') RETURNING mail",
        "INSERT INTO member (mail) VALUES ('n')",
    ],
    &["INSERT INTO member (mail) VALUES ('x')"],
];
/// The same of one database.
const UPSERTS_OF_ONE: [(&str, &[&str]); 5] = [
    (
        "ledger",
        &[
            "INSERT INTO account AS it (name, sum) VALUES ('b', 9) ON CONFLICT (name) DO UPDATE SET sum = it.sum + excluded.sum RETURNING it.sum, name",
            ALL,
        ],
    ),
    (
        "ledger",
        &[
            "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT ON CONSTRAINT account_pkey DO UPDATE SET sum = excluded.sum",
            ALL,
        ],
    ),
    (
        "main",
        &[
            "INSERT INTO account (name, sum) VALUES ('b', 9) ON CONFLICT (name) DO UPDATE SET sum = sum + excluded.sum, note = note || '!' WHERE sum > 40",
            ALL,
        ],
    ),
    (
        "main",
        &[
            "INSERT INTO account (name, sum) VALUES ('a', 9) ON CONFLICT DO UPDATE SET sum = excluded.sum",
            ALL,
        ],
    ),
    ("main", &["UPDATE account AS it SET sum = it.sum + 1 RETURNING account.sum"]),
];

/// A table whose numbers the engines make up.
async fn with_members(world: &World) {
    for (database, kind) in BOTH.into_iter().zip(["INTEGER", "SERIAL"]) {
        let text =
            format!("CREATE TABLE member (id {kind} PRIMARY KEY, mail TEXT UNIQUE, n INTEGER)");
        world.sql(database, &text).await;
        world.sql(database, "INSERT INTO member VALUES (101, 'x', 1), (102, 'y', 2)").await;
    }
}

/// Rows that are there already are left as they are or updated, as the engine does, which is asked first.
#[tokio::test]
async fn what_meets_its_own_key_becomes_what_the_engine_makes_of_it() {
    let world = bank().await;
    with_members(&world).await;
    let gate = Gate::start(&world).await;
    let of_both = UPSERTS.iter().flat_map(|texts| BOTH.map(|database| (database, *texts)));
    for (database, texts) in of_both.chain(UPSERTS_OF_ONE) {
        let steps = texts.iter().map(|text| format!("await step({});", Value::from(*text)));
        let steps = steps.collect::<Vec<_>>().join("\n");
        let body = format!(
            "const told = [], step = async (text) => {{
                const rows = text.startsWith('SELECT') || text.includes('RETURNING'), params = text.includes('$') ? ['b', 20] : [];
                try {{ told.push(rows ? await db.query(text, params) : await db.execute(text, params)); }} catch (error) {{ told.push(error.code); }}
             }};
             {steps}"
        );
        let none = spec(&json!({ "ways": ["transfer"], "retries": 0 }));
        let code = format!(
            "const db = sql.database('{database}');
             return transaction({none}, [async () => {{ {body} throw new Error(JSON.stringify(told)); }}], []);"
        );
        let before = content(&world, database).await;
        let failure = world.run(&code).await.result.unwrap_err().to_string();
        let (from, to) = (failure.find("[").unwrap(), failure.rfind("]").unwrap());
        let told = &failure[from..=to];
        let told: Value = serde_json::from_str(told).unwrap_or_else(|_| panic!("{failure}"));
        let body = format!("{body} expect(told, {told});");
        let mirror = mirrored(&world, &gate, database, &body).await;
        assert_eq!(mirror.ended.as_deref(), Some("done"), "{database}: {body}\n{mirror:#?}");
        assert_eq!(content(&world, database).await, before);
    }
}

/// What the database would refuse is refused, by the name of the same constraint.
#[tokio::test]
async fn what_a_constraint_forbids_is_foreseen() {
    let world = bank().await;
    with_members(&world).await;
    let gate = Gate::start(&world).await;
    for (text, names) in [
        ("UPDATE account SET sum = sum - 200 WHERE name = 'a'", ["sum >= 0", "account_sum_check"]),
        ("UPDATE account SET sum = NULL WHERE name = 'a'", ["account.sum", "\"sum\""]),
        ("INSERT INTO account VALUES ('a', 1, '')", ["account.name", "account_pkey"]),
        ("UPDATE account SET name = 'b' WHERE name = 'a'", ["account.name", "account_pkey"]),
        ("INSERT INTO entry VALUES (3, 'nobody', 1)", ["FOREIGN KEY", "entry_account_fkey"]),
        ("DELETE FROM account WHERE name = 'a'", ["FOREIGN KEY", "entry_account_fkey"]),
        ("INSERT INTO entry VALUES (7, 'b', 1), (7, 'b', 2)", ["entry.number", "entry_pkey"]),
        ("INSERT INTO member (mail) VALUES ('x')", ["member.mail", "member_mail_key"]),
    ] {
        for (database, name) in BOTH.into_iter().zip(names) {
            let before = content(&world, database).await;
            let mirror =
                mirrored(&world, &gate, database, &format!("await db.execute(\"{text}\");")).await;
            let ended = mirror.ended.unwrap_or_default();
            assert!(ended.contains(name), "{database}: {text}: {ended} {:?}", mirror.unmodelled);
            // The engine itself says the same.
            let code = format!("await sql.database('{database}').execute(\"{text}\")");
            let refused = world.run(&code).await.result.unwrap_err().to_string();
            assert!(refused.contains(name), "{database}: {text}: {refused}");
            assert_eq!(content(&world, database).await, before);
        }
    }
    let long = "await db.execute('INSERT INTO account VALUES ($1, 0, $1)', ['x'.repeat(21)]);";
    let ended = mirrored(&world, &gate, "ledger", long).await.ended.unwrap_or_default();
    assert!(ended.contains("too long"), "{ended}");
    let zero = "await db.execute(\"UPDATE account SET sum = 1 / (sum - 100) WHERE name = 'a'\");";
    let ended = mirrored(&world, &gate, "ledger", zero).await.ended.unwrap_or_default();
    assert!(ended.contains("22012"), "{ended}");
}

/// One whose mirrors have a role of their own on the server.
pub(crate) async fn bank_with_reader() -> World {
    let world = filled(World::with_reader().await).await;
    let grant = format!("GRANT SELECT ON account, entry TO {}", world.reader());
    world.sql("ledger", &grant).await;
    world
}

/// Mirrors ask as the role of `readonly_url`, and need nothing beyond SELECT for what their originals write.
#[tokio::test]
async fn a_role_that_may_only_select_is_enough() {
    let world = bank_with_reader().await;
    world.sql("ledger", "CREATE TABLE secret (id INTEGER PRIMARY KEY)").await;
    let before = content(&world, "ledger").await;
    let gate = Gate::start(&world).await;
    let body = "await db.execute(\"UPDATE account SET sum = sum - $1 WHERE name = $2\", [30, 'a']);
        await db.execute(\"INSERT INTO entry VALUES (3, 'b', 1)\");
        await db.execute('DELETE FROM entry WHERE number = 1');
        expect(await db.one(\"SELECT sum FROM account WHERE name = 'a'\"), { sum: 70 });
        expect(await db.query('SELECT number FROM entry ORDER BY number'), [{ number: 2 }, { number: 3 }]);";
    let mirror = mirrored(&world, &gate, "ledger", body).await;
    assert_eq!(mirror.ended.as_deref(), Some("done"), "{mirror:#?}");
    for (text, name) in [
        ("UPDATE account SET sum = sum - 200 WHERE name = 'a'", "account_sum_check"),
        ("INSERT INTO entry VALUES (3, 'nobody', 1)", "entry_account_fkey"),
    ] {
        let body = format!("await db.execute(\"{text}\");");
        let mirror = mirrored(&world, &gate, "ledger", &body).await;
        let ended = mirror.ended.as_deref().unwrap_or_default();
        assert!(ended.contains(name), "{text}: {mirror:#?}");
    }
    // What its original may read, another role may not: that is no finding.
    let body = "await db.query('SELECT id FROM secret');";
    let mirror = mirrored(&world, &gate, "ledger", body).await;
    let what = mirror.unmodelled.as_deref().unwrap_or_default();
    assert!(what.contains("permission denied"), "it is that role: {mirror:#?}");
    assert_eq!(content(&world, "ledger").await, before);
}

#[tokio::test]
async fn one_within_another_is_undone_alone() {
    let world = bank().await;
    let gate = Gate::start(&world).await;
    let inner = spec(&json!({ "id": "inner", "ways": ["inner"] }));
    for database in BOTH {
        let body = format!(
            "await db.execute(\"UPDATE account SET sum = 1 WHERE name = 'a'\");
             try {{ await transaction({inner}, [async () => {{ await kv.put('n', 1); await db.execute(\"UPDATE account SET sum = 2 WHERE name = 'a'\"); throw new Error('no'); }}], []); }} catch {{}}
             expect(await kv.get('n'), undefined);
             expect(await db.one(\"SELECT sum FROM account WHERE name = 'a'\"), {{ sum: 1 }});"
        );
        let mirror = mirrored(&world, &gate, database, &body).await;
        assert_eq!(mirror.ended.as_deref(), Some("done"), "{database}: {mirror:#?}");
    }
}

const WRITE: &str = "await db.execute(\"UPDATE account SET sum = 1 WHERE name = 'a'\");";
/// In a database, after a write: a statement, and what is said of it.
const UNMODELLED: [(&str, &str, &str, &str); 38] = [
    ("ledger", "", "SELECT random()", "random"),
    ("ledger", "", "SELECT table_to_xml('rich', true, false, '')", "table_to_xml"),
    ("ledger", "", "INSERT INTO seen (what) VALUES (txid_current()::text)", "txid_current"),
    ("ledger", "", "SELECT * FROM rich", "rich"),
    ("ledger", WRITE, "SELECT total()", "total"),
    ("ledger", WRITE, "SELECT sum FROM public.account", "schema"),
    (
        "ledger",
        "await db.execute('UPDATE tenant.account SET sum = 1');",
        "SELECT * FROM account",
        "schema",
    ),
    (
        "ledger",
        "",
        "UPDATE account SET sum = 9 RETURNING (SELECT sum(sum) FROM account)",
        "RETURNING",
    ),
    ("ledger", "", "UPDATE entry SET number = number + 1", "change hands"),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('n', 1), ('n', 2) ON CONFLICT DO NOTHING",
        "one key",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET sum = sum + 1",
        "sum without its table",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT (sum) DO NOTHING",
        "no key",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT (name, name) DO NOTHING",
        "twice",
    ),
    (
        "ledger",
        "",
        "INSERT INTO seen (what) VALUES ('x') ON CONFLICT ON CONSTRAINT seen_what DO NOTHING",
        "no key",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT DO UPDATE SET sum = 1",
        "whatever key",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account AS excluded (name, sum) VALUES ('a', 1) ON CONFLICT (name) DO NOTHING",
        "called excluded",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1), ('z', 1) ON CONFLICT (name) DO UPDATE SET name = 'q'",
        "the key they meet",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1), ('z', -1) ON CONFLICT (name) DO UPDATE SET sum = 5",
        "refused first",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET note = row_to_json(excluded.*)::text",
        "as a whole",
    ),
    (
        "ledger",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET note = row_to_json(account.*)::text",
        "as a whole",
    ),
    ("ledger", "", "UPDATE account SET note = row_to_json(account)::text", "as a whole"),
    ("ledger", "", "UPDATE account SET sum = 1 WHERE account.row_to_json::text = ''", "as a whole"),
    ("ledger", "", "INSERT INTO own (n) VALUES (1)", "made up"),
    ("ledger", "", "INSERT INTO own (n) VALUES (1) ON CONFLICT (who) DO NOTHING", "made up"),
    ("ledger", "", "INSERT INTO seen (what) VALUES ('x') RETURNING what, seen.id", "seen.id"),
    ("ledger", "", "INSERT INTO seen (what) VALUES ('x') RETURNING row_to_json(seen)", "seen.id"),
    (
        "main",
        "",
        "INSERT INTO account (name, sum) VALUES ('a', 1) ON CONFLICT ON CONSTRAINT account DO NOTHING",
        "ON CONSTRAINT",
    ),
    ("main", "", "INSERT INTO account DEFAULT VALUES ON CONFLICT DO NOTHING", "DEFAULT VALUES"),
    (
        "main",
        "",
        "INSERT INTO account SELECT name, 1, note FROM account ON CONFLICT (name) DO NOTHING",
        "without WHERE",
    ),
    ("main", "", "UPDATE account AS it SET sum = 1 RETURNING it.sum", "it.sum"),
    ("main", "", "UPDATE account SET sum = 1 RETURNING account.*", "table.*"),
    ("main", "", "INSERT OR IGNORE INTO account VALUES ('a', 1, '')", "INSERT OR"),
    (
        "ledger",
        "await db.execute(\"INSERT INTO seen (what) VALUES ('x')\");",
        "SELECT id FROM seen",
        "seen.id",
    ),
    ("ledger", "", "INSERT INTO halves VALUES (0)", "halves"),
    ("main", WRITE, "SELECT * FROM rich", "rich"),
    ("main", WRITE, "INSERT INTO entry SELECT 7, name, 1 FROM rich", "rich"),
    ("main", "", "SELECT random()", "random"),
    ("main", "", "UPDATE account SET sum = 'much'", "text"),
];

/// What is not modelled ends the prediction, and says what it was; nothing is guessed.
#[tokio::test]
async fn what_is_not_modelled_is_said() {
    let world = bank().await;
    for text in [
        "CREATE SCHEMA tenant",
        "CREATE TABLE tenant.account (name TEXT PRIMARY KEY, sum INTEGER)",
        "CREATE FUNCTION total() RETURNS BIGINT LANGUAGE sql STABLE AS 'SELECT sum(sum) FROM account'",
        "CREATE TABLE seen (id SERIAL PRIMARY KEY, what TEXT)",
        "CREATE UNIQUE INDEX seen_what ON seen (what)",
        "CREATE TABLE own (who TEXT UNIQUE DEFAULT current_user, n INTEGER)",
        "CREATE VIEW rich AS SELECT name FROM account WHERE sum > 60",
        "CREATE TABLE halves (x INTEGER)",
        "CREATE INDEX ON halves ((1 / x))",
    ] {
        world.sql("ledger", text).await;
    }
    world.sql("main", "CREATE VIEW rich AS SELECT name FROM account WHERE sum > 60").await;
    let gate = Gate::start(&world).await;
    for (database, before, text, says) in UNMODELLED {
        let body = format!("{before} await db.query({});", Value::from(text));
        let mirror = mirrored(&world, &gate, database, &body).await;
        let what = mirror.unmodelled.unwrap_or_default();
        assert!(what.contains(says), "{database}: {text}: {what:?}, {:?}", mirror.ended);
    }
}

/// What a column holds stays as it is, whatever SQLite would make of it elsewhere.
#[tokio::test]
async fn rows_are_carried_along_as_they_are() {
    let world = bank().await;
    world
        .sql(
            "main",
            "CREATE TABLE event (n INTEGER, at DATETIME, flag BOOLEAN, more JSON, any, real REAL)",
        )
        .await;
    world
        .sql(
            "main",
            "INSERT INTO event VALUES (0, '2024-01-01 10:00:00', TRUE, '{\"a\":[1]}', X'3132', 2)",
        )
        .await;
    let gate = Gate::start(&world).await;
    let body = "const before = await db.query('SELECT at, flag, more, any, real FROM event');
        await db.execute('UPDATE event SET n = 1');
        expect(await db.query('SELECT at, flag, more, any, real FROM event'), before);
        expect(await db.query(\"SELECT n FROM event WHERE at >= '2024-01-01' AND n = 1\"), [{ n: 1 }]);
        expect(await db.query('UPDATE event SET n = n + 1.0 RETURNING n, at'), [{ n: 2, at: '2024-01-01 10:00:00' }]);";
    let mirror = mirrored(&world, &gate, "main", body).await;
    assert_eq!(mirror.ended.as_deref(), Some("done"), "{mirror:#?}");
}

/// Time goes on only where there is nothing else to go on with.
#[tokio::test]
async fn what_is_waited_for_comes_before_its_time_limit() {
    let world = World::new();
    let gate = Gate::start(&world).await;
    let body = "const late = new Promise((_, fail) => setTimeout(() => fail(new Error('late')), 3000));
        expect((await Promise.race([http.get(url), late])).status, 200);
        const order = [];
        await Promise.all([30, 10, 20].map((ms) => new Promise((done) => setTimeout(() => done(order.push(ms)), ms))));
        expect(order, [10, 20, 30]);";
    let mirror = mirrored(&world, &gate, "main", body).await;
    assert_eq!(mirror.ended.as_deref(), Some("done"), "{mirror:#?}");
}
