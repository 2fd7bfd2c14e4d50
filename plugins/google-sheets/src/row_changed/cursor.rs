//! What a poll remembers: a small hash of each row, and the columns' names.
//!
//! Without a key, a row is known by what stands in it, wherever it moves: rows that were inserted, sorted or deleted above it change nothing. A row that is
//! not known stands in the place of one that is gone, then it is that row, changed; else it is new.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::header::Header;

/// 36 bits, six characters: among 20,000 rows, one in three million changes is taken for a row that is there.
const BITS: u32 = 36;
const CHARS: usize = 6;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NOTHING: &str = "......";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Of this layout.
    version: u32,
    /// Counts the polls, for the events' dedupe keys.
    pub(super) seq: u64,
    /// The columns' names.
    columns: Vec<String>,
    /// The first row that is watched.
    pub(super) first: u64,
    is_keyed: bool,
    /// Six characters for each row from `first` on; with a key, twelve for each row that has one: the key's and the content's.
    rows: String,
}

/// A row as a poll sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) row: u64,
    pub(super) content: u64,
    pub(super) key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Rows have none.
    Unused,
    /// This row has none yet.
    Missing,
    Is(u64),
}

/// What the cursor knows of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Same,
    /// What it had before.
    Changed(u64),
    New,
}

/// What is to be remembered of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remember {
    /// As it is.
    Now,
    /// As before: its turn comes with the next poll.
    Before(Known),
}

/// How the columns are others than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnsChanged {
    pub(super) what: String,
    /// Cells stand where they stood; only names are others.
    pub(super) is_rename: bool,
}

impl Cursor {
    pub(super) fn new(seq: u64, header: &Header, first: u64, is_keyed: bool) -> Self {
        Self { version: 1, seq, columns: header.names().to_vec(), first, is_keyed, rows: String::new() }
    }

    pub(super) fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// The cursor after a poll that saw these rows, which remembers of each what it should.
    pub(super) fn after(seq: u64, at: (&Header, u64, bool), rows: impl Iterator<Item = (Seen, Remember)>) -> Self {
        let (header, first, is_keyed) = at;
        let mut next = Self::new(seq, header, first, is_keyed);
        for (seen, remember) in rows {
            let content = match remember {
                Remember::Now | Remember::Before(Known::Same) => Some(seen.content),
                Remember::Before(Known::Changed(before)) => Some(before),
                Remember::Before(Known::New) => None,
            };
            match (seen.key, content) {
                (Key::Missing, _) | (Key::Is(_), None) => {}
                (Key::Is(key), Some(content)) => {
                    next.rows.push_str(&encoded(key));
                    next.rows.push_str(&encoded(content));
                }
                (Key::Unused, content) => {
                    let place = usize::try_from(seen.row.saturating_sub(first)).unwrap_or(0);
                    while next.rows.len() < place * CHARS {
                        next.rows.push_str(NOTHING);
                    }
                    next.rows.push_str(&content.map_or_else(|| NOTHING.to_owned(), encoded));
                }
            }
        }
        next
    }

    /// What is known of each row.
    pub(super) fn compare(&self, seen: &[Seen]) -> Vec<Known> {
        if self.is_keyed { self.compare_keys(seen) } else { self.compare_contents(seen) }
    }

    fn compare_keys(&self, seen: &[Seen]) -> Vec<Known> {
        let mut known: HashMap<u64, VecDeque<u64>> = HashMap::new();
        let hashes = self.hashes();
        for pair in hashes.chunks_exact(2) {
            if let [Some(key), Some(content)] = pair {
                known.entry(*key).or_default().push_back(*content);
            }
        }
        let compare = |seen: &Seen| {
            // Rows with the same key are compared in their order.
            let Key::Is(key) = seen.key else { return Known::Same };
            match known.get_mut(&short(key)).and_then(VecDeque::pop_front) {
                None => Known::New,
                Some(before) if before == short(seen.content) => Known::Same,
                Some(before) => Known::Changed(before),
            }
        };
        seen.iter().map(compare).collect()
    }

