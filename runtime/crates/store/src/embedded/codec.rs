//! A record: `[crc32: 4, big-endian][format version: 1][kind: 1]` and JSON. The check sum also covers table and key, so that a record
//! that turns up in another's place is noticed. A record above [`INLINE_BYTES_MAX`] has its JSON in a file and names it by digest.
//! A record of several entries of a journal says how many before its JSON, `[entries: 2, big-endian]`, so that counting needs no parsing.

use flowcell_core::id::Digest;
use flowcell_core::ports::StoreError;
use flowcell_core::run::event::Recorded;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::tables::Table;

/// The largest record that lies in a tree. A leaf of sled holds up to 17 records for a moment: with 4 KiB each some 70 KiB, far
/// below the quarter of a segment (1 MiB) at which sled moves a page to a file that it never syncs; and what is larger would be
/// written again with every tenth change of its leaf.
pub(crate) const INLINE_BYTES_MAX: usize = 4 << 10;

/// The newest format of records. Older ones are read; newer ones are refused. Format 2 added [`SEVERAL`].
pub(crate) const RECORD_FORMAT: u8 = 2;

/// Set in the kind byte when the JSON lies in a file.
const IN_FILE: u8 = 0x80;

/// Set in the kind byte when the JSON is an array of as many entries as the two bytes before it say.
const SEVERAL: u8 = 0x40;

const HEADER_BYTES: usize = 6;
const COUNT_BYTES: usize = 2;

/// The deepest nesting of a record: `serde_json` reads 128 levels, so nothing deeper may be written.
const DEPTH_MAX: u32 = 120;

/// A record ready to be written.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) record: Vec<u8>,
    /// What must be in a file, and durable, before the record is queued.
    pub(crate) payload: Option<(PayloadRef, Vec<u8>)>,
}

/// Names a payload file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PayloadRef {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// What a record holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    Inline(&'a [u8]),
    File(PayloadRef),
}

/// A checked record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened<'a> {
    pub(crate) body: Body<'a>,
    /// How many entries its JSON, an array, holds; absent when it is no array of entries.
    pub(crate) entries: Option<u16>,
}

/// Encodes `value` as the record of `table` at `key`; [`StoreError::Refused`] when that can never be.
pub(crate) fn encode<T: Serialize>(table: Table, key: &[u8], value: &T) -> Result<Encoded, StoreError> {
    let mut record = vec![0; HEADER_BYTES];
    write_json(&mut record, value, 0)?;
    finish(table, 0, key, record)
}

/// As much of `entries`, from the first on, as fits into one record in the tree, but at least one entry. Returns how many it took.
pub(crate) fn encode_entries(key: &[u8], entries: &[Recorded]) -> Result<(Encoded, usize), StoreError> {
    let mut record = Vec::with_capacity(1024);
    record.resize(HEADER_BYTES + COUNT_BYTES, 0);
    record.push(b'[');
    let mut taken: u16 = 0;
    for entry in entries.iter().take(usize::from(u16::MAX)) {
        let before = record.len();
        if taken > 0 {
            record.push(b',');
        }
        write_json(&mut record, entry, 1)?;
        if taken > 0 && record.len() >= INLINE_BYTES_MAX {
            record.truncate(before);
            break;
        }
        taken += 1;
    }
    record.push(b']');
    if let Some(count) = record.get_mut(HEADER_BYTES..HEADER_BYTES + COUNT_BYTES) {
        count.copy_from_slice(&taken.to_be_bytes());
    }
    Ok((finish(Table::Journal, SEVERAL, key, record)?, usize::from(taken)))
}

/// Appends `value`, which will stand `outer` levels deep.
fn write_json<T: Serialize>(record: &mut Vec<u8>, value: &T, outer: u32) -> Result<(), StoreError> {
    let begin = record.len();
    serde_json::to_writer(&mut *record, value)
        .map_err(|error| StoreError::Refused { message: format!("a record cannot be written as JSON: {error}") })?;
    let json = record.get(begin..).unwrap_or_default();
    // Counting is many times faster than following quotes, and settles nearly every record.
    let opened = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if opened + outer as usize > DEPTH_MAX as usize && depth(json) + outer > DEPTH_MAX {
        return Err(StoreError::Refused {
            message: format!("a record is nested deeper than {DEPTH_MAX} levels; send a flatter document"),
        });
    }
    Ok(())
}

/// Seals a record whose JSON stands behind room for its header; too large a one goes into a file.
fn finish(table: Table, flags: u8, key: &[u8], mut record: Vec<u8>) -> Result<Encoded, StoreError> {
    if record.len() <= INLINE_BYTES_MAX {
        seal(table, flags, key, &mut record);
        return Ok(Encoded { record, payload: None });
    }
    let payload = record.split_off(json_begins(flags));
    let name =
        PayloadRef { digest: Digest::from_bytes(sha2::Sha256::digest(&payload).into()), bytes: payload.len() as u64 };
    serde_json::to_writer(&mut record, &name).map_err(|error| StoreError::Refused { message: error.to_string() })?;
    seal(table, flags | IN_FILE, key, &mut record);
    Ok(Encoded { record, payload: Some((name, payload)) })
}

