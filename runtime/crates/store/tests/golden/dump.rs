//! A store as lines of text, and back: what a golden store is kept as. sled's own files are large, preallocated and of sled's making; what
//! is ours in them are keys and records.
//!
//! ```text
//! # anything
//! file MANIFEST {"store":"flowcell","format":1,…}\x0a
//! row runs \x00\x00\x00\x01… \x1c\xf4…{"id":"run_…",…}
//! end {"id":"run_…","status":"succeeded",…}       what the run came to, as the version said that wrote it
//! ```
//! Bytes that are no printable ASCII, blanks in keys and backslashes are written `\xNN`.

use std::fmt::Write as _;
use std::path::Path;

use flowcell_core::run::fold::RunSummary;

/// As the store opens it: sled refuses another size of segments.
fn open(store: &Path) -> sled::Db {
    sled::Config::new().path(store.join("sled")).segment_size(4 << 20).flush_every_ms(None).open().unwrap()
}

/// Everything that is ours in a store that nobody has open, and what its runs came to.
pub(crate) fn of(store: &Path, title: &str, ends: &[RunSummary]) -> String {
    let mut text = format!("# {title}\n");
    let mut files: Vec<_> = ["MANIFEST", "acknowledged", "wal"].map(str::to_owned).to_vec();
    for folder in std::fs::read_dir(store.join("blobs")).unwrap() {
        let folder = folder.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let (folder, file) = (folder.file_name(), file.unwrap().file_name());
            files.push(format!("blobs/{}/{}", folder.to_str().unwrap(), file.to_str().unwrap()));
        }
    }
    files.sort();
    for name in files {
        let mut content = std::fs::read(store.join(&name)).unwrap();
        if name == "wal" {
            // It is longer than what is in it.
            content.truncate(content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        }
        writeln!(text, "file {name} {}", escaped(&content, false)).unwrap();
    }
    let db = open(store);
    let mut trees: Vec<_> = db.tree_names().into_iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
    trees.sort();
    for tree in trees.into_iter().filter(|tree| !tree.starts_with("__")) {
        for row in &db.open_tree(&tree).unwrap() {
            let (key, record) = row.unwrap();
            writeln!(text, "row {tree} {} {}", escaped(&key, true), escaped(&record, false)).unwrap();
        }
    }
    for end in ends {
        writeln!(text, "end {}", serde_json::to_string(end).unwrap()).unwrap();
    }
    text
}

/// Makes the store again, in an empty directory, and returns what its runs came to.
pub(crate) fn load(text: &str, store: &Path) -> Vec<RunSummary> {
    let mut ends = Vec::new();
    let db = open(store);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "file" => {
                let (name, content) = rest.split_once(' ').unwrap();
                let path = store.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, unescaped(content)).unwrap();
            }
            "row" => {
                let mut parts = rest.splitn(3, ' ');
                let [tree, key, record] = [(); 3].map(|()| parts.next().unwrap());
                db.open_tree(tree).unwrap().insert(unescaped(key), unescaped(record)).unwrap();
            }
            "end" => ends.push(serde_json::from_str(rest).unwrap()),
            other => panic!("a line of an unknown kind: {other}"),
        }
    }
    db.flush().unwrap();
    ends
}

fn escaped(bytes: &[u8], is_key: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            b' ' if is_key => text.push_str("\\x20"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'\\' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap());
            rest = &after[3..];
        } else {
            bytes.push(*byte);
        }
    }
    bytes
}