    fn compare_contents(&self, seen: &[Seen]) -> Vec<Known> {
        let hashes = self.hashes();
        let before = |row: u64| {
            let place = usize::try_from(row.checked_sub(self.first)?).ok()?;
            hashes.get(place).copied().flatten()
        };
        let mut there: HashMap<u64, usize> = HashMap::new();
        for hash in hashes.iter().flatten() {
            *there.entry(*hash).or_default() += 1;
        }
        let mut take = |hash: u64| match there.get_mut(&hash) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        };
        // Those that stand where they stood, then those that moved, then those in the place of one that is gone.
        let mut known: Vec<Option<Known>> = seen
            .iter()
            .map(|seen| {
                (before(seen.row) == Some(short(seen.content)) && take(short(seen.content))).then_some(Known::Same)
            })
            .collect();
        for (seen, known) in seen.iter().zip(&mut known).filter(|(_, known)| known.is_none()) {
            *known = take(short(seen.content)).then_some(Known::Same);
        }
        let rest = seen.iter().zip(known).map(|(seen, known)| {
            known.unwrap_or_else(|| match before(seen.row) {
                Some(before) if take(before) => Known::Changed(before),
                _ => Known::New,
            })
        });
        rest.collect()
    }

    fn hashes(&self) -> Vec<Option<u64>> {
        self.rows.as_bytes().chunks(CHARS).map(decoded).collect()
    }

    /// What happened to the columns since.
    pub(super) fn columns_changed(&self, header: &Header) -> Option<ColumnsChanged> {
        let (before, now) = (self.columns.as_slice(), header.names());
        if before == now {
            return None;
        }
        let listed = |names: &[String], others: &[String]| {
            let names =
                names.iter().filter(|name| !name.is_empty() && !others.contains(name)).map(|name| format!("`{name}`"));
            names.collect::<Vec<_>>().join(", ")
        };
        let (gone, came) = (listed(before, now), listed(now, before));
        let differ = || before.iter().zip(now).filter(|(before, now)| before != now);
        if before.len() == now.len() && differ().all(|(old, new)| !now.contains(old) && !before.contains(new)) {
            let renamed: Vec<String> = differ().map(|(old, new)| format!("`{old}` is `{new}` now")).collect();
            return Some(ColumnsChanged { what: renamed.join(", "), is_rename: true });
        }
        let what = match (gone.is_empty(), came.is_empty()) {
            (true, true) => "they stand in another order".to_owned(),
            (true, false) => format!("new: {came}"),
            (false, true) => format!("gone: {gone}"),
            (false, false) => format!("gone: {gone}; new: {came}"),
        };
        Some(ColumnsChanged { what, is_rename: false })
    }
}

fn short(hash: u64) -> u64 {
    hash & ((1 << BITS) - 1)
}

fn encoded(hash: u64) -> String {
    (0..CHARS)
        .map(|place| {
            let bits = short(hash) >> (6 * place) & 63;
            usize::try_from(bits).ok().and_then(|bits| ALPHABET.get(bits)).map_or('.', |letter| char::from(*letter))
        })
        .collect()
}

fn decoded(chars: &[u8]) -> Option<u64> {
    let digit = |letter: &u8| ALPHABET.iter().position(|known| known == letter).map(|bits| bits as u64);
    let digits = chars.iter().map(digit).collect::<Option<Vec<u64>>>().filter(|digits| digits.len() == CHARS)?;
    Some(digits.iter().rev().fold(0, |hash, bits| hash << 6 | bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_keeps_36_bits() {
        for hash in [0, 1, 63, 64, (1 << 36) - 1, 0x1234_5678_9abc_def0] {
            assert_eq!(decoded(encoded(hash).as_bytes()), Some(short(hash)));
        }
        assert_eq!((decoded(NOTHING.as_bytes()), decoded(b"AAA")), (None, None));
    }
}
