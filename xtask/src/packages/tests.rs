//! The packages as they come out, of the programs that were built for the tests. Installing them: `test-long packages`.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};
use std::sync::LazyLock;

use super::*;

/// Made once for all tests, since packing takes seconds.
static BUILT: LazyLock<(tempfile::TempDir, Vec<PathBuf>)> = LazyLock::new(|| {
    let out = tempfile::tempdir().unwrap();
    let programs = workspace::target().join("debug");
    let missing: Vec<_> = PACKAGES.iter().filter(|package| !programs.join(package.name).is_file()).map(|one| one.name).collect();
    assert!(missing.is_empty(), "{missing:?} were not built: cargo build --workspace --all-targets");
    let made = build(&programs, "0.1.0+test", out.path()).unwrap();
    (out, made)
});

fn deb(name: &str) -> &'static Path {
    let found = BUILT.1.iter().find(|file| file.file_name().unwrap().to_string_lossy().starts_with(&format!("{name}_")));
    found.unwrap_or_else(|| panic!("no package of {name}"))
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "110");
    command.output().unwrap_or_else(|error| panic!("{program} does not run: {error}"))
}

fn text(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn unpacked(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    text("dpkg-deb", &["--extract", deb(name).to_str().unwrap(), folder.path().to_str().unwrap()]);
    folder
}

#[test]
fn a_package_holds_what_its_program_needs_and_nothing_outside_its_places() {
    for package in &PACKAGES {
        let name = package.name;
        let list = text("dpkg-deb", &["--contents", deb(name).to_str().unwrap()]);
        let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        for row in &rows {
            let (mode, owner, path) = (row[0], row[1], row[5]);
            assert_eq!(owner, "root/root", "{path}");
            let expected = match path {
                folder if folder.ends_with('/') => "drwxr-xr-x",
                program if program.starts_with("./usr/bin/") => "-rwxr-xr-x",
                _ => "-rw-r--r--",
            };
            assert_eq!(mode, expected, "{path}");
            let places =
                ["./usr/bin/", "./usr/lib/s", "./usr/lib/tmpfiles.d/", "./usr/lib/udev/", "./usr/share/", "./etc/taxdisk/"];
            assert!(path.ends_with('/') || places.iter().any(|place| path.starts_with(place)), "{path}");
        }
        let paths: Vec<&str> = rows.iter().map(|row| row[5].trim_start_matches('.')).collect();
        let mut wanted = vec![
            format!("/usr/bin/{name}"),
            format!("/usr/share/man/man1/{name}.1.gz"),
            format!("/usr/share/bash-completion/completions/{name}"),
            format!("/usr/share/zsh/vendor-completions/_{name}"),
            format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
            format!("/usr/share/doc/{name}/copyright"),
            format!("/usr/share/doc/{name}/changelog.gz"),
        ];
        if let Some(service) = package.service {
            wanted.push(format!("/etc/taxdisk/{service}.toml"));
            wanted.push(format!("/usr/lib/systemd/system/{name}.service"));
            wanted.push(format!("/usr/lib/sysusers.d/{name}.conf"));
            wanted.push(format!("/usr/lib/tmpfiles.d/{name}.conf"));
        }
        if name == "taxdisk-agent" {
            wanted.push("/usr/lib/udev/rules.d/60-taxdisk.rules".to_owned());
            wanted.push("/usr/share/taxdisk/profiles/zc-converter.toml".to_owned());
            wanted.push("/usr/share/taxdisk-agent/installed-by".to_owned());
            wanted.push("/usr/share/man/man1/taxdisk-agent-disks-secret-set.1.gz".to_owned());
        }
        for file in wanted {
            assert!(paths.contains(&file.as_str()), "{name} lacks {file}:\n{list}");
        }
        assert!(!list.contains("-manual"), "the command for packages is nobody's to type");
    }
}

#[test]
fn no_file_is_in_two_packages() {
    let mut owners = std::collections::BTreeMap::new();
    for package in &PACKAGES {
        let folder = unpacked(package.name);
        for file in contents::listed(folder.path()).unwrap() {
            if let Some(other) = owners.insert(file.clone(), package.name) {
                panic!("{file} is in {other} and in {}", package.name);
            }
        }
    }
}

#[test]
fn a_package_says_what_it_needs_and_its_scripts_can_be_read_by_a_shell() {
    for package in &PACKAGES {
        let file = deb(package.name).to_str().unwrap();
        let field = |name: &str| text("dpkg-deb", &["--field", file, name]).trim().to_owned();
        assert_eq!(field("Version"), "0.1.0+test");
        assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
        assert!(field("Installed-Size").parse::<u64>().unwrap() > 1000);
        assert!(field("Description").lines().next().is_some_and(|line| line.chars().count() <= 80));
        let control = tempfile::tempdir().unwrap();
        text("dpkg-deb", &["--control", file, control.path().to_str().unwrap()]);
        let kept = std::fs::read_to_string(control.path().join("conffiles")).unwrap_or_default();
        assert_eq!(kept, package.service.map(|name| format!("/etc/taxdisk/{name}.toml\n")).unwrap_or_default());
        for name in ["postinst", "prerm", "postrm"] {
            let script = control.path().join(name);
            assert_eq!(script.exists(), package.service.is_some());
            if script.exists() {
                text("sh", &["-n", script.to_str().unwrap()]);
                assert!(!std::fs::read_to_string(&script).unwrap().contains('@'), "{name} of {} has a gap", package.name);
            }
        }
    }
}

#[test]
fn every_manual_page_renders_without_a_warning() {
    for package in &PACKAGES {
        let folder = unpacked(package.name);
        let pages = contents::listed(&folder.path().join("usr/share/man/man1")).unwrap();
        let pages: Vec<String> =
            pages.iter().map(|page| format!("{}/usr/share/man/man1{page}", folder.path().display())).collect();
        let mut arguments = vec!["--warnings=w", "--local-file"];
        arguments.extend(pages.iter().map(String::as_str));
        let output = run("man", &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(shown.contains("SYNOPSIS") && shown.contains(package.name), "{shown}");
    }
}

#[test]
fn completions_load_in_bash_and_complete_commands() {
    for (name, typed, expected) in [
        ("taxdisk-agent", "doc", "doctor"),
        ("taxdisk-broker", "ser", "serve"),
        ("taxdisk-portal", "ser", "serve"),
        ("taxdisk", "enr", "enrollment"),
    ] {
        let folder = unpacked(name);
        let file = folder.path().join("usr/share/bash-completion/completions").join(name);
        let script = format!(
            "source '{}' || exit 3; COMP_WORDS=('{name}' '{typed}'); COMP_CWORD=1\n\
             function=$(complete -p '{name}' | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
             \"$function\" '{name}' '{typed}' '{name}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        assert_eq!(text("bash", &["--norc", "-c", &script]).trim(), expected);
    }
}

#[test]
fn the_archive_installs_beside_a_changed_configuration_and_removes_everything() {
    let folder = tempfile::tempdir().unwrap();
    text("tar", &["-xzf", BUILT.1.last().unwrap().to_str().unwrap(), "-C", folder.path().to_str().unwrap()]);
    let unpacked = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let root = folder.path().join("root");
    let config = root.join("etc/taxdisk/agent.toml");
    let script = |arguments: &[&str]| {
        let mut command = Command::new(unpacked.join("install.sh"));
        command.args(arguments).env("DESTDIR", &root).output().unwrap()
    };
    let good = |arguments: &[&str]| {
        let output = script(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(script(&[]).status.code(), Some(2));
    assert_eq!(script(&["install", "everything"]).status.code(), Some(2));
    assert_eq!(script(&["uninstall", "cli"]).status.code(), Some(1), "what is not there is not removed");

    good(&["install", "agent", "broker", "portal", "cli"]);
    assert!(text(root.join("usr/bin/taxdisk-agent").to_str().unwrap(), &["--version"]).starts_with("taxdisk-agent"));
    assert!(!root.join("usr/share/taxdisk-agent").exists(), "no package manager updates what came out of the archive");
    std::fs::write(&config, "[log]\nlevel = \"debug\"\n").unwrap();
    assert!(good(&["install", "agent"]).contains("agent.toml is kept"));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "[log]\nlevel = \"debug\"\n");

    let data = root.join("var/lib/taxdisk-agent");
    std::fs::create_dir_all(data.join("journal")).unwrap();
    good(&["uninstall", "agent", "broker", "portal", "cli"]);
    assert!(data.join("journal").exists() && config.exists(), "data and configuration survive");
    assert!(!root.join("usr/bin/taxdisk-agent").exists());

    good(&["install", "agent"]);
    std::fs::write(data.join("KEEP"), "").unwrap();
    assert!(good(&["uninstall", "agent", "--purge"]).contains("KEEP"));
    assert!(data.exists());
    good(&["install", "agent", "broker", "portal"]);
    std::fs::remove_file(data.join("KEEP")).unwrap();
    assert!(good(&["uninstall", "agent", "broker", "portal", "--purge"]).contains("Purging"));
    assert_eq!(contents::listed(&root).unwrap(), Vec::<String>::new(), "nothing is left");
}

#[test]
fn a_part_of_the_installer_does_nothing() {
    let whole = std::fs::read_to_string(workspace::root().join("systemd/install.sh")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("install.sh");
    let lines: Vec<&str> = whole.lines().collect();
    // Wherever the transfer ended: nothing is called before the last line.
    for count in (0..lines.len()).step_by(7) {
        std::fs::write(&cut, lines[..count].join("\n")).unwrap();
        let output = Command::new("sh").arg(&cut).args(["install", "agent"]).env("DESTDIR", folder.path().join("root")).output();
        assert!(output.unwrap().stdout.is_empty());
        assert!(!folder.path().join("root").exists(), "after {count} lines");
    }
}

#[test]
fn versions_are_checked_and_the_newest_glibc_is_found_by_numbers() {
    assert!(check_version("0.1.0+git20261129.abc~1").is_ok());
    assert!(["", "v1", "1 2", "1;2", "1/2"].into_iter().all(|version| check_version(version).is_err()));
    assert_eq!(deb::newest_glibc("Name: GLIBC_2.4\nName: GLIBC_2.34 GLIBC_2.17").as_deref(), Some("2.34"));
    assert_eq!(deb::newest_glibc("nothing"), None);
}
