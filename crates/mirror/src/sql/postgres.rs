//! What PostgreSQL's catalogs tell: shapes of tables, what is not harmless although it only reads, and who holds locks.
//!
//! Nothing of this takes another lock than any SELECT does.

use serde_json::Value;

use super::{Unmodelled, flavour::quoted, shape::Shape};

/// Whatever a statement of these words could call or read that is not harmless: functions (and aggregates of functions)
/// that are neither IMMUTABLE nor STABLE, those that read what texts name, or belong to an extension and are not IMMUTABLE,
/// views, partitions (which may be anywhere), tables with policies, and types with conditions of their own. Words are taken for
/// names wherever they stand, so nothing that a statement calls is missed.
pub(super) const HARM: &str = "
    SELECT string_agg(DISTINCT found.name, ', ') AS harm FROM (
        SELECT p.proname::text AS name FROM pg_catalog.pg_proc p
        WHERE p.proname = ANY ($1::name[]) AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
          AND (p.provolatile = 'v' OR p.proname::text LIKE '%\\_to\\_xml%'
            OR (p.provolatile = 's' AND EXISTS (
              SELECT FROM pg_catalog.pg_depend d
              WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'))
            OR EXISTS (
              SELECT FROM pg_catalog.pg_aggregate a
              JOIN pg_catalog.pg_proc s ON s.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn)
              WHERE a.aggfnoid = p.oid AND s.provolatile = 'v'))
        UNION ALL
        SELECT c.relname::text FROM pg_catalog.pg_class c
        WHERE c.relname = ANY ($1::name[]) AND (c.relkind IN ('v', 'm', 'f', 'p') OR c.relrowsecurity OR c.relhassubclass
            OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
              JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
              JOIN pg_catalog.pg_constraint k ON k.contypid = t.oid
              WHERE a.attrelid = c.oid AND t.typtype = 'd' AND NOT a.attisdropped))
          AND c.relnamespace NOT IN (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = 'information_schema')
        UNION ALL
        SELECT t.typname::text FROM pg_catalog.pg_type t WHERE t.typname = ANY ($1::name[]) AND t.typtype = 'd'
    ) found";

/// Functions of these words whose code may read tables: it would read them as they are.
pub(super) const READERS: &str = "
    SELECT string_agg(DISTINCT p.proname::text, ', ') AS readers
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.proname = ANY ($1::name[]) AND p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal')";

/// Words of what is another for a mirror than for its original, or would make it somebody.
pub(super) const OWN: [&str; 7] = [
    "txid_current",
    "pg_current_xact_id",
    "pg_backend_pid",
    "current_user",
    "session_user",
    "current_role",
    "current_catalog",
];

/// Whether anything that is called without a name, an operator or a cast, is not harmless.
pub(super) const HIDDEN_HARM: &str = "
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
        WHERE o.oid >= 16384 AND p.provolatile = 'v'
    ) OR EXISTS (
        SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
        WHERE c.oid >= 16384 AND p.provolatile = 'v'
    ) AS harm";

/// A table by its name in quotes: whether it is one that is modelled, and its shape.
pub(super) const SHAPE: &str = r"
    SELECT c.relkind = 'r' AND NOT c.relispartition AND NOT c.relrowsecurity AND NOT c.relhasrules
        AND c.relpersistence <> 't' AND c.oid >= 16384
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint x WHERE x.conrelid = c.oid
            AND (x.contype IN ('x', 't') OR x.condeferred OR (x.contype = 'f' AND x.confmatchtype <> 's')))
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
            AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL OR NOT i.indimmediate
                OR COALESCE((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)))
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND (a.attgenerated <> '' OR t.typtype NOT IN ('b', 'e'))) AS modelled,
    pg_catalog.json_build_object(
        'table', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
        'name', c.relname,
        'number', c.oid::text,
        'columns', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'name', a.attname,
                'kind', CASE WHEN a.atttypid IN (1042, 1043) THEN pg_catalog.format_type(a.atttypid, -1)
                    ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END,
                'length', CASE WHEN a.atttypid IN (1042, 1043) AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
                'not_null', a.attnotnull,
                'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
                'made_up', a.attidentity <> '') ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a
            LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        'checks', COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'name', x.conname, 'text', pg_catalog.pg_get_expr(x.conbin, x.conrelid)) ORDER BY x.conname)
            FROM pg_catalog.pg_constraint x WHERE x.conrelid = c.oid AND x.contype = 'c'), '[]'),
        'uniques', COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'name', k.relname,
                'columns', (SELECT pg_catalog.json_agg(a.attname ORDER BY part.place)
                    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY part(number, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = part.number
                    WHERE part.place <= i.indnkeyatts),
                'constraint', EXISTS (SELECT FROM pg_catalog.pg_constraint x
                    WHERE x.conindid = i.indexrelid AND x.conrelid = c.oid AND x.contype IN ('p', 'u'))) ORDER BY i.indisprimary DESC, k.relname)
            FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indislive), '[]'),
        'parents', COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'name', x.conname,
                'columns', (SELECT pg_catalog.json_agg(a.attname ORDER BY part.place)
                    FROM pg_catalog.unnest(x.conkey) WITH ORDINALITY part(number, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = part.number),
                'table', pg_catalog.quote_ident(m.nspname) || '.' || pg_catalog.quote_ident(o.relname),
                'theirs', (SELECT pg_catalog.json_agg(a.attname ORDER BY part.place)
                    FROM pg_catalog.unnest(x.confkey) WITH ORDINALITY part(number, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum = part.number)))
            FROM pg_catalog.pg_constraint x JOIN pg_catalog.pg_class o ON o.oid = x.confrelid
            JOIN pg_catalog.pg_namespace m ON m.oid = o.relnamespace
            WHERE x.conrelid = c.oid AND x.contype = 'f'), '[]'),
        'children', COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'name', x.conname,
                'columns', (SELECT pg_catalog.json_agg(a.attname ORDER BY part.place)
                    FROM pg_catalog.unnest(x.confkey) WITH ORDINALITY part(number, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = part.number),
                'table', pg_catalog.quote_ident(m.nspname) || '.' || pg_catalog.quote_ident(o.relname),
                'theirs', (SELECT pg_catalog.json_agg(a.attname ORDER BY part.place)
                    FROM pg_catalog.unnest(x.conkey) WITH ORDINALITY part(number, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum = part.number),
                'keeps', x.confdeltype IN ('a', 'r') AND x.confupdtype IN ('a', 'r') AND NOT x.condeferred))
            FROM pg_catalog.pg_constraint x JOIN pg_catalog.pg_class o ON o.oid = x.conrelid
            JOIN pg_catalog.pg_namespace m ON m.oid = o.relnamespace
            WHERE x.confrelid = c.oid AND x.contype = 'f'), '[]')
    ) AS shape
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = pg_catalog.to_regclass($1)";

