//! The master key as a file of the data directory, `secrets-key`: what a server has that nobody told where its key is.

use std::path::Path;

use anyhow::{Context, Result, bail};
use flowcell_core::ports::Entropy;
use zeroize::Zeroizing;

use super::key::MasterKey;
use crate::data_dir::{read_secret, write_whole};

/// Whether a missing key may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needed {
    /// Nothing is sealed: any key will do.
    New,
    /// Only the key with which the stored secrets were sealed will do.
    OfStoredSecrets,
}

/// Reads the key; makes it where nothing hangs on it yet.
pub(crate) fn load(path: &Path, needed: Needed, entropy: &dyn Entropy) -> Result<MasterKey> {
    match (read_secret(path)?.map(Zeroizing::new), needed) {
        (Some(bytes), _) => {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            text.parse().with_context(|| format!("{} cannot be used", path.display()))
        }
        (None, Needed::New) => {
            let key = MasterKey::generate(entropy);
            write(path, &key)?;
            Ok(key)
        }
        (None, Needed::OfStoredSecrets) => bail!(
            "{} is missing, and the secrets of the stored connections are sealed with it. Put it back from a backup. If it is lost for good, \
             these secrets are lost too: start once with --give-up-secrets, then give each connection its secret again with `flowcell connection rotate`",
            path.display()
        ),
    }
}

/// Writes the key, whole and synced before it takes the name.
pub(crate) fn write(path: &Path, key: &MasterKey) -> Result<()> {
    let text = key.to_text();
    let line = Zeroizing::new([text.as_bytes(), b"\n"].concat());
    write_whole(path, &line)
}
