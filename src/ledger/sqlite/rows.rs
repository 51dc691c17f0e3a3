//! Loads the rows that the policy wants, and writes those that it gives, inside one transaction.

use std::sync::Arc;

use hashbrown::hash_map::Entry;
use rusqlite::{Connection, Result};

use super::contacts::Sweep;
use super::counted::CountedTables;
use super::totals::Totals;
use super::{contacts, leases, meta, pending, series};
use crate::ledger::policy::Policy;
use crate::ledger::policy::rows::{
    Admitted, CountedRow, CountedWrite, Known, LeaseWrite, Number, PendingWrite, Rows, SeriesWrite, Writes,
    wanted_contacts, wanted_counted, wanted_pending,
};
use crate::ledger::{Change, Committed, starting};

/// What the policy keeps between the batches.
pub(super) fn known(connection: &Connection, counted: &CountedTables) -> Result<Known> {
    let admitted = connection
        .prepare("SELECT label, agent, value FROM admitted")?
        .query_map([], |row| Ok(Admitted { label: row.get(0)?, agent: row.get(1)?, value: row.get(2)? }))?
        .collect::<Result<_>>()?;
    Ok(Known {
        admitted,
        agents: meta::agent_parts(connection)?,
        days: counted.days().clone(),
        initial_floor: meta::get(connection, Number::InitialFloor)?,
        floor: meta::get(connection, Number::Floor)?,
        first_start: meta::time(connection, Number::FirstStart)?,
        look_back_done: meta::is_set(connection, Number::LookBackDone)?,
        watermark: meta::time(connection, Number::Watermark)?,
        contact_places: contacts::places(connection)?,
    })
}

/// The rows that a batch of changes wants.
pub(super) fn load(
    connection: &Connection,
    counted: &mut CountedTables,
    totals: &Totals,
    policy: &Policy,
    changes: &[Change],
) -> Result<Rows> {
    let mut rows = Rows { charged: totals.charged(), ..Rows::default() };
    for id in wanted_pending(changes) {
        if !rows.pending.contains_key(id)
            && let Some(found) = pending::find(connection, id)?
        {
            rows.pending.insert(Arc::clone(id), found);
        }
    }
    for key in wanted_contacts(changes) {
        if let Entry::Vacant(free) = rows.contacts.entry(key)
            && let Some(found) = contacts::find(connection, &key)?
        {
            free.insert(found);
        }
    }
    for (id, created) in wanted_counted(changes, &rows.pending) {
        if let Entry::Vacant(free) = rows.counted.entry(Arc::clone(id))
            && let Some(found) = counted.find(connection, id, created, policy.retention().is_old(created))?
        {
            free.insert(found);
        }
    }
    Ok(rows)
}

/// Writes all that a batch comes to, and gives what it makes of the series.
pub(super) fn write(
    connection: &Connection,
    counted: &mut CountedTables,
    totals: &mut Totals,
    sweep: &mut Sweep,
    policy: &Policy,
    writes: Writes,
) -> Result<Committed> {
    for day in writes.keep_for_good {
        counted.keep_for_good(connection, day)?;
    }
    for day in writes.new_days {
        counted.make(connection, day)?;
    }
    for write in writes.pending {
        match write {
            PendingWrite::Insert(row) => pending::insert(connection, &row)?,
            PendingWrite::Replace(row) => {
                pending::delete(connection, &row.id)?;
                pending::insert(connection, &row)?;
            }
            PendingWrite::Delete(id) => pending::delete(connection, &id)?,
        }
    }
    for write in writes.counted {
        write_counted(connection, counted, write)?;
    }
    counted.finish(connection)?;
    if let Some(day) = writes.forget {
        counted.forget(connection, day)?;
    }
    for (number, value) in writes.numbers {
        meta::set(connection, number, value)?;
    }
    for (agent, code) in writes.agents {
        meta::set_agent_parts(connection, &agent, code)?;
    }
    for Admitted { label, agent, value } in writes.admitted {
        connection
            .prepare_cached("INSERT INTO admitted VALUES (?1, ?2, ?3, row_added('admitted', ?1, ?2, ?3))")?
            .execute((label, agent, value))?;
    }
    for (number, agent, session_type) in writes.contact_places {
        connection.prepare_cached(contacts::INSERT_PLACE)?.execute((number, agent, session_type))?;
    }
    writes.contacts.iter().try_for_each(|write| contacts::write(connection, write))?;
    if let Some(before) = writes.forget_contacts {
        sweep.forget(connection, before)?;
    }
    for write in writes.leases {
        match write {
            LeaseWrite::Grant { lease, forget_before } => leases::grant(connection, &lease, forget_before)?,
            LeaseWrite::Shorten(unused) => leases::shorten(connection, unused)?,
        }
    }
    let mut committed = Committed::default();
    for write in writes.series {
        match write {
            SeriesWrite::Add(additions) => committed.absorb(totals.add(connection, additions, policy.config())?),
            SeriesWrite::Starting => {
                // Until the look-back is done the table has all that was counted.
                let schemas = &policy.config().bucket_schemas;
                let numbers = starting::numbers(&series::load(connection, schemas)?, schemas);
                numbers.iter().try_for_each(|(name, value)| meta::write(connection, name, *value))?;
            }
            SeriesWrite::Release(keys) => {
                keys.iter().try_for_each(|key| totals.release(connection, key))?;
                committed.released.push(keys);
            }
        }
    }
    Ok(committed)
}

fn write_counted(connection: &Connection, counted: &mut CountedTables, write: CountedWrite) -> Result<()> {
    let CountedWrite { key, before, after } = write;
    match (before, after) {
        (Some(before), Some(after)) if before.day == after.day => counted.replace(connection, &key, after),
        (before, after) => {
            let delete = |row: CountedRow, counted: &mut CountedTables| counted.delete(connection, &key, row);
            before.map_or(Ok(()), |row| delete(row, counted))?;
            after.map_or(Ok(()), |row| counted.insert(connection, &key, row))
        }
    }
}
