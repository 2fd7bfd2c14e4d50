//! Licences, sources and version floors, from `cargo metadata`: works without a network. `deny.toml` says the same to `cargo deny`.

use anyhow::{Result, bail};
use cargo_metadata::{MetadataCommand, Package};

use crate::shell;

/// Licences that everything we link may carry (any part of an `OR`, every part of an `AND`). The same list stands in `deny.toml`.
const LICENCES: [&str; 12] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "CDLA-Permissive-2.0",
];

/// Below these versions stand known holes; see `docs/security.md`.
const FLOORS: [(&str, [u64; 3]); 3] =
    [("wasmtime", [48, 0, 8]), ("wasmtime-wasi-http", [48, 0, 8]), ("hyper", [1, 12, 0])];

/// Crates that must not be in the tree, and why.
const BANNED: [(&str, &str); 3] = [
    ("openssl-sys", "TLS is rustls"),
    ("reqwest", "everything outbound goes through the door"),
    ("serde_yaml", "unmaintained; saphyr-parser reads YAML"),
];

pub(crate) fn check() -> Result<()> {
    shell::step("Supply chain: licences, sources, version floors");
    let metadata = MetadataCommand::new()
        .current_dir(shell::root())
        .other_options(vec!["--locked".to_owned(), "--all-features".to_owned()])
        .exec()?;
    let mut problems = Vec::new();
    for package in &metadata.packages {
        problems.extend(problem_of(package));
    }
    if !problems.is_empty() {
        bail!("the dependencies break our rules:\n  {}", problems.join("\n  "));
    }
    println!(
        "  {} packages, all from the registry or this checkout, all under permitted licences",
        metadata.packages.len()
    );
    Ok(())
}

fn problem_of(package: &Package) -> Option<String> {
    let (name, version) = (package.name.as_str(), &package.version);
    let ours = package.source.is_none();
    if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
        return Some(format!("{name} {version} is banned: {why}"));
    }
    if let Some(source) = &package.source
        && !source.is_crates_io()
    {
        return Some(format!("{name} {version} comes from {source}, not from the registry"));
    }
    if let Some((_, floor)) = FLOORS.iter().find(|(floored, _)| *floored == name)
        && [version.major, version.minor, version.patch] < *floor
    {
        return Some(format!("{name} {version} is below its floor {floor:?}"));
    }
    match &package.license {
        Some(licence) if ours || permitted(licence) => None,
        Some(licence) => Some(format!("{name} {version} is under `{licence}`")),
        None => Some(format!("{name} {version} names no licence")),
    }
}

/// Whether an SPDX expression can be satisfied with what we permit.
fn permitted(expression: &str) -> bool {
    spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|requirement| LICENCES.contains(&requirement.to_string().as_str())))
}

#[cfg(test)]
mod tests {
    use super::permitted;

    #[test]
    fn an_expression_is_permitted_when_it_can_be_satisfied() {
        for (expression, good) in [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("", false),
        ] {
            assert_eq!(permitted(expression), good, "{expression}");
        }
    }
}
