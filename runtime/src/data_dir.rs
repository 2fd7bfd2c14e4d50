//! The data directory: what one installation keeps, readable by its owner only.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flowcell_core::id::Digest;
use flowcell_core::ports::Entropy;

use crate::token::{InstanceKey, generate_admin_token};

/// One installation's directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Creates the directory where it is missing; only its owner may enter. One that is there keeps its mode, if nobody else may write in it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                bail!("{} is a file, not a folder; name another with --data", path.display())
            }
            Ok(found) if found.permissions().mode() & OTHERS_WRITE != 0 => bail!(
                "others than its owner may write in the data directory {}, so nothing in it could be trusted. Take that away: chmod go-w '{}'",
                path.display(),
                path.display()
            ),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("the data directory {} cannot be created", path.display()))?,
            Err(error) => {
                return Err(error).with_context(|| format!("the data directory {} cannot be read", path.display()));
            }
        }
        let path = path.canonicalize().with_context(|| format!("the data directory {} vanished", path.display()))?;
        let data = Self(path);
        // Others may look into a directory that was there before, but not at runs and workflows.
        for folder in [data.store(), data.plugins(), data.code_cache()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("{} cannot be created", folder.display()))?;
        }
        Ok(data)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }
    pub(crate) fn plugins(&self) -> PathBuf {
        self.0.join("plugins")
    }
    pub(crate) fn code_cache(&self) -> PathBuf {
        self.0.join("code")
    }
    /// Where plugins keep their files, each in a directory of its own. Made when the first one does.
    pub(crate) fn plugin_files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// Where the key of stored secrets lies, when nobody says otherwise.
    pub(crate) fn secrets_key(&self) -> PathBuf {
        self.0.join("secrets-key")
    }

    /// Where an exchange of that key is noted while it goes on.
    pub(crate) fn secrets_rotation(&self) -> PathBuf {
        self.0.join("secrets-rotation")
    }

    /// Reads the instance key; makes it where nothing hangs on it yet.
    pub(crate) fn instance_key(&self, needed: KeyNeeded, entropy: &dyn Entropy) -> Result<InstanceKey> {
        let path = self.0.join("instance-key");
        let bytes = match (read_secret(&path)?, needed) {
            (Some(bytes), _) => bytes,
            (None, KeyNeeded::New) => create(&path, InstanceKey::generate(entropy).as_bytes().to_vec())?,
            (None, KeyNeeded::OfStoredWorkflows) => bail!(
                "{} is missing, and the workflows stored beside it have their trigger URLs and idempotency keys from it. Put it back from a \
                 backup; or, to start anew without those workflows and their runs, name another folder with --data",
                path.display()
            ),
        };
        let Ok(bytes) = <[u8; 32]>::try_from(bytes) else {
            bail!(
                "{} is not an instance key (32 bytes). Put the right file back from a backup; a new key would change every trigger's URL",
                path.display()
            );
        };
        Ok(InstanceKey::from_bytes(bytes))
    }

    /// Reads the administrator's token; makes it at the first start.
    pub(crate) fn admin_token(&self, entropy: &dyn Entropy) -> Result<String> {
        let path = admin_token_file(&self.0);
        let bytes = match read_secret(&path)? {
            Some(bytes) => bytes,
            None => create(&path, format!("{}\n", generate_admin_token(entropy)).into_bytes())?,
        };
        let token = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
        if token.len() < TOKEN_LENGTH_MIN {
            bail!("{} holds no token. Remove the file: the next start writes a new one", path.display());
        }
        Ok(token)
    }

    /// Notes the digests of the plugins in this binary and returns those of every binary that ever ran here: first-party plugins, also
    /// after an upgrade has replaced them.
    pub(crate) fn first_party(&self, current: impl IntoIterator<Item = Digest>) -> Result<BTreeSet<Digest>> {
        let path = self.0.join("first-party-plugins");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let known =
            text.lines().filter(|line| !line.is_empty()).map(str::parse::<Digest>).collect::<Result<BTreeSet<_>, _>>();
        let known = known.with_context(|| format!("{} is damaged; restore it from a backup", path.display()))?;
        let all: BTreeSet<Digest> = known.iter().copied().chain(current).collect();
        if all != known {
            let text: String = all.iter().map(Digest::to_string).collect::<Vec<_>>().join("\n");
            write_whole(&path, text.as_bytes())?;
        }
        Ok(all)
    }
}