/// Encodes what is known of a file whose bytes lie in the file as they are, whatever their size. `facts` has the members of a [`PayloadRef`].
pub(crate) fn encode_file<T: Serialize>(table: Table, key: &[u8], facts: &T) -> Result<Vec<u8>, StoreError> {
    let mut record = vec![0; HEADER_BYTES];
    write_json(&mut record, facts, 0)?;
    seal(table, IN_FILE, key, &mut record);
    Ok(record)
}

/// What [`encode_file`] was given; the record is checked.
pub(crate) fn file_facts<T: DeserializeOwned>(record: &[u8]) -> Result<T, String> {
    from_json(record.get(HEADER_BYTES..).unwrap_or_default())
}

/// Encodes a body that is no JSON; it must fit into a tree.
pub(crate) fn encode_bytes(table: Table, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEADER_BYTES];
    record.extend_from_slice(body);
    seal(table, 0, key, &mut record);
    record
}

fn json_begins(flags: u8) -> usize {
    if flags & SEVERAL == 0 { HEADER_BYTES } else { HEADER_BYTES + COUNT_BYTES }
}

/// Checks a record of `table` at `key`; says what is wrong with it.
pub(crate) fn open<'a>(table: Table, key: &[u8], record: &'a [u8]) -> Result<Opened<'a>, String> {
    let Some((crc, rest)) = record.split_first_chunk::<4>() else {
        return Err("it is too short for a record".to_owned());
    };
    if u32::from_be_bytes(*crc) != checksum(table, key, rest) {
        return Err("its check sum is wrong".to_owned());
    }
    let [format, kind, rest @ ..] = rest else { return Err("it is too short for a record".to_owned()) };
    if *format > RECORD_FORMAT {
        return Err(format!("it has record format {format}, and this version reads up to {RECORD_FORMAT}"));
    }
    if kind & !(IN_FILE | SEVERAL) != table.kind() {
        return Err(format!("it is of kind {kind}, which does not belong here"));
    }
    let (entries, json) = match rest.split_first_chunk::<COUNT_BYTES>() {
        Some((count, json)) if kind & SEVERAL != 0 => (Some(u16::from_be_bytes(*count)), json),
        None if kind & SEVERAL != 0 => return Err("it is too short for a record".to_owned()),
        _ => (None, rest),
    };
    if kind & IN_FILE == 0 {
        return Ok(Opened { body: Body::Inline(json), entries });
    }
    let name = serde_json::from_slice(json).map_err(|error| format!("it names no payload file: {error}"))?;
    Ok(Opened { body: Body::File(name), entries })
}

pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| format!("its JSON does not read: {error}"))
}

fn seal(table: Table, flags: u8, key: &[u8], record: &mut [u8]) {
    if let Some((crc, rest)) = record.split_first_chunk_mut::<4>() {
        if let [format, kind, ..] = rest {
            *format = RECORD_FORMAT;
            *kind = table.kind() | flags;
        }
        *crc = checksum(table, key, rest).to_be_bytes();
    }
}

fn checksum(table: Table, key: &[u8], rest: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[table.kind()]);
    crc.update(key);
    crc.update(rest);
    crc.finalize()
}

/// How deep arrays and objects nest in valid JSON.
fn depth(json: &[u8]) -> u32 {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_u32, 0, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_refused_after_any_single_flipped_bit_or_under_another_key() {
        let encoded = encode(Table::Runs, b"key", &serde_json::json!({"a": [1, 2, {"b": "x\"]"}]})).unwrap();
        assert!(matches!(open(Table::Runs, b"key", &encoded.record), Ok(Opened { body: Body::Inline(_), .. })));
        assert!(open(Table::Runs, b"kez", &encoded.record).is_err());
        assert!(open(Table::Journal, b"key", &encoded.record).is_err());
        for bit in 0..encoded.record.len() * 8 {
            let mut damaged = encoded.record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Table::Runs, b"key", &damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_above_four_kib_names_a_file_and_one_below_does_not() {
        let small = encode(Table::Journal, b"k", &"x".repeat(INLINE_BYTES_MAX - HEADER_BYTES - 2)).unwrap();
        assert_eq!((small.record.len(), small.payload.is_none()), (INLINE_BYTES_MAX, true));
        let large = encode(Table::Journal, b"k", &"x".repeat(INLINE_BYTES_MAX - HEADER_BYTES - 1)).unwrap();
        let (name, payload) = large.payload.unwrap();
        assert_eq!(name.digest, Digest::of(&payload));
        assert!(
            matches!(open(Table::Journal, b"k", &large.record), Ok(Opened { body: Body::File(found), .. }) if found == name)
        );
    }

    #[test]
    fn a_record_of_a_newer_format_is_refused_by_name() {
        let mut record = encode(Table::Runs, b"k", &1).unwrap().record;
        record[4] = RECORD_FORMAT + 1;
        let crc = checksum(Table::Runs, b"k", &record[4..]);
        record[..4].copy_from_slice(&crc.to_be_bytes());
        assert!(open(Table::Runs, b"k", &record).unwrap_err().contains("record format 3"));
    }

    #[test]
    fn nothing_is_written_that_is_too_deep_to_be_read() {
        let nested =
            |levels: usize| (0..levels).fold(serde_json::json!("[[[\"[["), |inner, _| serde_json::json!([inner]));
        let written = encode(Table::Journal, b"k", &nested(120)).unwrap().record;
        assert!(from_json::<serde_json::Value>(&written[HEADER_BYTES..]).is_ok());
        let refused = encode(Table::Journal, b"k", &nested(121)).unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}: trying again would be in vain");
    }
}
