//! A folder of `*.wasm` files. One that cannot be used does not stop the others; it is reported by name.

use std::io::{self, Read};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use flowcell_core::ports::{InstalledPlugin, PluginProblem, PluginProblemKind};

use super::load;
use crate::package::BYTES_MAX;

/// More files than this are no folder of plugins but a mistake in `--plugins`; each one is read whole and held in memory.
const FILES_MAX: usize = 1_000;

pub(super) struct Found {
    /// By file name.
    pub(super) plugins: Vec<InstalledPlugin>,
    pub(super) problems: Vec<PluginProblem>,
}

/// Reads every `*.wasm` in `path`, not in folders below it.
pub(super) fn read(path: &Path) -> io::Result<Found> {
    let dir = Dir::open_ambient_dir(path, ambient_authority())?;
    let mut names = Vec::new();
    for entry in dir.entries()? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "wasm") {
            names.push(name);
        }
    }
    names.sort();
    let mut found = Found { plugins: Vec::new(), problems: Vec::new() };
    for (index, name) in names.iter().enumerate() {
        let origin = path.join(name).display().to_string();
        let loaded = if index < FILES_MAX {
            read_file(&dir, Path::new(name))
                .and_then(|bytes| load(bytes, origin.clone()).map_err(|error| error.to_string()))
        } else {
            Err(format!("the folder holds more than {FILES_MAX} plugins; this one is left out"))
        };
        match loaded {
            Ok(plugin) => found.plugins.push(plugin),
            Err(message) => found.problems.push(PluginProblem { origin, kind: PluginProblemKind::Broken, message }),
        }
    }
    Ok(found)
}

/// Reads a file of at most [`BYTES_MAX`] bytes; only a regular one, because opening a pipe waits for ever.
pub(super) fn read_file(dir: &Dir, name: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("the file cannot be read: {error}");
    let metadata = dir.metadata(name).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("this is no file; remove it, or give it a name that does not end in `.wasm`".to_owned());
    }
    // One byte beyond the limit is read, so that `package::read` can say that it is too large.
    let most = BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    dir.open(name).map_err(unreadable)?.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
