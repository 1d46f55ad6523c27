//! Random transactions against a store and against a model in memory, with restarts in between.

use std::collections::BTreeMap;

use belay_fabric::{
    Collection, CommitError, Expect, KeyRange, LogName, Revision, Sequence, Store, Transaction,
};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseResult};

const COLLECTIONS: [Collection; 2] = [Collection::constant("one"), Collection::constant("two")];
const LOGS: [LogName; 2] = [LogName::constant("log"), LogName::constant("log/2")];
const KEYS: [&str; 5] = ["a", "a/b", "aa", "ä", "\u{10ffff}"];

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Operation>),
    Reopen,
}

#[derive(Debug, Clone)]
enum Operation {
    /// Expects what the model holds, unless `wrong`.
    Check {
        at: (usize, usize),
        wrong: bool,
    },
    Put {
        at: (usize, usize),
        value: Vec<u8>,
    },
    Delete {
        at: (usize, usize),
    },
    Append {
        log: usize,
        value: Vec<u8>,
    },
    Trim {
        log: usize,
        before: u64,
    },
}

/// What a store should hold.
#[derive(Debug, Clone, Default)]
struct Model {
    records: BTreeMap<(usize, &'static str), (u64, Vec<u8>)>,
    log: BTreeMap<u64, (usize, u64, Vec<u8>)>,
    revision: u64,
    sequence: u64,
}

fn operation() -> impl Strategy<Value = Operation> {
    let at = || (0..COLLECTIONS.len(), 0..KEYS.len());
    let value = || vec(any::<u8>(), 0..8);
    prop_oneof![
        3 => (at(), prop::bool::weighted(0.1)).prop_map(|(at, wrong)| Operation::Check { at, wrong }),
        4 => (at(), value()).prop_map(|(at, value)| Operation::Put { at, value }),
        2 => at().prop_map(|at| Operation::Delete { at }),
        2 => (0..LOGS.len(), value()).prop_map(|(log, value)| Operation::Append { log, value }),
        1 => (0..LOGS.len(), 0_u64..40).prop_map(|(log, before)| Operation::Trim { log, before }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![6 => vec(operation(), 0..6).prop_map(Step::Commit), 1 => Just(Step::Reopen)]
}

impl Model {
    fn transaction(&self, operations: &[Operation]) -> Transaction {
        operations.iter().fold(Transaction::new(), |tx, operation| match operation {
            Operation::Check { at, wrong } => {
                tx.check(&COLLECTIONS[at.0], KEYS[at.1], self.expect(*at, *wrong))
            }
            Operation::Put { at, value } => {
                tx.put(&COLLECTIONS[at.0], KEYS[at.1], value.as_slice())
            }
            Operation::Delete { at } => tx.delete(&COLLECTIONS[at.0], KEYS[at.1]),
            Operation::Append { log, value } => tx.append(&LOGS[*log], value.as_slice()),
            Operation::Trim { log, before } => tx.trim(&LOGS[*log], Sequence(*before)),
        })
    }

    fn expect(&self, at: (usize, usize), wrong: bool) -> Expect {
        match self.records.get(&(at.0, KEYS[at.1])) {
            Some((revision, _)) => Expect::Revision(Revision(revision + u64::from(wrong))),
            None if wrong => Expect::Revision(Revision(self.revision)),
            None => Expect::Absent,
        }
    }

    /// `None` for a conflict.
    fn apply(&mut self, operations: &[Operation]) -> Option<Vec<Sequence>> {
        if operations.iter().any(|one| matches!(one, Operation::Check { wrong: true, .. })) {
            return None;
        }
        let writes = operations.iter().filter(|one| !matches!(one, Operation::Check { .. }));
        self.revision += u64::from(writes.clone().next().is_some());
        let appended = self.sequence + 1;
        writes.for_each(|write| self.write(write));
        Some((appended..=self.sequence).map(Sequence).collect())
    }

    fn write(&mut self, operation: &Operation) {
        match operation {
            Operation::Check { .. } => {}
            Operation::Put { at, value } => {
                self.records.insert((at.0, KEYS[at.1]), (self.revision, value.clone()));
            }
            Operation::Delete { at } => drop(self.records.remove(&(at.0, KEYS[at.1]))),
            Operation::Append { log, value } => {
                self.sequence += 1;
                self.log.insert(self.sequence, (*log, self.revision, value.clone()));
            }
            Operation::Trim { log, before } => {
                self.log.retain(|sequence, entry| entry.0 != *log || sequence >= before);
            }
        }
    }
}

async fn run(steps: &[Step]) -> TestCaseResult {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path()).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(operations) => commit(&store, &mut model, operations).await?,
            Step::Reopen => {
                store.close().await;
                store = Store::open(directory.path()).await.unwrap();
            }
        }
        compare(&store, &model).await?;
    }
    Ok(())
}

async fn commit(store: &Store, model: &mut Model, operations: &[Operation]) -> TestCaseResult {
    match store.commit(model.transaction(operations)).await {
        Ok(done) => {
            prop_assert_eq!(Some(done.sequences), model.apply(operations));
            prop_assert_eq!(done.revision, Revision(model.revision));
        }
        Err(CommitError::Conflict { .. }) => prop_assert_eq!(model.apply(operations), None),
        Err(CommitError::Store(error)) => prop_assert!(false, "{error}"),
    }
    Ok(())
}

async fn compare(store: &Store, model: &Model) -> TestCaseResult {
    let mut records = BTreeMap::new();
    for (number, collection) in COLLECTIONS.iter().enumerate() {
        let listed = store.list(collection, KeyRange::all()).await.unwrap();
        prop_assert!(listed.is_sorted_by(|a, b| a.key < b.key));
        records.extend(listed.into_iter().map(|record| {
            let key = *KEYS.iter().find(|key| **key == record.key).unwrap();
            ((number, key), (record.revision.0, record.value))
        }));
    }
    prop_assert_eq!(&records, &model.records);
    let mut log = BTreeMap::new();
    for (number, name) in LOGS.iter().enumerate() {
        let entries = store.read_log(name, Sequence(0), 1_000).await.unwrap();
        log.extend(entries.into_iter().map(|e| (e.sequence.0, (number, e.revision.0, e.value))));
    }
    prop_assert_eq!(&log, &model.log);
    prop_assert_eq!(*store.watch().borrow(), Revision(model.revision));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_behaves_as_its_model(steps in vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&steps))?;
    }
}
