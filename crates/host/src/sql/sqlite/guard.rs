//! What a statement of a function may not do in SQLite, whatever its text looks like.
//!
//! SQLite asks while it prepares a statement. Invariant: nothing but Belay's own statements begins or ends a
//! transaction, changes a setting of the connection, opens another file, or touches `belay_commit`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
};

/// Belay's own table.
const OWN_TABLE: &str = "belay_commit";
/// Pragmas that tell something.
const PRAGMAS: [&str; 13] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "compile_options",
    "function_list",
    "collation_list",
];
const FUNCTIONS: [&str; 2] = ["load_extension", "fts3_tokenizer"];

/// Whose statements are prepared now.
pub(super) struct Whose(Arc<AtomicBool>);

/// While it lives, statements are Belay's own.
pub(super) struct Own<'a>(&'a AtomicBool);

impl Whose {
    pub(super) fn own(&self) -> Own<'_> {
        self.0.store(true, Ordering::Relaxed);
        Own(&self.0)
    }
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<Whose> {
    let own = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&own);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        let may = asked.load(Ordering::Relaxed) || may(&context.action);
        if may { Authorization::Allow } else { Authorization::Deny }
    }))?;
    Ok(Whose(own))
}

fn may(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::Pragma { pragma_name, pragma_value } => may_ask(pragma_name, pragma_value),
        AuthAction::Function { function_name } => !is_one_of(&FUNCTIONS, function_name),
        AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => false,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. } => {
            !table_name.eq_ignore_ascii_case(OWN_TABLE)
        }
        _ => true,
    }
}

fn may_ask(pragma: &str, value: Option<&str>) -> bool {
    let tells = ["user_version", "application_id", "page_count"];
    is_one_of(&PRAGMAS, pragma) || (value.is_none() && is_one_of(&tells, pragma))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}
