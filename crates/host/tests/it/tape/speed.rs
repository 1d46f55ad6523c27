//! What a replay costs. Told, not asserted: `cargo test --release -p belay-host two_hundred -- --nocapture`.

use std::time::Instant;

use belay_host::tape::{Tolerance, Verdict, decode_batch, encode_batch, replay};
use serde_json::json;

use super::{body, candidate, tape_of};
use crate::{functions::deep, world::World};

/// An event, three reads, a write, and JSON work.
const TYPICAL: &str = "
    const [customer, prices, stock] = await Promise.all(
        [`customer:${event.customer}`, 'prices', 'stock'].map((key) => kv.get(key)));
    const lines = event.items.map(({ sku, count }) => ({ sku, count, price: prices[sku] ?? 1, left: stock?.[sku] ?? 0 }));
    const total = lines.reduce((sum, line) => sum + line.count * line.price, 0) * (customer?.discount ?? 1);
    const order = { id: crypto.randomUUID(), at: new Date().toISOString(), lines, total };
    await kv.put(`order:${event.customer}`, order);
    return { statusCode: 200, body: JSON.stringify(order) };";

#[tokio::test]
async fn two_hundred_tapes_of_a_typical_function() {
    let world = World::new();
    let prices: serde_json::Map<_, _> = (0..40).map(|n| (format!("sku-{n}"), json!(n))).collect();
    world.ok("kv.put", json!({ "key": "prices", "json": prices })).await;
    world.ok("kv.put", json!({ "key": "stock", "json": prices })).await;
    let image = body(TYPICAL);
    let mut tapes = Vec::new();
    for n in 0..200 {
        let items: Vec<_> =
            (0..10).map(|i| json!({ "sku": format!("sku-{i}"), "count": n })).collect();
        let event = json!({ "customer": n % 7, "items": items }).to_string();
        tapes.push(tape_of(&world, &image, &event).await);
    }
    let stored = encode_batch(&tapes);
    let (same, took) = deep(|| {
        let started = Instant::now();
        let tapes = decode_batch(&stored).unwrap();
        let verdicts = tapes
            .iter()
            .map(|tape| replay(&candidate(&image), tape, &Tolerance::default()).unwrap().verdict);
        (verdicts.filter(|verdict| *verdict == Verdict::Same).count(), started.elapsed())
    });
    println!("200 tapes, {} bytes: replayed in {took:?}", stored.len());
    assert_eq!(same, 200);
}
