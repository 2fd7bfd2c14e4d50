//! Which test files there are, and which workflow each is about.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flowcell_core::testcase::Suite;

use super::{Wrong, beside};
use crate::rehearsal::files::is_yaml;

/// How deep folders are searched: repositories of workflows are shallow, and a link that leads back ends here.
const DEPTH_MAX: usize = 8;

/// The test files that the paths mean, each once, in order.
pub(super) fn test_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        if path.is_dir() {
            search(path, 0, &mut files);
        } else if !path.exists() {
            bail!("{} does not exist", path.display());
        } else if is_test_file(path) {
            files.push(path.clone());
        } else {
            files.extend(tests_of(path));
        }
        if files.len() == before {
            bail!(
                "there are no test cases at {}; they stand in NAME.tests.yaml beside the workflow NAME.yaml, or in a folder `tests` (docs/testing.md)",
                path.display()
            );
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// Whether a file holds test cases, by its name: `x.tests.yaml`, or anything in a folder `tests`.
fn is_test_file(file: &Path) -> bool {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    is_yaml(file) && (stem.strip_suffix(".tests").is_some() || folder == Some("tests") && !is_json(file))
}

/// In a folder `tests`, JSON is what cases are given.
fn is_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

fn search(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    for entry in entries {
        let is_hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if entry.is_dir() {
            if depth < DEPTH_MAX && !is_hidden {
                search(&entry, depth + 1, files);
            }
        } else if is_test_file(&entry) {
            files.push(entry);
        }
    }
}

/// The test files of a workflow file: beside it, and in the folder `tests` beside it those that name it.
fn tests_of(workflow: &Path) -> Vec<PathBuf> {
    let stem = workflow.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut files: Vec<PathBuf> = ["yaml", "yml", "json"]
        .iter()
        .map(|extension| beside(workflow, &format!("{stem}.tests.{extension}")))
        .filter(|file| file.exists())
        .collect();
    let mut in_folder = Vec::new();
    search(&beside(workflow, "tests"), DEPTH_MAX, &mut in_folder);
    let same = |file: &Path| file.canonicalize().ok();
    files.extend(in_folder.into_iter().filter(|file| {
        let suite = crate::cli::input::read_workflow(file).ok().and_then(|text| Suite::parse(&text).ok());
        // One that is wrong is run too, so that it is said.
        suite.is_none_or(|suite| workflow_of(file, &suite).is_ok_and(|found| same(&found) == same(workflow)))
    }));
    files
}

/// The workflow file that a test file is about.
pub(super) fn workflow_of(file: &Path, suite: &Suite) -> Result<PathBuf, Wrong> {
    let found = match &suite.workflow {
        Some(name) => existing(beside(file, name)),
        None => by_name(file),
    };
    found.map_err(|error| Wrong::Message(format!("{error:#}")))
}

fn existing(workflow: PathBuf) -> Result<PathBuf> {
    workflow.metadata().with_context(|| format!("the workflow {} cannot be read", workflow.display()))?;
    Ok(workflow)
}

/// `NAME.yaml` beside `NAME.tests.yaml`; for a file in a folder `tests` the same or `workflow.yaml` in the folder around.
fn by_name(file: &Path) -> Result<PathBuf> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = stem.strip_suffix(".tests").unwrap_or(&stem);
    let folder = file.parent().unwrap_or(Path::new("."));
    let around = if folder.file_name().is_some_and(|name| name == "tests") { folder.parent() } else { None };
    let candidates = [(Some(folder), name), (around, name), (around, "workflow")];
    let candidates = candidates.iter().filter_map(|(folder, name)| Some((*folder)?.join(name)));
    let files = candidates.flat_map(|base| ["yaml", "yml", "json"].map(|extension| with(&base, extension)));
    let found = files.filter(|candidate| candidate != file).find(|candidate| candidate.exists());
    found.with_context(|| format!("which workflow is {} about? Name it: workflow: workflow.yaml", file.display()))
}

fn with(base: &Path, extension: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_name_and_folder_and_know_their_workflow() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let put = |name: &str, text: &str| {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), text).unwrap();
        };
        let cases = "cases: [{ name: a }]\n";
        for (name, text) in [
            ("a/order.yaml", ""),
            ("a/order.tests.yaml", cases),
            ("b/workflow.yaml", ""),
            ("b/tests/good.yaml", cases),
            ("b/tests/lead.json", "{}"),
            ("c/other.yaml", ""),
            ("c/x.tests.yaml", "workflow: other.yaml\ncases: [{ name: a }]\n"),
            (".git/x.tests.yaml", cases),
        ] {
            put(name, text);
        }
        let found = |path: &str| {
            let files = test_files(&[at(path)]).unwrap();
            files.iter().map(|file| file.strip_prefix(root.path()).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(""), ["a/order.tests.yaml", "b/tests/good.yaml", "c/x.tests.yaml"]);
        assert_eq!(found("a/order.yaml"), ["a/order.tests.yaml"]);
        assert_eq!(found("b/workflow.yaml"), ["b/tests/good.yaml"]);
        for (test, workflow) in [
            ("a/order.tests.yaml", "a/order.yaml"),
            ("b/tests/good.yaml", "b/workflow.yaml"),
            ("c/x.tests.yaml", "c/other.yaml"),
        ] {
            let suite = Suite::parse(&std::fs::read_to_string(at(test)).unwrap()).unwrap();
            assert_eq!(workflow_of(&at(test), &suite).unwrap(), at(workflow), "{test}");
        }
        let error = test_files(&[at("c/other.yaml")]).unwrap_err().to_string();
        assert!(error.contains("NAME.tests.yaml"), "{error}");
    }
}
