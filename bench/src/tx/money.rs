//! Whether all money is where it should be, to the last unit: what clients were told, the books of the bank and those of the
//! provider have to say the same.
//!
//! Invariants that are checked: an order that was told to be done is in the books once and was paid once; one that was put off is
//! there once and was paid by nobody; one that failed has left nothing in the bank; every account has what its transfers come to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{
    load::{Became, Record},
    order::{ACCOUNTS, INITIAL},
    provider::{Account, Provider},
};

/// What was asked of the provider for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InVain {
    /// Requests beyond the one of each transfer that was committed.
    pub(super) calls: usize,
    /// Payments that were taken, of orders that were not committed.
    pub(super) payments: usize,
}

/// Closes the provider's accounts of these orders.
pub(super) fn check(
    records: &[Record],
    audit: &Value,
    provider: &Provider,
) -> anyhow::Result<InVain> {
    let told = |became| {
        let all = records.iter().filter(move |record| record.became == became);
        all.map(|record| record.order.id).collect::<BTreeSet<u64>>()
    };
    ids("transfers", &audit["done"], &told(Became::Done))?;
    ids("pending", &audit["pending"], &told(Became::Later))?;
    balances(records, &audit["balances"])?;
    let accounts = records.iter().map(|record| (record, provider.close(record.order.id)));
    payments(accounts)
}

/// The books have these orders, each once.
fn ids(book: &str, found: &Value, told: &BTreeSet<u64>) -> anyhow::Result<()> {
    let all = found.as_array().with_context(|| format!("no {book}: {found}"))?;
    let found: BTreeSet<u64> = all.iter().filter_map(Value::as_u64).collect();
    ensure!(found.len() == all.len(), "{book} has an order twice");
    let lost: Vec<_> = told.difference(&found).collect();
    ensure!(lost.is_empty(), "{book} has lost the orders {lost:?}, which clients were told of");
    let surplus: Vec<_> = found.difference(told).collect();
    ensure!(surplus.is_empty(), "{book} has the orders {surplus:?}, of which nobody was told");
    Ok(())
}

/// Every account has what its transfers come to, and all of them together what they began with.
fn balances(records: &[Record], found: &Value) -> anyhow::Result<()> {
    let mut expected: BTreeMap<u32, i128> =
        (0..ACCOUNTS).map(|account| (account, i128::from(INITIAL))).collect();
    for Record { order, .. } in records.iter().filter(|record| record.became == Became::Done) {
        *expected.entry(order.from).or_default() -= i128::from(order.amount);
        *expected.entry(order.to).or_default() += i128::from(order.amount);
    }
    let found = found.as_object().with_context(|| format!("no balances: {found}"))?;
    let mut total = 0;
    for (account, expected) in &expected {
        let balance = match found.get(&account.to_string()) {
            Some(balance) => balance.as_u64().with_context(|| format!("balance {balance}"))?,
            // One that nobody has touched.
            None => INITIAL,
        };
        let balance = i128::from(balance);
        ensure!(
            balance == *expected,
            "account {account} has {balance}; what was transferred comes to {expected}"
        );
        total += balance;
    }
    let began_with = i128::from(ACCOUNTS) * i128::from(INITIAL);
    ensure!(total == began_with, "all accounts together have {total}, not {began_with}");
    Ok(())
}

fn payments<'r>(accounts: impl Iterator<Item = (&'r Record, Account)>) -> anyhow::Result<InVain> {
    let mut in_vain = InVain::default();
    for (Record { order, became, .. }, account) in accounts {
        let Account { asked, keys, amount } = account;
        ensure!(keys.len() <= 1, "order {} was paid under {} keys", order.id, keys.len());
        match became {
            Became::Done => {
                ensure!(keys.len() == 1, "order {} is done and was not paid", order.id);
                ensure!(amount == order.amount, "{order:?} was paid with {amount}");
                in_vain.calls += asked.saturating_sub(1);
            }
            Became::Later => {
                ensure!(keys.is_empty(), "order {} was put off and paid all the same", order.id);
                in_vain.calls += asked;
            }
            Became::Failed => {
                in_vain.calls += asked;
                in_vain.payments += keys.len();
            }
        }
    }
    Ok(in_vain)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::tx::order::Order;

    fn record(id: u64, became: Became) -> Record {
        let order = Order { id, from: 0, to: 1, amount: 5 };
        let (began, took) = (Instant::now(), Duration::ZERO);
        Record { order, became, attempts: 1, began, took, settled: Some(took), why: String::new() }
    }

    fn paid(keys: &[&str]) -> Account {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Account { asked: 1, keys, amount: 5 }
    }

    #[test]
    fn books_that_agree_balance() {
        let records = [record(1, Became::Done), record(2, Became::Failed)];
        balances(&records, &json!({ "0": INITIAL - 5, "1": INITIAL + 5 })).unwrap();
        let accounts = records.iter().zip([paid(&["a"]), paid(&["b"])]);
        assert_eq!(payments(accounts).unwrap(), InVain { calls: 1, payments: 1 });
    }

    #[test]
    fn money_that_is_lost_or_made_is_found() {
        let records = [record(1, Became::Done)];
        for wrong in [
            json!({ "0": INITIAL, "1": INITIAL }),
            json!({ "0": INITIAL - 5, "1": INITIAL }),
            json!({ "0": INITIAL - 5, "1": INITIAL + 10 }),
        ] {
            assert!(balances(&records, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn orders_that_are_lost_twice_there_or_unknown_are_found() {
        let told = BTreeSet::from([1, 2]);
        ids("transfers", &json!([1, 2]), &told).unwrap();
        for wrong in [json!([1]), json!([1, 2, 2]), json!([1, 2, 3])] {
            assert!(ids("transfers", &wrong, &told).is_err(), "{wrong}");
        }
    }

    #[test]
    fn payments_that_are_missing_or_double_are_found() {
        for (became, keys) in [
            (Became::Done, &[][..]),
            (Became::Done, &["a", "b"]),
            (Became::Failed, &["a", "b"]),
            (Became::Later, &["a"]),
        ] {
            let record = record(1, became);
            assert!(payments([(&record, paid(keys))].into_iter()).is_err(), "{became:?} {keys:?}");
        }
    }
}
