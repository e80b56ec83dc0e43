//! Reading everything that a file holds, for another store to take in, while no gateway has it open. Nothing in it is changed.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use redb::{
    Builder, DatabaseError, Key, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    TableError, TableHandle, Value,
};
use tokio::sync::mpsc;

use super::open::{CACHE_BYTES, OpenError, open_error};
use super::{calls, devices, jobs, lines, missed, moderation, rates, usage};
use crate::domain::usage::Day;
use crate::domain::{CallId, Timestamp, UserId};
use crate::store::codec::{self, read_json};
use crate::store::migration::{Batch, Damage, Item};
use crate::store::{Slot, StoreError};

/// How many things are read at a time.
const BATCH: usize = 1000;
/// How many batches are read ahead of whoever takes them.
const AHEAD: usize = 2;

/// What becomes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is moved, each row as an [`Item`].
    Moved,
    /// Whoever takes the others in makes it anew.
    Follows,
}

/// What becomes of each table. A file that has another one is of a newer release.
const TABLES: [(&str, Fate); 21] = [
    ("calls", Fate::Moved),
    ("wake", Fate::Follows),
    ("later", Fate::Follows),
    ("jobs", Fate::Moved),
    ("jobs_due", Fate::Follows),
    ("lines", Fate::Moved),
    ("keys", Fate::Moved),
    ("history", Fate::Moved),
    ("missed", Fate::Moved),
    ("told", Fate::Moved),
    ("told_at", Fate::Moved),
    ("rates", Fate::Moved),
    ("devices", Fate::Moved),
    ("tokens", Fate::Follows),
    ("blocks", Fate::Moved),
    ("contacts", Fate::Moved),
    ("bans", Fate::Moved),
    ("usage_days", Fate::Moved),
    // With their day.
    ("usage_minutes", Fate::Follows),
    ("accounted", Fate::Moved),
    // Each thing has its own end.
    ("expiries", Fate::Follows),
];

/// A file that is only read. No gateway can open it meanwhile.
pub struct Source(ReadOnlyDatabase);

/// Where what is read goes, in batches.
struct Sink<'a> {
    out: &'a mpsc::Sender<Result<Batch, StoreError>>,
    batch: Batch,
}

impl Source {
    /// Opens a file that is there, and that no gateway has open. One whose gateway was killed is brought to its last commit first, as
    /// its next start would.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: DatabaseError| open_error(path, error.into());
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = match builder.open_read_only(path) {
            Err(DatabaseError::RepairAborted) => {
                builder.open(path).and_then(redb::Database::close).map_err(failed)?;
                builder.open_read_only(path)
            }
            opened => opened,
        };
        let source = Self(database.map_err(failed)?);
        let unknown = source.unknown_table().map_err(|error| open_error(path, error))?;
        match unknown {
            Some(table) => Err(OpenError::Newer { path: path.to_owned(), table }),
            None => Ok(source),
        }
    }

    fn unknown_table(&self) -> Result<Option<String>, redb::Error> {
        let txn = self.0.begin_read()?;
        let is_known = |name: &str| TABLES.iter().any(|(table, _)| *table == name);
        let unknown = txn.list_tables()?.map(|table| table.name().to_owned()).find(|name| !is_known(name));
        Ok(unknown)
    }

    /// Everything in it, in batches; the last one may be an error.
    pub fn batches(self: &Arc<Self>) -> mpsc::Receiver<Result<Batch, StoreError>> {
        let (out, batches) = mpsc::channel(AHEAD);
        let (source, read) = (Arc::clone(self), out.clone());
        let reading = tokio::task::spawn_blocking(move || source.read(&read));
        tokio::spawn(async move {
            // redb panics where a file is damaged: that is no end.
            let damaged = |_| Err(StoreError::Corrupt("the file is damaged, and cannot be read on".to_owned()));
            if let Err(error) = reading.await.unwrap_or_else(damaged) {
                // An error here says that nobody reads on.
                let _ = out.send(Err(error)).await;
            }
        });
        batches
    }

    fn read(&self, out: &mpsc::Sender<Result<Batch, StoreError>>) -> Result<(), StoreError> {
        let txn = self.0.begin_read()?;
        let mut sink = Sink { out, batch: Batch::default() };
        // Devices first: who can be rung shall not wait for the rest, if it comes to that.
        read_users(&txn, &mut sink)?;
        read_calls(&txn, &mut sink)?;
        read_limits(&txn, &mut sink)?;
        read_usage(&txn, &mut sink)?;
        sink.send()
    }
}

