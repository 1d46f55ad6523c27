//! What a transaction has read before it first writes, and what has to be as it was if it is to write at a newer state of the file.
//!
//! SQLite refuses to let one write that has read an older state of the file than there is, whatever has changed since. So what it
//! has read is kept: when it is to write, it begins anew at the newest state, reads all of it again, and goes on if the answers are
//! the same, for then nothing tells its past from one that has begun just now. If not, it is over.
//!
//! It is bounded: while it is read again, nobody else can write.

use std::time::{Duration, Instant};

use belay_model::EffectError;

use super::{
    super::{answer::Answer, request::Query},
    SqliteConnection, failure,
};

const READS_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;
/// What the reads took, together.
const TOOK_MAX: Duration = Duration::from_millis(250);

/// A statement that has changed nothing, and what it was answered.
pub(super) struct Read {
    pub(super) query: Query,
    pub(super) answer: Answer,
    pub(super) took: Duration,
}

/// What has become of a statement that was performed if it only reads.
pub(super) enum Looked {
    Read(Read),
    Writes(Query),
}

/// See the module's header.
#[derive(Default)]
pub(super) struct Past {
    reads: Vec<Read>,
    bytes: usize,
    took: Duration,
    /// It was told something else, or more than is kept.
    incomplete: bool,
    /// Savepoints that are open.
    points: Vec<u32>,
}

impl Past {
    /// Of one that cannot be moved.
    pub(super) fn unknown() -> Self {
        Self { incomplete: true, ..Self::default() }
    }

    pub(super) fn forget(&mut self) {
        *self = Self { points: std::mem::take(&mut self.points), ..Self::unknown() };
    }

    pub(super) fn note(&mut self, read: Read) -> Answer {
        let answer = read.answer.clone();
        self.bytes += read.answer.bytes() + read.query.bytes();
        self.took += read.took;
        self.reads.push(read);
        if self.reads.len() > READS_MAX || self.bytes > BYTES_MAX || self.took > TOOK_MAX {
            self.forget();
        }
        if self.incomplete {
            self.reads.clear();
        }
        answer
    }

    /// `word` was said of the savepoint `name`.
    pub(super) fn point(&mut self, word: &str, name: u32) {
        if word == "SAVEPOINT" {
            return self.points.push(name);
        }
        let at = self.points.iter().position(|known| *known == name);
        // One to which it goes back stays.
        let stays = usize::from(word != "RELEASE");
        self.points.truncate(at.map_or(0, |at| at + stays));
    }

    /// Begins the transaction of `connection` anew as the only one that writes, with its savepoints, if all that it has read is still
    /// so. If not, it is rolled back. Nothing is done where that cannot be known: it fails for `why` it could not write.
    pub(super) fn renew(
        &self,
        connection: &mut SqliteConnection,
        why: EffectError,
    ) -> Result<(), EffectError> {
        // One that has read nothing has waited for others already.
        let has_waited = self.reads.is_empty() && !failure::is_stale(&why);
        if self.incomplete || has_waited {
            return Err(why);
        }
        connection.begin_anew()?;
        let points = self.points.iter();
        let points = points.copied().try_for_each(|name| connection.savepoint("SAVEPOINT", name));
        let renewed =
            points.and_then(|()| self.reads.iter().try_for_each(|read| read.again(connection)));
        if renewed.is_err() {
            connection.roll_back();
        }
        renewed
    }
}

impl Read {
    /// On a thread that may block.
    pub(super) fn of(connection: &mut SqliteConnection, query: Query) -> Result<Self, EffectError> {
        let begun = Instant::now();
        let answer = connection.run(&query)?;
        Ok(Self { query, answer, took: begun.elapsed() })
    }

    /// Whether it is answered as it was.
    fn again(&self, connection: &mut SqliteConnection) -> Result<(), EffectError> {
        match connection.run(&self.query) {
            Ok(answer) if answer == self.answer => Ok(()),
            Err(error) if failure::says_nothing(&error) => Err(error),
            // Also that it is not answered any more.
            Ok(_) | Err(_) => Err(failure::changed(&self.query.label())),
        }
    }
}
