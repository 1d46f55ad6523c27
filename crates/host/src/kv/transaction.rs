//! A transaction of kv: its writes are kept here until it commits, and then all of them are made, if nobody else has
//! written what it read.
//!
//! Invariants: nothing is written before the commit. A revision that is given out here for a write of its own stands for
//! that write within the transaction only; it is greater than any of the file.

use std::collections::BTreeMap;

use belay_model::{Call, Outcome};

use super::{
    Command, Commit, Kv, KvError, Range, Reply, Revision, Value, Write,
    command::{COMMIT_BYTES_MAX, COMMIT_ITEMS_MAX, Key},
};
use crate::CommitError;

/// Larger than any revision of a file, and exact as a JavaScript number.
const OWN_REVISIONS: u64 = 1 << 52;
const PAGE: u32 = 1_000;

/// One that is open. A clone is a savepoint: to go back to it is to use it instead.
#[derive(Clone)]
pub struct KvTransaction {
    kv: Kv,
    /// What was read, 0 where there was nothing.
    seen: BTreeMap<String, (Key, Revision)>,
    /// Ranges that were listed, as they were without its own writes.
    listed: Vec<(Range, Vec<(String, Revision)>)>,
    written: BTreeMap<String, (Revision, Write)>,
    bytes: usize,
    revisions: u64,
}

impl KvTransaction {
    pub(crate) fn new(kv: Kv) -> Self {
        let (seen, listed, written) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { kv, seen, listed, written, bytes: 0, revisions: OWN_REVISIONS }
    }

