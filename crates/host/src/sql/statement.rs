//! What a statement is, by its text: whether it may be run at all, and whether it changes anything.
//!
//! Refusing goes by the first words; that a call holds one statement only is for the engines to say, which both take
//! one at a time. What PostgreSQL's roles and SQLite's authorizer forbid comes on top. Whether something is changed
//! goes by all words, in one pass: no grammar of either engine has to be known, no text takes long or much memory.
//!
//! Invariant: what is not known to change nothing counts as a write; a word within a text may make one of it. Only a
//! function that somebody has defined in the database is taken for one that reads; a transaction of several resources asks
//! the server before it commits.

use belay_model::EffectError;

use super::error;

/// Words that begin a statement which only reads, unless it has one of [`WRITING`].
const READING: [&str; 5] = ["SELECT", "VALUES", "WITH", "TABLE", "EXPLAIN"];
/// Words that a statement which only reads does not have.
const WRITING: [&str; 8] =
    ["INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "ANALYZE", "ANALYSE", "SHARE"];

const CONTROL: &str =
    "transactions are Belay's: each call is one of its own, or part of the function's";
const SESSION: &str = "connections are shared: what would change one for others is refused";
const FILES: &str = "it reaches beyond the database";
const REFUSED: [(&[&str], &str); 5] = [
    (&["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"], CONTROL),
    (&["SET", "RESET", "DISCARD", "PREPARE", "EXECUTE", "DEALLOCATE"], SESSION),
    (&["DECLARE", "FETCH", "MOVE", "CLOSE"], "cursors do not outlive a call: use LIMIT and OFFSET"),
    (&["LISTEN", "UNLISTEN"], "a connection hears nothing between calls"),
    (&["COPY", "LOAD", "ATTACH", "DETACH", "VACUUM"], FILES),
];

/// Functions of PostgreSQL that change something, by the start of their names.
const CHANGING: [&str; 13] = [
    "nextval",
    "setval",
    "set_config",
    "pg_advisory",
    "pg_try_advisory",
    "pg_notify",
    "lo_",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "dblink",
    "pg_logical_emit",
    "pg_current_xact_id",
    "txid_current",
];

/// Why a statement may not be run, if it may not.
pub(super) fn refusal(text: &str) -> Option<EffectError> {
    let mut words = words(text);
    let Some(first) = words.next() else {
        return Some(error::failed("there is no statement in the text"));
    };
    let first = first.to_ascii_uppercase();
    if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&first.as_str())) {
        return Some(error::refused(format!("{first} is refused: {why}")));
    }
    if first == "CREATE" && is_temporary(&mut words) {
        return Some(error::refused(format!("temporary tables are refused: {SESSION}")));
    }
    None
}

/// Whether what comes after CREATE says so.
fn is_temporary<'t>(words: &mut impl Iterator<Item = &'t str>) -> bool {
    let is = |word: &str, known: [&str; 2]| known.iter().any(|it| word.eq_ignore_ascii_case(it));
    let scope = |word: &&str| !is(word, ["LOCAL", "GLOBAL"]);
    words.find(scope).is_some_and(|word| is(word, ["TEMP", "TEMPORARY"]))
}

/// Whether a statement changes something, as far as its text tells.
pub(crate) fn writes(text: &str) -> bool {
    let first = words(text).next().unwrap_or_default();
    let may_read = first.is_empty() || READING.iter().any(|word| first.eq_ignore_ascii_case(word));
    // A name in this form may say anything.
    let is_hidden = text.contains("U&") || text.contains("u&");
    !may_read || is_hidden || text.trim().is_empty() || changes(text)
}

/// Whether any word of the text is one that changes something. Texts in quotes are passed over where it is beyond doubt
/// where they end.
fn changes(text: &str) -> bool {
    let mut outside = text.split('\'').step_by(if has_plain_quotes(text) { 2 } else { 1 });
    outside.any(|part| {
        let mut words = part.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.any(|word| {
            let starts = |start: &&str| {
                word.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
            };
            WRITING.iter().any(|known| word.eq_ignore_ascii_case(known))
                || CHANGING.iter().any(starts)
        })
    })
}

