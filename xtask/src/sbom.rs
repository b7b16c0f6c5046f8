//! `cargo xtask sbom`: what the shipped programs are made of, as CycloneDX 1.6 (JSON).
//!
//! Out of the lock file and cargo's own account of what each program links or is built by; what tests alone need is not in it.
//! The same commit gives the same file, byte for byte: no clock and no random number is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::workspace;

/// The crates of the programs that are shipped.
const SHIPPED: [&str; 4] = ["taxdisk-agent", "taxdisk-broker", "taxdisk-portal", "taxdisk"];

/// Where it goes.
#[derive(Debug, Args)]
pub(crate) struct SbomArgs {
    /// The file; left out: target/taxdisk.cdx.json
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    repository: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Debug, Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
struct DepKind {
    /// `dev` is for tests; `build` runs at the build, and none is linked.
    kind: Option<String>,
}

/// The system that the programs are shipped for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Writes the file.
///
/// # Errors
/// Cargo does not say what is needed, or the file cannot be written.
pub(crate) fn run(args: &SbomArgs) -> Result<(), String> {
    let to = args.to.clone().unwrap_or_else(|| workspace::target().join("taxdisk.cdx.json"));
    let (text, components) = document()?;
    std::fs::write(&to, text).map_err(|error| format!("{}: {error}", to.display()))?;
    println!("{}: {components} components", to.display());
    Ok(())
}

/// The document, and how many components it has.
fn document() -> Result<(String, usize), String> {
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET];
    let metadata = workspace::output(workspace::cargo(&arguments))?;
    let metadata: Metadata = serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    // Cargo's metadata also names what a weak feature would reach if something else had switched it on.
    let arguments = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--target", TARGET];
    let mut tree = workspace::cargo(&arguments);
    tree.args(SHIPPED.iter().flat_map(|name| ["--package", name]));
    let tree = workspace::output(tree)?;
    let linked = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(made(&metadata, &lock, &linked.collect()))
}

fn made(metadata: &Metadata, lock: &str, linked: &BTreeSet<(String, String)>) -> (String, usize) {
    let packages: BTreeMap<&str, &Package> = metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let needed = |node: &Node| -> BTreeSet<String> {
        let shipped = |dep: &&Dep| dep.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
        let is_linked = |dep: &&Dep| {
            let package = packages.get(dep.pkg.as_str());
            package.is_some_and(|package| linked.contains(&(package.name.clone(), package.version.clone())))
        };
        node.deps.iter().filter(shipped).filter(is_linked).map(|dep| dep.pkg.clone()).collect()
    };
    let mut open: Vec<String> =
        metadata.packages.iter().filter(|package| SHIPPED.contains(&package.name.as_str())).map(|one| one.id.clone()).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if reached.insert(id.clone())
            && let Some(node) = nodes.get(id.as_str())
        {
            open.extend(needed(node));
        }
    }
    let checksums = checksums(lock);
    let reference = |package: &Package| format!("pkg:cargo/{}@{}", package.name, package.version);
    let mut components = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    for package in reached.iter().filter_map(|id| packages.get(id.as_str())) {
        let own = SHIPPED.contains(&package.name.as_str());
        let mut component = json!({
            "type": if own { "application" } else { "library" },
            "bom-ref": reference(package), "purl": reference(package), "name": package.name, "version": package.version,
        });
        if let Some(license) = &package.license {
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        if let Some(sum) = checksums.get(&(package.name.as_str(), package.version.as_str())) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        if let (Some(_), Some(repository)) = (&package.source, &package.repository) {
            component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
        }
        components.insert(reference(package), component);
        if let Some(node) = nodes.get(package.id.as_str()) {
            let on: BTreeSet<String> =
                needed(node).iter().filter_map(|id| packages.get(id.as_str())).map(|package| reference(package)).collect();
            dependencies.insert(reference(package), on);
        }
    }
    let count = components.len();
    let dependencies: Vec<Value> = dependencies.into_iter().map(|(of, on)| json!({ "ref": of, "dependsOn": on })).collect();
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "serialNumber": serial(lock),
        "metadata": { "component": { "type": "application", "bom-ref": "taxdisk", "name": "taxdisk", "version": env!("CARGO_PKG_VERSION") } },
        "components": components.into_values().collect::<Vec<_>>(), "dependencies": dependencies,
    });
    (format!("{document:#}\n"), count)
}