/// Whether a missing instance key may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyNeeded {
    /// The store holds no workflow: any key will do.
    New,
    /// Only the key with which they were stored will do.
    OfStoredWorkflows,
}

/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;

/// Every permission of group and others.
const OTHERS: u32 = 0o077;

/// 128 bits in base32: whatever is shorter was not made by us and could be guessed.
const TOKEN_LENGTH_MIN: usize = 26;

/// Where the administrator's token of the data directory `data` lies.
pub(crate) fn admin_token_file(data: &Path) -> PathBuf {
    data.join("admin-token")
}

/// Reads a secret file, if it is there. One that others may read is refused: it may have been copied, or be somebody else's.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Vec<u8>>> {
    let cannot = || format!("{} cannot be read", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(cannot),
    };
    if file.metadata().with_context(cannot)?.permissions().mode() & OTHERS != 0 {
        bail!(
            "{} is a secret, and others than its owner have access to it. Take that away: chmod 600 '{}'",
            path.display(),
            path.display()
        );
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(cannot)?;
    Ok(Some(bytes))
}

fn create(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    write_whole(path, &bytes)?;
    Ok(bytes)
}

/// Writes a file that only the owner reads, whole and synced under another name first, so that no crash leaves half of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_are_made_once_and_only_the_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("a/b")).unwrap();
        let token = data.admin_token(&SystemEntropy).unwrap();
        let key = data.instance_key(KeyNeeded::New, &SystemEntropy).unwrap();
        assert_eq!(data.admin_token(&SystemEntropy).unwrap(), token);
        let again = data.instance_key(KeyNeeded::OfStoredWorkflows, &SystemEntropy).unwrap();
        assert_eq!(again.as_bytes(), key.as_bytes());
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&admin_token_file(data.path())), 0o600);
        assert_eq!(mode(&data.path().join("instance-key")), 0o600);
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_key_is_not_replaced_once_workflows_hang_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let error = data.instance_key(KeyNeeded::OfStoredWorkflows, &SystemEntropy).unwrap_err().to_string();
        assert!(error.contains("backup") && error.contains("--data"), "{error}");
        assert!(!data.path().join("instance-key").exists());
    }

    #[test]
    fn secrets_that_others_can_read_are_refused_with_the_command_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        data.instance_key(KeyNeeded::New, &SystemEntropy).unwrap();
        data.admin_token(&SystemEntropy).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            set_mode(&data.path().join("instance-key"), mode);
            set_mode(&admin_token_file(data.path()), mode);
            let error = data.instance_key(KeyNeeded::New, &SystemEntropy).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains("instance-key"), "{error}");
            let error = data.admin_token(&SystemEntropy).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains("admin-token"), "{error}");
        }
        set_mode(&admin_token_file(data.path()), 0o400);
        assert!(data.admin_token(&SystemEntropy).is_ok());
    }

    #[test]
    fn a_directory_that_is_there_keeps_its_mode_and_is_refused_if_others_may_write() {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), 0o755);
        DataDir::open(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o755);
        assert_eq!(mode(&folder.path().join("store")), 0o700);
        for open in [0o770, 0o707, 0o1777] {
            set_mode(folder.path(), open);
            let error = DataDir::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains("chmod go-w"), "{error}");
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDir::open(&file).unwrap_err().to_string();
        assert!(error.ends_with("file is a file, not a folder; name another with --data"), "{error}");
    }

    #[test]
    fn first_party_plugins_stay_known_after_an_upgrade() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        assert_eq!(data.first_party([old]).unwrap(), BTreeSet::from([old]));
        assert_eq!(data.first_party([new]).unwrap(), BTreeSet::from([old, new]));
        assert_eq!(data.first_party([]).unwrap(), BTreeSet::from([old, new]));
    }

    #[test]
    fn a_damaged_secret_is_named_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        write_whole(&data.path().join("instance-key"), b"short").unwrap();
        write_whole(&admin_token_file(data.path()), b"\n").unwrap();
        assert!(data.instance_key(KeyNeeded::New, &SystemEntropy).unwrap_err().to_string().contains("backup"));
        assert!(data.admin_token(&SystemEntropy).is_err());
        assert_eq!(std::fs::read(data.path().join("instance-key")).unwrap(), b"short");
    }
}