impl Sink<'_> {
    fn take(&mut self, table: &'static str, key: impl Debug, item: Result<Item, StoreError>) -> Result<(), StoreError> {
        match item {
            Ok(item) => self.batch.items.push(item),
            Err(why) => self.batch.damaged.push(Damage { table, key: format!("{key:?}"), why }),
        }
        if self.batch.items.len() + self.batch.damaged.len() < BATCH { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.out.blocking_send(Ok(batch)).map_err(|_| StoreError::Unavailable("nobody reads on".into()))
    }
}

/// Goes through a table, if the file has it: a release that did not know it may have made the file.
fn rows<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
    mut take: impl for<'k, 'v> FnMut(K::SelfType<'k>, V::SelfType<'v>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        table => table?,
    };
    for row in table.iter()? {
        let (key, value) = row?;
        take(key.value(), value.value())?;
    }
    Ok(())
}

fn read_users(txn: &ReadTransaction, sink: &mut Sink<'_>) -> Result<(), StoreError> {
    rows(txn, devices::DEVICES, |user, json| {
        let item = id(user).and_then(|user| Ok(Item::Devices { user, devices: devices::decode(json)? }));
        sink.take("devices", user, item)
    })?;
    rows(txn, moderation::BANS, |user, json| sink.take("bans", user, read_json("ban", json).map(Item::Ban)))?;
    rows(txn, moderation::BLOCKS, |pair, ()| {
        sink.take("blocks", pair, ids(pair).map(|(user, peer)| Item::Block { user, peer }))
    })?;
    rows(txn, moderation::CONTACTS, |pair, ()| {
        sink.take("contacts", pair, ids(pair).map(|(user, peer)| Item::Contact { user, peer }))
    })
}

fn read_calls(txn: &ReadTransaction, sink: &mut Sink<'_>) -> Result<(), StoreError> {
    rows(txn, calls::CALLS, |key, (.., record)| {
        let call = calls::id(key);
        let item = match codec::decode(record) {
            Ok(Slot::Call(read)) if read.id == call => Ok(Item::Call(read)),
            Ok(Slot::Tombstone) => Ok(Item::Tombstone(call)),
            Ok(_) => Err(StoreError::Corrupt("it is the record of another call".into())),
            Err(error) => Err(error),
        };
        sink.take("calls", call, item)
    })?;
    rows(txn, jobs::JOBS, |id, (.., record)| {
        let item = match codec::decode_job(record) {
            Ok(job) if job.id.as_str() == id => Ok(Item::Job(Box::new(job))),
            Ok(_) => Err(StoreError::Corrupt("it is the record of another job".into())),
            Err(error) => Err(error),
        };
        sink.take("jobs", id, item)
    })?;
    rows(txn, lines::LINES, |user, json| {
        let item = id(user).and_then(|user| Ok(Item::Line { user, claims: read_json("line", json)? }));
        sink.take("lines", user, item)
    })?;
    rows(txn, lines::HISTORY, |user, packed| {
        sink.take("history", user, id(user).map(|user| Item::History { user, calls: unpack(packed) }))
    })
}