/// The same lock file, the same number: a UUID of version 8 (RFC 9562), made of its hash.
fn serial(lock: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(lock)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    format!("urn:uuid:{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// Of each package in the lock file that has one.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(|text| text.trim_matches('"'))
        };
        if let (Some(name), Some(version), Some(sum)) = (field("name"), field("version"), field("checksum")) {
            found.insert((name, version), sum);
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_in_it_with_what_they_link_and_nothing_that_tests_alone_need() {
        let (text, count) = document().unwrap();
        assert_eq!(text, document().unwrap().0, "the same commit gives the same file");
        let document: Value = serde_json::from_str(&text).unwrap();
        let components = document["components"].as_array().unwrap();
        assert_eq!(components.len(), count);
        let names: BTreeSet<&str> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
        for shipped in SHIPPED.iter().chain(&["taxdisk-protocol", "rustls", "sqlx", "sled", "tokio"]) {
            assert!(names.contains(shipped), "{shipped}");
        }
        for test_only in ["stateright", "proptest", "insta", "rcgen", "taxdisk-tests", "xtask"] {
            assert!(!names.contains(test_only), "{test_only}");
        }
        for component in components.iter().filter(|one| !one["name"].as_str().unwrap().starts_with("taxdisk")) {
            assert_eq!(component["hashes"][0]["content"].as_str().map(str::len), Some(64), "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        // Known by its checksum, and so from nowhere else than the registry of the lock file.
        let references: BTreeSet<&str> = components.iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
        for dependency in document["dependencies"].as_array().unwrap() {
            let on = dependency["dependsOn"].as_array().unwrap();
            assert!(on.iter().all(|on| references.contains(on.as_str().unwrap())), "{dependency}");
        }
    }

    /// The values of a list of deny.toml.
    fn list(policy: &str, name: &str) -> Vec<String> {
        let rest = policy.split_once(&format!("\n{name} = [")).map_or("", |(_, rest)| rest);
        let list = rest.split_once("\n]").map_or(rest, |(list, _)| list);
        list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// What `cargo deny check bans licenses sources` looks at, for whoever does not have that program: advisories alone need
    /// it, and a network.
    #[test]
    fn nothing_that_is_banned_without_a_licence_or_from_elsewhere_is_linked() {
        let policy = std::fs::read_to_string(workspace::root().join("deny.toml")).unwrap();
        let allowed = list(&policy, "allow");
        assert!(allowed.len() > 5 && allowed.contains(&"MIT".to_owned()), "{allowed:?}");
        let bans = policy.split_once("[bans]").unwrap().1;
        let banned: Vec<&str> = bans.split("crate = \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(banned.contains(&"ring") && banned.contains(&"openssl-sys"), "{banned:?}");
        let good = |license: &str| {
            // `A OR B AND C`: AND binds closer. Parentheses stand around ORs only, and are taken as needing all of them.
            let any = |text: &str| {
                text.split(" OR ").any(|all| all.split(" AND ").all(|one| allowed.iter().any(|known| known == one.trim())))
            };
            match license.contains('(') {
                false => any(license),
                true => license.split(" AND ").all(|part| any(part.trim().trim_matches(['(', ')']))),
            }
        };
        assert!(
            good("GPL-3.0 OR MIT") && !good("GPL-3.0") && !good("MIT AND GPL-3.0") && good("(MIT OR GPL-2.0) AND Unicode-3.0")
        );
        let (text, _) = document().unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        for component in document["components"].as_array().unwrap() {
            let name = component["name"].as_str().unwrap();
            assert!(!banned.contains(&name), "{name} is banned by deny.toml");
            let license = component["licenses"][0]["expression"].as_str().unwrap_or("none");
            assert!(good(license), "{name}: the licence {license} is not one that deny.toml allows");
        }
        let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock")).unwrap();
        let sources: BTreeSet<&str> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
        assert_eq!(sources, BTreeSet::from(["\"registry+https://github.com/rust-lang/crates.io-index\""]));
    }
}
