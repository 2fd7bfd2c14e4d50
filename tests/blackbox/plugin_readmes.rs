//! The READMEs of the plugins: each has examples that do what they say, and a table of what calls cost.

use std::path::PathBuf;

use flowcell_tests::{CliOutput, root};
use serde_json::Value;

fn examples(folders: &[PathBuf]) -> CliOutput {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let folders = folders.iter().map(|folder| folder.to_str().unwrap());
    let arguments: Vec<&str> = ["plugin", "examples", "--json", "--data", data].into_iter().chain(folders).collect();
    CliOutput::of(&arguments)
}

fn plugins() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("plugins")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

#[test]
fn every_readme_has_examples_that_do_what_they_say_and_a_true_table() {
    let folders = plugins();
    let ran = examples(&folders);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let document = ran.json();
    let files = document["files"].as_array().unwrap();
    assert_eq!(files.len(), folders.len());
    for file in files {
        let uses = file["examples"].as_array().unwrap().iter().filter_map(|example| example["uses"].as_str());
        let members: std::collections::BTreeSet<&str> = uses.collect();
        let manifest = PathBuf::from(file["file"].as_str().unwrap()).with_file_name("plugin.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let actions =
            manifest.split("[[actions]]").skip(1).filter_map(|part| part.split("id = \"").nth(1)?.split('"').next());
        for action in actions {
            let has_one = members.iter().any(|uses| uses.contains(&format!("/{action}@")));
            assert!(has_one, "{action} has no example: {file:#}");
        }
    }
}

#[test]
fn every_plugin_asks_for_what_its_readme_says_in_the_words_of_inspect_and_for_nothing_else() {
    for folder in plugins() {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let component = root().join(format!("target/guests/flowcell-{name}.wasm"));
        let inspected = CliOutput::of(&["plugin", "inspect", component.to_str().unwrap()]);
        assert_eq!(inspected.code, Some(0), "{inspected:?}");
        let sentences = |text: &str, heading: &str, end: &str| -> Vec<String> {
            let (_, after) = text.split_once(heading).unwrap_or_else(|| panic!("{name}: no {heading:?} in {text}"));
            let section = after.split(end).next().unwrap_or_default();
            let lines = section.lines().map(|line| line.trim().trim_start_matches("- "));
            lines.filter(|line| line.starts_with("May ")).map(str::to_owned).collect()
        };
        let asked = sentences(&inspected.stdout, "\nCapabilities\n", "\n\n");
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(!asked.is_empty(), "{name}: {}", inspected.stdout);
        assert_eq!(sentences(&readme, "\n## What it may do\n", "\n## "), asked, "{name}");
    }
}

#[test]
fn an_example_that_does_not_do_what_it_says_and_a_table_that_is_old_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let readme = std::fs::read_to_string(root().join("plugins/custom-webhook/README.md")).unwrap();
    let altered =
        readme.replacen("body: { id: 7 }", "body: { id: 8 }", 1).replace("| A form with a file |", "| A form |");
    assert_ne!(readme, altered);
    std::fs::write(folder.path().join("README.md"), altered).unwrap();
    let ran = examples(&[folder.path().to_owned()]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let document = ran.json();
    let problem = &document["files"][0]["examples"][0]["problems"][0];
    assert_eq!(
        (&problem["what"], &problem["came"]),
        (&Value::from("outputs.example.body.id"), &Value::from("7")),
        "{document:#}"
    );
    assert_eq!(document["files"][0]["table"], "the table says nothing of `A form with a file`");
}