fn read_limits(txn: &ReadTransaction, sink: &mut Sink<'_>) -> Result<(), StoreError> {
    rows(txn, lines::KEYS, |(user, key), (until, call, body)| {
        let (until, call) = (Timestamp::from_millis(until), calls::id(call));
        let item = id(user).map(|user| Item::Key { user, key: key.to_owned(), call, body: body.to_owned(), until });
        sink.take("keys", user, item)
    })?;
    rows(txn, missed::MISSED, |pair, (until, before, packed)| {
        let (until, calls) = (Timestamp::from_millis(until), unpack(packed));
        sink.take("missed", pair, ids(pair).map(|(user, peer)| Item::Missed { user, peer, until, before, calls }))
    })?;
    rows(txn, missed::TOLD, |pair, (at, call, number, teller, tellers)| {
        let of = |call: u128, number| (call != 0).then(|| (calls::id(call), number));
        let (at, told, teller) = (Timestamp::from_millis(at), of(call, number), of(teller, tellers));
        sink.take("told", pair, ids(pair).map(|(user, peer)| Item::Told { user, peer, at, told, teller }))
    })?;
    rows(txn, missed::TOLD_AT, |user, packed| {
        sink.take("told_at", user, id(user).map(|user| Item::ToldAt { user, times: missed::times(packed).collect() }))
    })?;
    rows(txn, rates::RATES, |(user, name), arrival_us| {
        let (limit, of) = name.split_once(' ').map_or((name, None), |(limit, of)| (limit, Some(of.to_owned())));
        let item = id(user).map(|user| Item::Rate { user, limit: limit.to_owned(), of, arrival_us });
        sink.take("rates", user, item)
    })
}

fn read_usage(txn: &ReadTransaction, sink: &mut Sink<'_>) -> Result<(), StoreError> {
    let minutes_of = |day: u32| -> Result<Vec<(u16, u32)>, StoreError> {
        let table = txn.open_table(usage::MINUTES)?;
        let minutes = table.range((day, 0)..=(day, u16::MAX))?;
        minutes.map(|row| row.map(|(key, value)| (key.value().1, value.value())).map_err(StoreError::from)).collect()
    };
    rows(txn, usage::DAYS, |day, (calls, participant_ms)| {
        let minutes = minutes_of(day)?;
        sink.take("usage_days", day, Ok(Item::Usage { day: Day::from_number(day), calls, participant_ms, minutes }))
    })?;
    rows(txn, usage::ACCOUNTED, |call, ()| {
        let call = calls::id(call);
        sink.take("accounted", call, Ok(Item::Accounted(call)))
    })
}

fn unpack(packed: &[u8]) -> Vec<CallId> {
    lines::unpack(packed).map(calls::id).collect()
}

fn id(text: &str) -> Result<UserId, StoreError> {
    UserId::new(text).map_err(|error| StoreError::Corrupt(format!("user id: {error}")))
}

fn ids((user, peer): (&str, &str)) -> Result<(UserId, UserId), StoreError> {
    Ok((id(user)?, id(peer)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::Embedded;
    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    /// Whoever adds a table decides here what becomes of it when a store is moved; `tests/it/migration` sees that what is moved arrives.
    #[tokio::test]
    async fn of_every_table_it_is_decided_what_becomes_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bellwire.redb");
        let store = Embedded::open(&path, Duration::from_secs(10), Clock::system()).expect("a store");
        store.close().await;
        let source = Source(ReadOnlyDatabase::open(&path).expect("a source"));
        let txn = source.0.begin_read().expect("a transaction");
        let tables: BTreeSet<String> =
            txn.list_tables().expect("tables").map(|table| table.name().to_owned()).collect();
        assert_eq!(tables, TABLES.iter().map(|(table, _)| (*table).to_owned()).collect());
    }

    #[test]
    fn no_table_is_of_two_minds() {
        let names: BTreeSet<&str> = TABLES.iter().map(|(table, _)| *table).collect();
        assert_eq!(names.len(), TABLES.len());
    }
}
