//! What a server has said of statements: the types of their parameters, and their columns.
//!
//! To ask for that costs a round trip, and a connection of a mirror forgets it each time ([`super::connection`]). It is the
//! same for all statements that are alike; where it is not any more, the statement fails, and it is asked anew.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio_postgres::{Statement, types::Type};

const KEPT_MAX: usize = 1_000;

/// By what statements are like.
#[derive(Default)]
pub(super) struct Described(Mutex<HashMap<String, Arc<Description>>>);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) params: Vec<Type>,
    pub(super) columns: Vec<(String, Type)>,
}

impl Description {
    pub(super) fn of(statement: &Statement) -> Self {
        let columns = statement.columns().iter();
        let columns = columns.map(|column| (column.name().to_owned(), column.type_().clone()));
        Self { params: statement.params().to_vec(), columns: columns.collect() }
    }
}

impl Described {
    pub(super) fn get(&self, likeness: &str) -> Option<Arc<Description>> {
        self.0.lock().get(likeness).cloned()
    }

    pub(super) fn put(&self, likeness: &str, description: Arc<Description>) {
        let mut all = self.0.lock();
        // What is in use is soon known again.
        if all.len() >= KEPT_MAX {
            all.clear();
        }
        all.insert(likeness.to_owned(), description);
    }

    pub(super) fn forget(&self, likeness: &str) {
        self.0.lock().remove(likeness);
    }
}