/// Neither comments nor names in quotes, escapes or dollars can have a quote that does not begin or end a text.
fn has_plain_quotes(text: &str) -> bool {
    let odd = ["--", "/*", "\\", "\"", "`", "["].iter().any(|odd| text.contains(odd));
    let mut dollars = text.split('$').skip(1);
    !odd && dollars.all(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

/// The first words, as an engine would see them: past white space, comments, and empty statements. A text that begins
/// with a parenthesis has an empty one.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = past_blank(rest?);
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (word, after) = text.split_at(end);
        rest = Some(after).filter(|_| end > 0);
        (!text.is_empty()).then_some(word)
    })
}

fn past_blank(mut text: &str) -> &str {
    loop {
        let rest =
            text.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '\u{feff}');
        let rest = match rest {
            line if line.starts_with("--") => line.split_once('\n').map_or("", |(_, rest)| rest),
            block if block.starts_with("/*") => past_comment(block),
            _ => return rest,
        };
        text = rest;
    }
}

/// Nested, as PostgreSQL has them; SQLite ends a comment at the first `*/`, and then sees what is left as words that
/// its authorizer refuses where they must be.
fn past_comment(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, after);
        } else if let Some(after) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, after);
            if depth == 0 {
                return rest;
            }
        } else {
            rest = rest.split_at(rest.chars().next().map_or(1, char::len_utf8)).1;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_told_from_what_may() {
        for reads in [
            "SELECT 1",
            " -- x\n /* a /* b */ */ select * from t where id = $1::int and a = any($2)",
            "VALUES (1), (2)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "EXPLAIN SELECT 1",
            "(SELECT 1) UNION (SELECT 2)",
            "SELECT id, data->>'a' FROM t ORDER BY id LIMIT 3",
            "SELECT replace(a, 'insert into', 'delete') FROM updates WHERE b = 'it''s update' AND c = $1",
        ] {
            assert!(!writes(reads), "{reads}");
        }
        for other in [
            "INSERT INTO t VALUES (1)",
            "WITH a AS (DELETE FROM t RETURNING id) SELECT * FROM a",
            "SELECT * INTO u FROM t",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM (SELECT * FROM t FOR SHARE) s",
            "EXPLAIN ANALYZE DELETE FROM t",
            "EXPLAIN (ANALYZE) SELECT 1",
            "SELECT nextval('s')",
            "SELECT 1; DELETE FROM t",
            "SELECT 1 -- it's\n; DELETE FROM t WHERE a = '",
            "SELECT $$'$$; DELETE FROM t; SELECT $$'$$",
            "SELECT \"'\" FROM t FOR UPDATE OF \"'\"",
            "SELECT E'\\'' FROM t FOR UPDATE",
            "SELECT U&\"\\006eextval\"('s')",
            "CREATE TABLE t (id int)",
            "",
        ] {
            assert!(writes(other), "{other}");
        }
    }

    #[test]
    fn what_is_not_the_functions_to_say_is_refused() {
        for text in [
            "BEGIN",
            "commit",
            " ; rollback",
            "/* a */ SAVEPOINT x",
            "SET TRANSACTION READ ONLY",
            "PREPARE TRANSACTION 'x'",
            "attach 'x' as y",
            "COPY t TO STDOUT",
            "LISTEN x",
            "CREATE TEMP TABLE t (id int)",
            "create local temporary table t (id int)",
        ] {
            let found = refusal(text).map(|error| error.code);
            assert_eq!(found.as_deref(), Some(crate::code::SQL_REFUSED), "{text}");
        }
        for text in ["SELECT 1", "(SELECT 1)", "UPDATE t SET a = 1", "CREATE TABLE temp (id int)"] {
            assert_eq!(refusal(text), None, "{text}");
        }
    }
}
