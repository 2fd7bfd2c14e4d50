//! Where the master key comes from: a file of the data directory, which the first start makes, or one that the operator names; the environment;
//! or a command, such as the client of a key store.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flowcell_core::ports::Entropy;
use flowcell_core::secret::Secret;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::key::MasterKey;
use super::key_file::{self, Needed};

/// How long a command may take: it may ask a key store across the network.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a command may print: a key has 57 characters.
const OUTPUT_BYTES_MAX: u64 = 4 * 1024;

/// The variables, as messages name them; `config` reads them.
pub(crate) const VARIABLE: &str = "FLOWCELL_SECRETS_KEY";
pub(crate) const PREVIOUS_VARIABLE: &str = "FLOWCELL_SECRETS_KEY_PREVIOUS";

#[derive(Clone)]
pub(crate) enum KeySource {
    File(PathBuf),
    Environment {
        key: Option<Secret<String>>,
        /// The one before, as long as secrets are sealed with it.
        previous: Option<Secret<String>>,
    },
    /// The program and its arguments.
    Command(Vec<String>),
}

/// What a source gives.
#[derive(Debug)]
pub(crate) struct Sourced {
    pub(crate) key: MasterKey,
    pub(crate) previous: Option<MasterKey>,
}

impl KeySource {
    /// The key as it is now. Only a file is made when it is not there and may be.
    pub(crate) async fn load(&self, needed: Needed, entropy: &dyn Entropy) -> Result<Sourced> {
        match self {
            Self::File(path) => Ok(Sourced { key: key_file::load(path, needed, entropy)?, previous: None }),
            Self::Environment { key, previous } => {
                let Some(key) = key else {
                    bail!(
                        "`secrets.key_from` is \"environment\", and {VARIABLE} is not set; `flowcell secrets new-key` prints a key"
                    )
                };
                let parse = |text: &Secret<String>, name: &str| {
                    text.expose().parse::<MasterKey>().with_context(|| format!("{name} cannot be used"))
                };
                let previous = previous.as_ref().map(|text| parse(text, PREVIOUS_VARIABLE)).transpose()?;
                Ok(Sourced { key: parse(key, VARIABLE)?, previous })
            }
            Self::Command(words) => Ok(Sourced { key: command(words).await?, previous: None }),
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Environment { .. } => format!("the variable {VARIABLE}"),
            Self::Command(words) => format!("the command `{}`", words.first().map_or("", String::as_str)),
        }
    }
}

/// Asks the command. Its arguments are not shown: one may be a password, however bad that is.
async fn command(words: &[String]) -> Result<MasterKey> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("`secrets.key_from` is \"command\", and `secrets.key_command` is empty")
    };
    let failed = || format!("the command `{program}` of `secrets.key_command`");
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", failed()))?;
    let mut printed = Zeroizing::new(String::new());
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(OUTPUT_BYTES_MAX).read_to_string(&mut printed).await?;
        }
        child.wait().await
    });
    let status = ended
        .await
        .with_context(|| format!("{} did not end within {} s", failed(), COMMAND_TIMEOUT.as_secs()))?
        .with_context(|| format!("{} cannot be read", failed()))?;
    if !status.success() {
        bail!("{} failed ({status}); it has to print the secrets key", failed());
    }
    printed.parse().with_context(|| format!("what {} printed cannot be used", failed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    async fn of(source: KeySource) -> Result<Sourced> {
        source.load(Needed::New, &SystemEntropy).await
    }

    #[tokio::test]
    async fn a_key_comes_from_the_environment_or_a_command() {
        let key = MasterKey::generate(&SystemEntropy);
        let text = || Secret::new(key.to_text().to_string());
        let previous = MasterKey::generate(&SystemEntropy);
        let both =
            KeySource::Environment { key: Some(text()), previous: Some(Secret::new(previous.to_text().to_string())) };
        let both = of(both).await.unwrap();
        assert_eq!((both.key.id(), both.previous.map(|key| key.id())), (key.id(), Some(previous.id())));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, text().expose()).unwrap();
        let cat = of(KeySource::Command(vec!["cat".to_owned(), file.display().to_string()])).await.unwrap();
        assert_eq!(cat.key.id(), key.id());
    }

    #[tokio::test]
    async fn what_gives_no_key_is_named_and_never_shown() {
        let words = |words: &[&str]| KeySource::Command(words.iter().map(ToString::to_string).collect());
        let variable = |text: &str| KeySource::Environment { key: Some(Secret::new(text.to_owned())), previous: None };
        for (source, said) in [
            (KeySource::Environment { key: None, previous: None }, "FLOWCELL_SECRETS_KEY is not set"),
            (variable("hunter2"), "no secrets key"),
            (words(&[]), "`secrets.key_command` is empty"),
            (words(&["/nowhere/at-all", "hunter2"]), "cannot be started"),
            (words(&["false", "hunter2"]), "failed"),
            (words(&["echo", "hunter2"]), "no secrets key"),
        ] {
            let error = format!("{:#}", of(source).await.unwrap_err());
            assert!(error.contains(said) && !error.contains("hunter2"), "{said}: {error}");
        }
    }
}
