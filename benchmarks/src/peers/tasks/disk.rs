//! What tasks rest on: a transaction of a database, and a sync of a file, for as many records as are in flight.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use redb::{Database, TableDefinition};

use super::Peer;
use crate::lifeline::Ready;
use crate::load::Load;

/// A record as a task's is: about as large as one with its outcome, beside the payload.
const RECORD: usize = 256;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

/// The database alone.
#[derive(Debug)]
pub(crate) struct BareRedb;

impl Peer for BareRedb {
    fn name(&self) -> &'static str {
        "redb-bare"
    }

    fn about(&self) -> &'static str {
        "redb in the client's own process: as many records as calls are in flight, of 256 B and the payload, in one \
         durable transaction; then the next. Nothing runs, and no outcome is recorded."
    }

    fn serve(&self, _: &str, ready: Ready) -> anyhow::Result<()> {
        nobody(ready)
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        let database = Database::create(beside(at, "bare.redb")?)?;
        let record = vec![7; RECORD + load.shape.size];
        let mut next = 0;
        in_batches(load, || {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(RECORDS)?;
                for _ in 0..load.shape.in_flight {
                    table.insert(next, &*record)?;
                    next += 1;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    fn hold(&self, _: &str, _: usize, _: Ready) -> anyhow::Result<()> {
        anyhow::bail!("it has no connections")
    }
}

/// The disk alone.
#[derive(Debug)]
pub(crate) struct BareDisk;

impl Peer for BareDisk {
    fn name(&self) -> &'static str {
        "disk-bare"
    }

    fn about(&self) -> &'static str {
        "A file in the client's own process: as many records as calls are in flight are appended and synced (fdatasync); then \
         the next. The limit of the disk."
    }

    fn serve(&self, _: &str, ready: Ready) -> anyhow::Result<()> {
        nobody(ready)
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        let mut file: File =
            OpenOptions::new().create(true).append(true).open(beside(at, "bare.log")?)?;
        let batch = vec![7; (RECORD + load.shape.size) * load.shape.in_flight];
        in_batches(load, || {
            file.write_all(&batch)?;
            Ok(file.sync_data()?)
        })
    }

    fn hold(&self, _: &str, _: usize, _: Ready) -> anyhow::Result<()> {
        anyhow::bail!("it has no connections")
    }
}

/// There is no server: everything happens at the client.
fn nobody(ready: Ready) -> anyhow::Result<()> {
    ready.announce()?;
    loop {
        thread::park();
    }
}

/// A file in the folder of the measurement, which is gone after it.
fn beside(at: &str, name: &str) -> anyhow::Result<PathBuf> {
    Ok(Path::new(at).parent().context("the socket has a folder")?.join(name))
}

/// One batch after the other, until the meter stops.
fn in_batches(load: &Load, mut one: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    while load.meter.running() {
        let started = Instant::now();
        one()?;
        load.meter.record(started.elapsed());
        load.meter.count(load.shape.in_flight as u64);
    }
    Ok(())
}
