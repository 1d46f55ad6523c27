//! Writes the fixtures of the current formats into the directory that is given:
//! `cargo run --release -p belay-fabric --example fabric_fixtures -- crates/fabric/tests/fixtures`.
//!
//! Run it once when a format version is added, and commit what it wrote. Fixtures of older versions stay as they are:
//! they show that what an older program wrote is still read.

use std::{error::Error, fs, path::Path};

use belay_fabric::{Blobs, Collection, LogName, Sequence, Store, Transaction};

const APPS: Collection = Collection::constant("apps");
const ALIASES: Collection = Collection::constant("apps/aliases");
const EVENTS: LogName = LogName::constant("events");
const OTHER: LogName = LogName::constant("other");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::args().nth(1).ok_or("which directory?")?;
    let target = Path::new(&target);
    fs::create_dir_all(target)?;
    store(&target.join("store-1")).await?;
    blobs(&target.join("blobs-2")).await
}

async fn store(directory: &Path) -> Result<(), Box<dyn Error>> {
    let store = Store::open(directory).await?;
    let first = Transaction::new().put(&APPS, "shop", "one").put(&ALIASES, "shop/prod", [0, 255]);
    store.commit(first.append(&EVENTS, "made").append(&OTHER, "else")).await?;
    let second = Transaction::new().put(&APPS, "shop", "two").put(&APPS, "kasse-ä", "");
    store.commit(second.append(&EVENTS, "changed")).await?;
    let third = Transaction::new().delete(&ALIASES, "shop/prod").append(&EVENTS, "unaliased");
    store.commit(third).await?;
    store.trim(&EVENTS, Sequence(3)).await?;
    store.close().await;
    Ok(fs::remove_file(directory.join("lock"))?)
}

async fn blobs(directory: &Path) -> Result<(), Box<dyn Error>> {
    let blobs = Blobs::open(directory).await?;
    blobs.put(b"export const handler = () => 1;\n").await?;
    let in_pieces = blobs.put(b"const a = 1;\nconst b = 2;\n").await?;
    blobs.cut(&in_pieces, &[13]).await?;
    drop(blobs);
    Ok(fs::remove_file(directory.join("lock"))?)
}
