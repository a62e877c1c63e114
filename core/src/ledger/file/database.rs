//! One ledger's tasks in a file: a book, and all that was written down of it.

use std::collections::BTreeSet;
use std::io;

use redb::{Database as Redb, ReadableDatabase, ReadableTable, TableDefinition};
use uuid::Uuid;

use crate::ledger::{Book, Change, Policy, StoreError, Task, broken};
use crate::value;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const TASKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("tasks");
const PARAMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("params");

/// The form of what is written. One that is higher was written by a later version.
const FORMAT: u64 = 1;

/// A database that is open, and the book that it holds.
pub(super) struct Database {
    redb: Redb,
    pub(super) book: Book,
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// There is no room. What was there before is unharmed, once it is opened anew.
    Full,
    /// It is not known what was written.
    Broken(StoreError),
}

impl Database {
    /// Reads everything that was written down.
    pub(super) fn read(redb: Redb, ledger: Uuid, policy: Policy) -> Result<Self, StoreError> {
        let mut book = Book::new(ledger, policy);
        for change in
            read(&redb).map_err(|error| StoreError::new(format!("cannot read it: {error}")))??
        {
            book.apply(&change);
        }
        Ok(Database { redb, book })
    }

    /// Writes down what has changed, and returns when it is safe. The book has the changes already.
    pub(super) fn write(&self, changes: &[Change]) -> Result<(), WriteError> {
        if changes.is_empty() {
            return Ok(());
        }
        write(&self.redb, changes).map_err(|error| {
            if is_full(&error) {
                return WriteError::Full;
            }
            WriteError::Broken(StoreError::new(format!("cannot write: {error}")))
        })
    }
}

fn is_full(error: &redb::Error) -> bool {
    let full = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    };
    matches!(error, redb::Error::Io(error) if full(error))
}

/// All changes that make the book. Within: what was read is not what was written.
fn read(redb: &Redb) -> Result<Result<Vec<Change>, StoreError>, redb::Error> {
    let mut changes = Vec::new();
    {
        // The tables are there from the first write on.
        let begun = redb.begin_write()?;
        begun.open_table(TASKS)?;
        begun.open_table(PARAMS)?;
        let mut meta = begun.open_table(META)?;
        let format = meta.get("format")?.map(|format| format.value());
        match format {
            None => drop(meta.insert("format", FORMAT)?),
            Some(FORMAT) => {}
            Some(other) => {
                return Ok(Err(StoreError::new(format!(
                    "it is of format {other}, this version knows {FORMAT}: a later version wrote it"
                ))));
            }
        }
        drop(meta);
        if format.is_none() {
            begun.commit()?
        } else {
            begun.abort()?
        };
    }
    let begun = redb.begin_read()?;
    let meta = begun.open_table(META)?;
    changes.extend(meta.get("next")?.map(|next| Change::Next(next.value())));
    changes.extend(meta.get("epoch")?.map(|epoch| Change::Epoch(epoch.value())));
    for entry in begun.open_table(PARAMS)?.iter()? {
        let (number, params) = entry?;
        let params = bytes::Bytes::copy_from_slice(params.value());
        changes.push(Change::Params(number.value(), params));
    }
    for entry in begun.open_table(TASKS)?.iter()? {
        let (number, task) = entry?;
        match value::decode::<Task>(task.value()) {
            Ok(task) => changes.push(Change::Task(Box::new(task))),
            Err(error) => {
                let number = number.value();
                return Ok(Err(StoreError::new(format!("task {number} cannot be read: {error}"))));
            }
        }
    }
    Ok(Ok(changes))
}

fn write(redb: &Redb, changes: &[Change]) -> Result<(), redb::Error> {
    let mut begun = redb.begin_write()?;
    if broken!("commit without a sync") {
        begun.set_durability(redb::Durability::None)?;
    }
    {
        let mut meta = begun.open_table(META)?;
        let mut tasks = begun.open_table(TASKS)?;
        let mut params = begun.open_table(PARAMS)?;
        let mut written = BTreeSet::new();
        // Of what changed more than once only the last counts.
        for change in changes.iter().rev() {
            match change {
                Change::Task(task) => {
                    if written.insert((0, task.number)) {
                        let encoded = value::encode(&**task).map_err(|error| {
                            redb::Error::Io(io::Error::other(error.to_string()))
                        })?;
                        tasks.insert(task.number, &*encoded)?;
                    }
                }
                Change::Params(number, bytes) => {
                    if written.insert((1, *number)) {
                        params.insert(*number, &**bytes)?;
                    }
                }
                Change::DropParams(number) => {
                    if written.insert((1, *number)) {
                        params.remove(*number)?;
                    }
                }
                Change::Forget(number) => {
                    if written.insert((0, *number)) {
                        tasks.remove(*number)?;
                    }
                    if written.insert((1, *number)) {
                        params.remove(*number)?;
                    }
                }
                Change::Next(next) => {
                    if written.insert((2, 0)) {
                        meta.insert("next", *next)?;
                    }
                }
                Change::Epoch(epoch) => {
                    if written.insert((2, 1)) {
                        meta.insert("epoch", *epoch)?;
                    }
                }
            }
        }
    }
    begun.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
