//! Which pages of the file are free, and that no table uses them: SQLite writes what is new into a free page without
//! looking, so that a damaged list of them would let it write over what is there.
//!
//! Only a list that is not empty is checked. That reads the pages of the small tables, and of the remembered ids only
//! those above the leaves. (<https://sqlite.org/fileformat.html>)

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

const PAGE: usize = 4096;
type Page = [u8; PAGE];

/// A table, by the first page of its tree.
pub(super) struct Tree {
    pub(super) root: u32,
    /// Its rows are small: none goes on in further pages, and its leaves need not be read.
    pub(super) has_small_rows: bool,
}

/// What is damaged in the list of free pages of `file`, all of which is in the file and nothing in its log.
///
/// # Errors
/// If a page cannot be read.
pub(super) fn damage(file: &File, trees: &[Tree]) -> std::io::Result<Option<String>> {
    let mut walk = Walk { file, free: BTreeSet::new(), used: BTreeSet::new() };
    let head = walk.page(1)?;
    let (first, count) = (number(&head, 32), number(&head, 36));
    if (first, count) == (0, 0) {
        return Ok(None);
    }
    let is_whole = walk.free_pages(first)? && walk.free.len() == usize::try_from(count).unwrap_or(usize::MAX);
    for tree in trees {
        if !is_whole || !walk.tree(tree)? {
            return Ok(Some("its list of free pages is damaged".into()));
        }
    }
    Ok(None)
}

struct Walk<'f> {
    file: &'f File,
    free: BTreeSet<u32>,
    used: BTreeSet<u32>,
}

impl Walk<'_> {
    fn page(&self, number: u32) -> std::io::Result<Page> {
        let mut page = [0; PAGE];
        let place = u64::from(number).saturating_sub(1) * PAGE as u64;
        match self.file.read_exact_at(&mut page, place) {
            // A page behind the end has nothing in it that would make sense.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok([0; PAGE]),
            other => other.map(|()| page),
        }
    }

    /// Reads the list; false if it cannot be one.
    fn free_pages(&mut self, first: u32) -> std::io::Result<bool> {
        let mut trunk = first;
        while trunk != 0 {
            if trunk < 2 || !self.free.insert(trunk) {
                return Ok(false);
            }
            let page = self.page(trunk)?;
            let count = usize::try_from(number(&page, 4)).unwrap_or(usize::MAX);
            if count > PAGE / 4 - 2 {
                return Ok(false);
            }
            for place in 0..count {
                let leaf = number(&page, 8 + 4 * place);
                if leaf < 2 || !self.free.insert(leaf) {
                    return Ok(false);
                }
            }
            trunk = number(&page, 0);
        }
        let length = self.file.metadata()?.len() / PAGE as u64;
        Ok(self.free.last().is_none_or(|last| u64::from(*last) <= length))
    }

    /// Whether a page may be used: it is not free, and not used already.
    fn takes(&mut self, page: u32) -> bool {
        page > 0 && !self.free.contains(&page) && self.used.insert(page)
    }

    /// Goes through a tree; false if it is none, or uses a free page.
    fn tree(&mut self, tree: &Tree) -> std::io::Result<bool> {
        let mut waiting = vec![tree.root];
        while let Some(at) = waiting.pop() {
            if !self.takes(at) {
                return Ok(false);
            }
            let page = self.page(at)?;
            let Some(node) = Node::of(&page, at) else { return Ok(false) };
            if !tree.has_small_rows {
                for first in node.overflows() {
                    let mut next = first;
                    while next != 0 {
                        if !self.takes(next) {
                            return Ok(false);
                        }
                        next = number(&self.page(next)?, 0);
                    }
                }
            }
            let children = node.children();
            let Some(first) = children.first() else { continue };
            let first = self.page(*first)?;
            // All children of a page are on the same level.
            if tree.has_small_rows && Node::of(&first, 0).is_some_and(|child| child.is_leaf()) {
                if !children.iter().all(|child| self.takes(*child)) {
                    return Ok(false);
                }
            } else {
                waiting.extend(children);
            }
        }
        Ok(true)
    }
}

/// A page of a tree.
struct Node<'p> {
    page: &'p Page,
    header: usize,
    kind: u8,
}

const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;

impl<'p> Node<'p> {
    fn of(page: &'p Page, at: u32) -> Option<Self> {
        let header = if at == 1 { 100 } else { 0 };
        let kind = *page.get(header)?;
        [INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE].contains(&kind).then_some(Self { page, header, kind })
    }

    fn is_leaf(&self) -> bool {
        self.kind == LEAF_INDEX || self.kind == LEAF_TABLE
    }

    fn cells(&self) -> impl Iterator<Item = usize> {
        let count = short(self.page, self.header + 3);
        let first = self.header + if self.is_leaf() { 8 } else { 12 };
        (0..count).map(move |place| short(self.page, first + 2 * place))
    }

