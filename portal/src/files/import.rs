//! From a file to entries: every fault of every row first, then all or nothing.
//!
//! A dry run and the import read the same way; the import then writes inside one transaction. If we stop before its commit,
//! nothing was written, and the same file may be sent again: an entry with a known key replaces the one before, so a second time
//! changes nothing.

use super::table::{Cell, Rows};
use super::{Column, Entry, Kind, MAX_ENTRIES, RowFault, Whose};
use crate::ledger::Session;
use crate::store::StoreError;

/// Faults that are listed at most; the count says how many there are.
pub const MAX_FAULTS: usize = 500;

/// Faults of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulty {
    /// The first ones, by row and column.
    pub faults: Vec<RowFault>,
    /// How many there are in all.
    pub count: usize,
}

/// What an import does, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Entries that were not known.
    pub new: usize,
    /// Entries that replace one with another content.
    pub changed: usize,
    /// Entries that are there already as they are.
    pub same: usize,
}

/// Reads every entry of a table.
///
/// # Errors
/// All faults of all rows.
pub fn read<E: Entry>(rows: &Rows) -> Result<Vec<E>, Faulty> {
    let mut found = Found::default();
    let Some((heading_row, heading)) = rows.first() else {
        found.add(RowFault::of_author(0, "", "文件是空的"));
        return Err(found.faulty());
    };
    let Some(places) = places::<E>(*heading_row, heading, &mut found) else { return Err(found.faulty()) };
    let mut entries: Vec<E> = Vec::with_capacity(rows.len() - 1);
    let mut seen = std::collections::HashMap::new();
    for (row, cells) in &rows[1..] {
        let before = found.count;
        let texts: Vec<String> = E::COLUMNS
            .iter()
            .zip(&places)
            .map(|(column, place)| text(*row, column, place.and_then(|place| cells.get(place)), &mut found))
            .collect();
        for (place, cell) in cells.iter().enumerate() {
            if *cell != Cell::Empty && heading.get(place).is_none_or(|name| *name == Cell::Empty) {
                found.add(RowFault::of_author(*row, "", format!("第 {} 列没有列名，但有内容", place + 1)));
            }
        }
        if found.count > before {
            continue;
        }
        match E::read(&texts) {
            Ok(entry) => match seen.insert(entry.key(), *row) {
                Some(first) => {
                    let text = format!("与第 {first} 行是同一条（{}），请只保留一行", entry.key().replace('\u{1f}', " / "));
                    found.add(RowFault::of_author(*row, "", text));
                }
                None => entries.push(entry),
            },
            Err(faults) => {
                for (place, text) in faults {
                    let column = place.map_or("", |place| E::COLUMNS[place].heading);
                    found.add(RowFault::of_author(*row, column, text));
                }
            }
        }
    }
    if entries.is_empty() && found.count == 0 {
        found.add(RowFault::of_author(0, "", "除列名外没有内容"));
    }
    if found.count == 0 { Ok(entries) } else { Err(found.faulty()) }
}

#[derive(Default)]
struct Found {
    faults: Vec<RowFault>,
    count: usize,
}