/// Tables that somebody has locked against all who write them.
pub(super) const LOCKED: &str = "
    SELECT DISTINCT l.relation::text AS number FROM pg_catalog.pg_locks l
    WHERE l.granted AND l.locktype = 'relation' AND l.relation >= 16384 AND l.mode IN
        ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())";

/// A query of rows that are about to be updated (their name, locker, columns, and new values of the columns `set`), with the number of
/// the first condition of the table that does not hold for what each would become: whoever runs ahead has no time to ask for
/// these apart.
pub(super) fn with_checks(shape: &Shape, set: &[usize], query: &str) -> String {
    let columns = shape.columns.iter().enumerate().map(|(at, column)| {
        let own = set.iter().position(|it| *it == at);
        let place = own.map_or(2 + at, |own| 2 + shape.columns.len() + own);
        format!("CAST(belay_found.c{place} AS {}) AS {}", column.kind, quoted(&column.name))
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let checks = shape.checks.iter().enumerate();
    let checks = checks.map(|(at, check)| format!("WHEN ({}) IS FALSE THEN {at}", check.text));
    let checks = checks.collect::<Vec<_>>().join(" ");
    let name = quoted(&shape.name);
    let broken = match checks.is_empty() {
        true => "NULL::int".to_owned(),
        false => format!("(SELECT CASE {checks} END FROM (SELECT {columns}) AS {name})"),
    };
    format!("SELECT belay_found.*, {broken} AS belay_broken FROM ({query}) AS belay_found")
}

/// Transactions that go on, of these that have locked or replaced rows, and those that hold a lock on the table `$2` that
/// keeps others from writing it: the number of each, how long it has been going on (nothing where the role may not know that of
/// others), for how many it is in the way, and by what it is told apart from all others. Savepoints have numbers, too, that come
/// after that of their transaction. `$3`: rows of the table may also be locked by those who only refer to them,
/// which are in the way of nobody but who ends such a row; who writes the table has locked it as one that does.
pub(super) const LOCKS: &str = "
    WITH locks AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks)
    SELECT COALESCE((SELECT t.transactionid::text FROM locks t WHERE t.pid = l.pid AND t.granted
            AND t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock'
            ORDER BY pg_catalog.age(t.transactionid) DESC LIMIT 1), '') AS number,
        EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 * 1000 AS age_ms,
        (SELECT count(*) FROM locks w WHERE NOT w.granted
            AND l.pid = ANY (pg_catalog.pg_blocking_pids(w.pid)))::float8 AS waiting,
        l.virtualtransaction AS holder
    FROM locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid() AND (
        (l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.transactionid::text = ANY ($1::text[])
            AND (NOT $3::boolean OR EXISTS (SELECT FROM locks w WHERE w.pid = l.pid AND w.granted AND w.locktype = 'relation'
                AND w.relation = $2::text::oid AND w.mode NOT IN ('AccessShareLock', 'RowShareLock', 'SIReadLock'))))
        OR (l.locktype = 'relation' AND l.relation = $2::text::oid AND l.mode IN
            ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())))
    LIMIT 20";

/// Reads the answer to [`SHAPE`].
pub(super) fn shape(rows: &[Value], name: &str) -> Result<Shape, Unmodelled> {
    let Some(row) = rows.first() else {
        return Err(Unmodelled(format!("a table {name} that is not there")));
    };
    if row[0] != true {
        return Err(Unmodelled(format!("what {name} is, or what is attached to it")));
    }
    let shape = serde_json::from_value(row[1]["$json"].clone());
    shape.map_err(|error| Unmodelled(format!("the shape of {name}: {error}")))
}