    fn children(&self) -> Vec<u32> {
        if self.is_leaf() {
            return Vec::new();
        }
        let last = number(self.page, self.header + 8);
        self.cells().map(|cell| number(self.page, cell)).chain([last]).collect()
    }

    /// The first of the pages in which a row of this page goes on, for each that does.
    fn overflows(&self) -> Vec<u32> {
        if self.kind == INTERIOR_TABLE {
            return Vec::new();
        }
        let of = |cell: usize| {
            let (payload, mut at) = varint(self.page, if self.is_leaf() { cell } else { cell + 4 });
            let most = if self.kind == LEAF_TABLE { PAGE - 35 } else { (PAGE - 12) * 64 / 255 - 23 };
            if self.kind == LEAF_TABLE {
                (_, at) = varint(self.page, at);
            }
            let least = (PAGE - 12) * 32 / 255 - 23;
            let payload = usize::try_from(payload).ok().filter(|payload| *payload > most)?;
            let kept = least + (payload - least) % (PAGE - 4);
            Some(number(self.page, at + if kept <= most { kept } else { least }))
        };
        self.cells().filter_map(of).collect()
    }
}

fn number(page: &Page, at: usize) -> u32 {
    page.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
}

fn short(page: &Page, at: usize) -> usize {
    page.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| usize::from(u16::from_be_bytes(*two)))
}

/// A number of SQLite's variable length, and where it ends.
fn varint(page: &Page, at: usize) -> (u64, usize) {
    let mut value = 0;
    for place in 0..8 {
        let byte = page.get(at + place).copied().unwrap_or(0);
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return (value, at + place + 1);
        }
    }
    (value << 8 | u64::from(page.get(at + 8).copied().unwrap_or(0)), at + 9)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::*;

    /// A file with free pages, with large rows and small ones.
    fn file(directory: &tempfile::TempDir) -> (PathBuf, Vec<Tree>) {
        let path = directory.path().join("t.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE small (id BLOB PRIMARY KEY, b INTEGER) WITHOUT ROWID;
                 CREATE TABLE large (id INTEGER PRIMARY KEY, b BLOB);
                 CREATE TABLE wide (id BLOB PRIMARY KEY, b INTEGER) WITHOUT ROWID;
                 CREATE TABLE gone (id BLOB PRIMARY KEY) WITHOUT ROWID;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 INSERT INTO small SELECT randomblob(16), i FROM n;
                 INSERT INTO large SELECT rowid, randomblob(b % 9000) FROM (SELECT row_number() OVER () AS rowid, b FROM small LIMIT 300);
                 INSERT INTO wide SELECT randomblob(b % 6000), b FROM small LIMIT 200;
                 INSERT INTO gone SELECT id FROM small; DROP TABLE gone;",
            )
            .unwrap();
        let roots = connection
            .prepare("SELECT rootpage, name = 'small' FROM sqlite_schema")
            .unwrap()
            .query_map([], |row| Ok(Tree { root: row.get(0)?, has_small_rows: row.get(1)? }))
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        (path, roots.into_iter().chain([Tree { root: 1, has_small_rows: false }]).collect())
    }

    fn page_of(bytes: &[u8], number: usize) -> usize {
        assert!(number * PAGE <= bytes.len());
        (number - 1) * PAGE
    }

    #[test]
    fn free_pages_are_free_unless_the_list_of_them_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let (path, trees) = file(&directory);
        let found = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            damage(&File::open(&path).unwrap(), &trees).unwrap()
        };
        let good = std::fs::read(&path).unwrap();
        assert_eq!(found(&good), None);
        let trunk = usize::try_from(u32::from_be_bytes(good[32..36].try_into().unwrap())).unwrap();
        let count = u32::from_be_bytes(good[36..40].try_into().unwrap());
        assert!(count > 50, "{count}");
        let trunk = page_of(&good, trunk);
        // The numbers of the first and of the last free page, how many they are, and where the list begins.
        for place in [32, 33, 34, 35, 36, 39, trunk + 3, trunk + 7, trunk + 8, trunk + 10, trunk + 11, trunk + 12 + 3] {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                assert!(found(&bad).is_some(), "bit {bit} of byte {place}");
            }
        }
        // Every page that is used, taken for a free one.
        let last = trunk + 8;
        let free: BTreeSet<u32> = {
            let file = File::open(&path).unwrap();
            std::fs::write(&path, &good).unwrap();
            let mut walk = Walk { file: &file, free: BTreeSet::new(), used: BTreeSet::new() };
            assert!(walk.free_pages(u32::from_be_bytes(good[32..36].try_into().unwrap())).unwrap());
            walk.free
        };
        let pages = u32::try_from(good.len() / PAGE).unwrap();
        for page in (1..=pages).filter(|page| !free.contains(page)) {
            let mut bad = good.clone();
            bad[last..last + 4].copy_from_slice(&page.to_be_bytes());
            assert!(found(&bad).is_some(), "page {page}");
        }
    }
}