impl Found {
    fn add(&mut self, fault: RowFault) {
        self.count += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    fn faulty(self) -> Faulty {
        Faulty { faults: self.faults, count: self.count }
    }
}

/// Where each column stands in the file.
fn places<E: Entry>(row: usize, heading: &[Cell], found: &mut Found) -> Option<Vec<Option<usize>>> {
    let mut places = vec![None; E::COLUMNS.len()];
    for (place, cell) in heading.iter().enumerate() {
        let Cell::Text(name) = cell else { continue };
        let name = name.trim();
        let known = E::COLUMNS.iter().position(|column| column.heading == name || column.aliases.contains(&name));
        match known {
            None => found.add(RowFault::of_author(row, name, "没有这样的列；请使用导出文件的列名，或删除该列")),
            Some(known) if places[known].is_some() => found.add(RowFault::of_author(row, name, "该列出现了两次")),
            Some(known) => places[known] = Some(place),
        }
    }
    for (column, place) in E::COLUMNS.iter().zip(&places) {
        if column.required && place.is_none() {
            found.add(RowFault::of_author(row, column.heading, "缺少该列"));
        }
    }
    (found.count == 0).then_some(places)
}

/// The text of a cell; a fault where a spreadsheet lost what was written.
fn text(row: usize, column: &Column, cell: Option<&Cell>, found: &mut Found) -> String {
    let mut lost = |text: String| {
        found.add(RowFault { row, column: column.heading.to_owned(), whose: Whose::Spreadsheet, text });
        String::new()
    };
    match cell {
        None | Some(Cell::Empty) => String::new(),
        Some(Cell::Text(text)) => text.trim().to_owned(),
        Some(Cell::Number(text)) if column.number => text.clone(),
        Some(Cell::Number(text)) => {
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            if digits > 15 || text.contains(['e', 'E', '.']) {
                return lost(format!("单元格是数值 {text}，15 位以后的数字已丢失；请将该列设为“文本”格式后重新填写"));
            }
            text.clone()
        }
        Some(Cell::Other(what)) => lost(format!("单元格是{what}，不是文本；请将该列设为“文本”格式后重新填写")),
    }
}

/// Writes entries that were read, inside the writer's transaction.
///
/// # Errors
/// Those of the store. `Ok(Err(_))`: the tenant's file would be too long; nothing was written.
pub async fn apply<E: Entry>(session: &mut Session, tenant: &str, entries: &[E]) -> Result<Result<Outcome, Faulty>, StoreError> {
    let (outcome, changed) = compared(session.db.as_mut(), tenant, entries).await?;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(faulty) => return Ok(Err(faulty)),
    };
    for (key, body) in changed {
        session.db.put_entry(tenant, E::KIND, &key, &body).await?;
    }
    Ok(Ok(outcome))
}

/// What [`apply`] would do; writes nothing.
///
/// # Errors
/// Those of the store. `Ok(Err(_))`: the tenant's file would be too long.
pub async fn dry_run<E: Entry>(
    db: &mut dyn crate::store::Db,
    tenant: &str,
    entries: &[E],
) -> Result<Result<Outcome, Faulty>, StoreError> {
    Ok(compared(db, tenant, entries).await?.0)
}

type Changes = Vec<(String, String)>;

async fn compared<E: Entry>(
    db: &mut dyn crate::store::Db,
    tenant: &str,
    entries: &[E],
) -> Result<(Result<Outcome, Faulty>, Changes), StoreError> {
    let known: std::collections::HashMap<String, String> = db.entries(tenant, E::KIND).await?.into_iter().collect();
    let mut outcome = Outcome::default();
    let mut changes = Vec::new();
    for entry in entries {
        let body = serde_json::to_string(entry).map_err(|error| StoreError::Damaged(format!("entry: {error}")))?;
        match known.get(&entry.key()) {
            Some(before) if *before == body => outcome.same += 1,
            Some(_) => {
                outcome.changed += 1;
                changes.push((entry.key(), body));
            }
            None => {
                outcome.new += 1;
                changes.push((entry.key(), body));
            }
        }
    }
    if known.len() + outcome.new > MAX_ENTRIES {
        let text = format!("档案最多 {MAX_ENTRIES} 条：现有 {} 条，文件新增 {} 条", known.len(), outcome.new);
        let faulty = Faulty { faults: vec![RowFault::of_author(0, "", text)], count: 1 };
        return Ok((Err(faulty), Vec::new()));
    }
    Ok((Ok(outcome), changes))
}

/// Every entry of a file, by its key.
///
/// # Errors
/// Those of the store.
pub async fn all<E: Entry>(db: &mut dyn crate::store::Db, tenant: &str) -> Result<Vec<E>, StoreError> {
    let rows = db.entries(tenant, E::KIND).await?;
    rows.iter()
        .map(|(_, body)| serde_json::from_str(body).map_err(|error| StoreError::Damaged(format!("entry: {error}"))))
        .collect()
}

/// Takes an entry out. False: it was not there. Invoices that were made from it stay as they are.
///
/// # Errors
/// Those of the store.
pub async fn remove(session: &mut Session, tenant: &str, kind: Kind, key: &str) -> Result<bool, StoreError> {
    session.db.remove_entry(tenant, kind, key).await
}
