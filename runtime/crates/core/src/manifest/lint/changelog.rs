//! The changelog: newest first, each version once, sentences that a terminal can show.

use super::{Findings, Text};
use crate::manifest::Manifest;

/// Versions that are listed at most: whoever looks further back reads the repository.
const RELEASES_MAX: usize = 50;

/// Changes of one version.
const CHANGES_MAX: usize = 30;

/// A change is a sentence or two.
const CHANGE_CHARS_MAX: usize = 500;

impl Findings {
    pub(super) fn changelog(&mut self, manifest: &Manifest) {
        let releases = &manifest.changelog;
        if releases.len() > RELEASES_MAX {
            self.error("/changelog", format!("it lists {} versions; keep the newest {RELEASES_MAX}", releases.len()));
        }
        for (index, pair) in releases.windows(2).enumerate() {
            if let [newer, older] = pair
                && newer.version <= older.version
            {
                let message =
                    format!("the newest stands first, each once: {} comes after {}", older.version, newer.version);
                self.error(format!("/changelog/{}/version", index + 1), message);
            }
        }
        for (index, release) in releases.iter().enumerate() {
            let at = format!("/changelog/{index}/changes");
            if release.changes.is_empty() || release.changes.len() > CHANGES_MAX {
                let message = format!(
                    "version {} has {} changes; write from one to {CHANGES_MAX}",
                    release.version,
                    release.changes.len()
                );
                self.error(&at, message);
            }
            for (number, change) in release.changes.iter().enumerate() {
                let rule = Text { what: "a change", chars_max: CHANGE_CHARS_MAX, lines: false };
                self.text(&format!("{at}/{number}"), change, rule);
            }
        }
        let own = &manifest.version;
        match releases.first() {
            Some(newest) if newest.version > *own => {
                let message = format!("it tells of {}, and this is {own}", newest.version);
                self.error("/changelog/0/version", message);
            }
            Some(newest) if newest.version < *own => {
                let message =
                    format!("it says nothing of this version, {own}; write what is new for those who use the plugin");
                self.warning("/changelog/0/version", message);
            }
            _ => {}
        }
    }
}
