//! Files that a command is given: never read beyond what they may be large, and said plainly when they are not what they should be.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read_file(file: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    let name = file.display().to_string();
    let opened = std::fs::File::open(file).with_context(|| format!("{name} cannot be read"))?;
    read(opened, &name, bytes_max)
}

/// Reads a workflow; `-` is standard input.
pub(crate) fn read_workflow(file: &Path) -> Result<String> {
    let bytes = if file == Path::new("-") {
        read(std::io::stdin().lock(), "standard input", flowcell_core::workflow::text::BYTES_MAX)?
    } else {
        read_file(file, flowcell_core::workflow::text::BYTES_MAX)?
    };
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{name} is not UTF-8 text; a workflow is YAML or JSON"))
}

/// Reads any file; `-` is standard input.
pub(crate) fn read_any(file: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    if file == Path::new("-") {
        return read(std::io::stdin().lock(), "standard input", bytes_max);
    }
    read_file(file, bytes_max)
}

/// The largest JSON document that is sent: what the server takes by default (`http.body_bytes_max`).
const JSON_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Reads a JSON document; `-` is standard input.
pub(crate) fn read_json(file: &Path) -> Result<serde_json::Value> {
    let (bytes, name) = if file == Path::new("-") {
        let name = "standard input".to_owned();
        (read(std::io::stdin().lock(), &name, JSON_BYTES_MAX)?, name)
    } else {
        (read_file(file, JSON_BYTES_MAX)?, file.display().to_string())
    };
    serde_json::from_slice(&bytes).map_err(|error| anyhow::anyhow!("{name} is not JSON: {error}"))
}

/// Puts a text in the place of a file: the new one is complete before it takes the name.
pub(crate) fn replace_file(file: &Path, text: &str) -> Result<()> {
    let name = file.display().to_string();
    // What a link names is replaced, not the link.
    let file = file.canonicalize().with_context(|| format!("{name} cannot be found"))?;
    let mut beside = file.clone().into_os_string();
    beside.push(".new");
    let beside = std::path::PathBuf::from(beside);
    let write = || {
        std::fs::write(&beside, text)?;
        std::fs::set_permissions(&beside, std::fs::metadata(&file)?.permissions())?;
        std::fs::rename(&beside, &file)
    };
    write().with_context(|| format!("{name} cannot be written; it is as it was"))
}

fn read(source: impl Read, name: &str, bytes_max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells whether there is more.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes).with_context(|| format!("{name} cannot be read"))?;
    if bytes.len() > bytes_max {
        bail!("{name} has more than {bytes_max} bytes, the most that is read. Is it the right file?");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_endless_ones_end() {
        assert_eq!(read(&b"four"[..], "f", 4).unwrap(), b"four");
        let error = read(std::io::repeat(b'x'), "f", 4).unwrap_err();
        assert_eq!(error.to_string(), "f has more than 4 bytes, the most that is read. Is it the right file?");
    }

    #[test]
    fn a_workflow_that_is_no_text_is_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.yaml");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        let error = read_workflow(&file).unwrap_err().to_string();
        assert!(error.ends_with("w.yaml is not UTF-8 text; a workflow is YAML or JSON"), "{error}");
        let error = format!("{:#}", read_workflow(&folder.path().join("none.yaml")).unwrap_err());
        assert!(error.contains("none.yaml cannot be read: "), "{error}");
    }
}