    /// Whether there is anything that its commit would write.
    pub fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Keys that it writes.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.written.keys().map(String::as_str)
    }

    /// Undoes what was written since a savepoint, for good: what was read since still has to hold for the commit, as whoever
    /// goes on knows of it. Without a savepoint, since the beginning.
    pub fn undo_to(&mut self, savepoint: Option<&Self>) {
        self.written = savepoint.map(|it| it.written.clone()).unwrap_or_default();
        self.bytes = savepoint.map_or(0, |it| it.bytes);
    }

    /// Answers a `kv.*` call from what it has written, else from the file.
    pub async fn perform(&mut self, call: &Call) -> Outcome {
        let reply = match Command::decode(call) {
            Ok(command) => self.run(command).await,
            Err(error) => return Outcome::Err(error),
        };
        match reply {
            Ok(reply) => reply.outcome(),
            Err(error) => Outcome::Err(error.into()),
        }
    }

    async fn run(&mut self, command: Command) -> Result<Reply, KvError> {
        match command {
            Command::Get(key) => self.get(&key).await.map(Reply::Entry),
            Command::List(range) => self.list(range).await,
            Command::Commit(commit) => {
                self.write(commit).await.map(|(revision, _)| Reply::Committed(revision))
            }
            Command::Delete(commit) => {
                self.write(commit).await.map(|(_, deleted)| Reply::Deleted(deleted))
            }
            Command::Erase => Err(KvError::Closed),
        }
    }

    async fn get(&mut self, key: &Key) -> Result<Option<(Revision, Value)>, KvError> {
        if let Some((revision, write)) = self.written.get(key.as_str()) {
            return Ok(write.value().map(|value| (*revision, value.clone())));
        }
        let Reply::Entry(entry) = self.kv.run(Command::Get(key.clone())).await? else {
            return Err(KvError::Closed);
        };
        let found = entry.as_ref().map_or(Revision::ABSENT, |(revision, _)| *revision);
        // Of two reads the first counts: if they differ, it cannot commit.
        self.seen.entry(key.as_str().to_owned()).or_insert_with(|| (key.clone(), found));
        Ok(entry)
    }

    /// The range with its own writes in it. It is read as far as it takes to fill the list.
    async fn list(&mut self, range: Range) -> Result<Reply, KvError> {
        let limit = range.limit as usize;
        let own = |key: &str| range.contains(key);
        let deleted = self.written.iter();
        let deleted = deleted.filter(|(key, (_, write))| own(key) && write.value().is_none());
        let wanted = u32::try_from(limit + deleted.count()).unwrap_or(PAGE);
        let read = Range { limit: wanted, ..range.clone() };
        let Reply::Listed { entries, more } = self.kv.run(Command::List(read.clone())).await?
        else {
            return Err(KvError::Closed);
        };
        self.listed.push((read, entries.clone()));
        // Beyond the last one nobody has looked, where there is more.
        let end = entries.last().map(|(key, _)| key.clone()).filter(|_| more);
        let mut all: BTreeMap<String, Revision> = entries.into_iter().collect();
        for (key, (revision, write)) in self.written.iter().filter(|(key, _)| own(key)) {
            if end.as_ref().is_some_and(|end| key > end) {
                continue;
            }
            match write.value() {
                Some(_) => drop(all.insert(key.clone(), *revision)),
                None => drop(all.remove(key)),
            }
        }
        let more = more || all.len() > limit;
        Ok(Reply::Listed { entries: all.into_iter().take(limit).collect(), more })
    }

    /// The revision of what is written, and whether something was deleted that was there.
    async fn write(&mut self, commit: Commit) -> Result<(Revision, bool), KvError> {
        for (key, expected) in &commit.checks {
            let found = self.get(key).await?.map_or(Revision::ABSENT, |(revision, _)| revision);
            if found != *expected {
                let key = key.as_str().to_owned();
                return Err(KvError::Conflict { key, expected: *expected, found });
            }
        }
        let mut deleted = false;
        for write in commit.writes.iter().filter(|write| write.value().is_none()) {
            deleted |= self.get(write.key()).await?.is_some();
        }
        self.fits(&commit)?;
        self.revisions += 1;
        let revision = Revision(self.revisions);
        for write in commit.writes {
            self.bytes += size(&write);
            let old = self.written.insert(write.key().as_str().to_owned(), (revision, write));
            self.bytes -= old.map_or(0, |(_, old)| size(&old));
        }
        Ok((revision, deleted))
    }

    /// The bounds of one commit are those of the transaction.
    fn fits(&self, more: &Commit) -> Result<(), KvError> {
        let found = self.bytes + more.bytes();
        if found > COMMIT_BYTES_MAX {
            let what = "what the transaction writes";
            return Err(KvError::TooLarge { what, found, max: COMMIT_BYTES_MAX });
        }
        let found = self.written.len() + more.writes.len();
        if found > COMMIT_ITEMS_MAX {
            let what = "the transaction's list of keys";
            return Err(KvError::TooLarge { what, found, max: COMMIT_ITEMS_MAX });
        }
        Ok(())
    }

    /// Makes the writes, if what was read is still so. Else it is `CONFLICT`, and nothing was written.
    pub async fn commit(self) -> Result<(), CommitError> {
        // One read has seen one moment, whatever came after it.
        if self.written.is_empty() && self.seen.len() + self.listed.len() <= 1 {
            return Ok(());
        }
        self.confirm().await
    }

    /// As [`Self::commit`], also where one read is all that there is: what it has read is to be so when something is committed
    /// elsewhere.
    pub async fn confirm(self) -> Result<(), CommitError> {
        let checks = self.seen.into_values().collect();
        let writes = self.written.into_values().map(|(_, write)| write).collect();
        let commit = Commit { checks, writes, lists: self.listed };
        match self.kv.run(Command::Commit(commit)).await {
            Ok(_) => Ok(()),
            Err(error @ KvError::Unknown(_)) => Err(CommitError::Unknown(error.into())),
            Err(error) => Err(CommitError::NotCommitted(error.into())),
        }
    }
}

fn size(write: &Write) -> usize {
    write.key().as_bytes().len() + write.value().map_or(0, |value| value.as_bytes().len())
}
