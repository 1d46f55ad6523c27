//! What it costs to try a deploy on the 200 tapes of a typical function: three reads, a write, and JSON work.
//!
//! As `belay replay` tells it: each tape once as it was, to see that it can be told from, and once with the candidate. One thread
//! does that.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    samples::median,
    server::{Belay, invoke_path},
};

const TAPES: usize = 200;

const CODE: &str = "
/** @notape */
export async function seed(event, { kv }) {
  const all = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`sku-${n}`, n]));
  await Promise.all(['prices', 'stock'].map((key) => kv.put(key, all)));
}
export async function order(event, { kv }) {
  const [customer, prices, stock] = await Promise.all(
    [`customer:${event.customer}`, 'prices', 'stock'].map((key) => kv.get(key)));
  const lines = event.items.map(({ sku, count }) => ({ sku, count, price: prices[sku] ?? 1, left: stock?.[sku] ?? 0 }));
  const total = lines.reduce((sum, line) => sum + line.count * line.price, 0) * (customer?.discount ?? 1);
  const made = { id: crypto.randomUUID(), at: new Date().toISOString(), lines, total };
  await kv.put(`order:${event.customer}`, made);
  return { statusCode: 200, body: JSON.stringify(made) };
}
";

/// Milliseconds, the median of so many repeats.
pub(super) fn replayed(belay: &Belay, repeats: usize) -> anyhow::Result<f64> {
    let (folder, candidate) = (tempfile::tempdir()?, tempfile::tempdir()?);
    write(folder.path(), CODE)?;
    write(candidate.path(), &CODE.replace("?? 1,", "?? 2,"))?;
    belay.deploy_folder(folder.path())?;
    let mut client = belay.client()?;
    client.ask(&invoke_path("typical", "seed"), "null")?;
    for n in 0..TAPES {
        let items: Vec<_> =
            (0..10).map(|at| format!(r#"{{"sku":"sku-{at}","count":{n}}}"#)).collect();
        let event = format!(r#"{{"customer":{},"items":[{}]}}"#, n % 7, items.join(","));
        client.ask(&invoke_path("typical", "order"), &event)?;
    }
    let mut took = Vec::new();
    for _ in 0..repeats {
        let told: Value = serde_json::from_str(&belay.replay("typical", candidate.path())?)?;
        let validated = &told["change"]["validated"];
        ensure!(validated["tapes"] == TAPES, "not all was replayed: {told}");
        took.push(validated["took_ms"].as_f64().context("took_ms")?);
    }
    Ok(median(took))
}

fn write(folder: &Path, code: &str) -> anyhow::Result<()> {
    let functions = "seed = \"typical.js#seed\"\norder = \"typical.js#order\"\n";
    fs::write(folder.join("belay.toml"), format!("app = \"typical\"\n\n[functions]\n{functions}"))?;
    fs::write(folder.join("typical.js"), code)?;
    Ok(())
}
