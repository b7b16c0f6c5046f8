//! `cargo xtask test`: every lint and test as rungs of a ladder, each with its budget of time, and a table at the end.
//!
//! A rung fails when its command fails, when a test is skipped, when a test run names no test at all, or when it runs past
//! twice its budget. Past its budget it is SLOW, which the table and the last lines say: a busy machine must not turn a
//! right program into a wrong one. Nothing is retried and nothing is left out in silence.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};

mod long;

use crate::{needs, schemes, tidy, workspace};
pub(crate) use long::{LongArgs, TortureArgs, note, test_long};

/// The whole ladder, on two cores, from a cold start.
const LADDER_BUDGET_S: u64 = 33 * 60;
/// The programs with the points at which a test can kill them. Never in a release.
const FAULT_POINTS: [&str; 2] = [
    "--features",
    "taxdisk-agent/fault-points,taxdisk-broker/fault-points,taxdisk-portal/fault-points,taxdisk-agent/otel,taxdisk-broker/otel",
];

/// Which rungs.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Run only these rungs (by name; give it several times). The result is then no result for the whole.
    #[arg(long, value_name = "RUNG")]
    only: Vec<String>,
}

/// What a rung does.
enum Work {
    /// A command that is good or bad.
    Check(Vec<Command>),
    /// Commands that run tests and print cargo's `test result:` lines.
    Tests(Vec<Command>),
    /// The tidy check, in this process.
    Tidy,
}

struct Rung {
    name: &'static str,
    budget_s: u64,
    work: Work,
    when: When,
}

/// When a rung begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// When all before it have ended.
    Alone,
    /// With the one before it. Both wait for devices, pages and clocks most of the time: together they take little more than half
    /// of the processor.
    Beside,
}

impl Rung {
    fn new(name: &'static str, budget_s: u64, work: Work) -> Rung {
        Rung { name, budget_s, work, when: When::Alone }
    }

    fn beside(self) -> Rung {
        Rung { when: When::Beside, ..self }
    }

    /// `label` stands before each line where several write at once.
    fn climb(self, label: &str) -> Row {
        let (started, budget) = (Instant::now(), Duration::from_secs(self.budget_s));
        let outcome = match self.work {
            Work::Tidy => tidy_outcome(),
            Work::Check(commands) => run_checks(commands, budget, label),
            Work::Tests(commands) => run_tests(commands, budget, Filtered::IsSkipped, label),
        };
        Row { name: self.name, seconds: started.elapsed().as_secs(), budget_s: self.budget_s, outcome }
    }
}

/// What a test that was filtered out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filtered {
    /// A skipped one: the ladder leaves none out.
    IsSkipped,
    /// None of this run, which asked for one module.
    IsMeant,
}

/// What a rung came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Outcome {
    passed: u64,
    failed: u64,
    skipped: u64,
    trouble: Vec<String>,
    /// Names of tests that passed.
    ran: BTreeSet<String>,
    /// What failed tests said, at most [`FAILURE_LINES`] lines: shown once more at the end, where a long run is read.
    said: Vec<String>,
}

/// Lines that are kept of what failed tests of a rung say.
const FAILURE_LINES: usize = 120;

/// Lines of a failed test's own words, as libtest and the walks in the browser print them: from `---- name` on, or the result
/// itself.
#[derive(Debug, Default)]
struct Failures {
    within: bool,
}

impl Failures {
    fn keep(&mut self, line: &str, said: &mut Vec<String>) {
        let result = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        if let Some((_, result)) = result {
            self.within = false;
            if result.starts_with("ok") {
                return;
            }
        } else if line.starts_with("---- ") {
            self.within = true;
        } else if line.starts_with("test result:") || line == "failures:" {
            self.within = false;
        }
        if (self.within || result.is_some()) && said.len() < FAILURE_LINES {
            said.push(line.to_owned());
        }
    }
}

struct Row {
    name: &'static str,
    seconds: u64,
    budget_s: u64,
    outcome: Outcome,
}

impl Row {
    /// Past the budget, but not yet past the double of it, where it was ended.
    fn is_slow(&self) -> bool {
        self.seconds > self.budget_s
    }

    fn result(&self) -> &'static str {
        match (is_good(&self.outcome), self.is_slow()) {
            (false, _) => "FAILED",
            (true, true) => "SLOW",
            (true, false) => "passed",
        }
    }
}

/// Runs the ladder.
///
/// # Errors
/// A rung failed; the table has been printed.
pub(crate) fn test(args: &TestArgs) -> Result<(), String> {
    needs::programs(&[
        needs::COMPILER,
        needs::SYSTEMD,
        needs::POSTGRES,
        needs::POPPLER,
        needs::ZBAR,
        needs::DPKG,
        needs::MAN,
        needs::OPENSSL,
        needs::STRACE,
        needs::VALGRIND,
    ])?;
    needs::ofd_reader()?;
    needs::smtp_server()?;
    needs::rust_components()?;
    let rungs = rungs()?;
    // Only the end-to-end tests ask it, but they must never find it missing.
    if args.only.is_empty() || args.only.iter().any(|name| name == "end-to-end") {
        needs::reference_verifier()?;
        needs::jws_library()?;
        needs::node()?;
    }
    if args.only.is_empty() || args.only.iter().any(|name| name == "browser") {
        needs::browser()?;
    }
    if let Some(unknown) = args.only.iter().find(|name| rungs.iter().all(|rung| rung.name != name.as_str())) {
        let names: Vec<&str> = rungs.iter().map(|rung| rung.name).collect();
        return Err(format!("There is no rung {unknown}; there are: {}.", names.join(", ")));
    }
    let whole = args.only.is_empty();
    climb(rungs.into_iter().filter(|rung| whole || args.only.iter().any(|name| name == rung.name)).collect(), whole)
}

fn rungs() -> Result<Vec<Rung>, String> {
    let check = |arguments: &[&str]| Work::Check(vec![workspace::cargo(arguments)]);
    let with_points = |arguments: &[&str]| workspace::cargo(&[arguments, &FAULT_POINTS].concat());
    let mut docs = workspace::cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut pages = vec![docs];
    // What the book needs is held against its sources by tidy, here and everywhere; mdBook itself is no need of the tests.
    if needs::on_path("mdbook") {
        let mut book = Command::new("mdbook");
        book.args(["build", "docs"]).current_dir(workspace::root());
        pages.push(book);
    }
    let mut clippy = with_points(&["clippy", "--workspace", "--all-targets", "--quiet"]);
    clippy.args(["--", "-D", "warnings"]);
    // All packages, although one of them has rungs of its own: without it others would have fewer features, and be built a
    // second time.
    let mut unit = with_points(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
    unit.args(test_programs(&workspace::root())?.iter().flat_map(|name| ["--test", name]));
    // They need no device and no socket but loopback.
    unit.args(["--test", "model", "--test", "simulation", "--test", "power", "--test", "network", "--test", "hot"]);
    // The same packages and features as in the build, so that nothing is built twice.
    let mut ends = with_points(&["test", "--workspace", "--no-fail-fast", "--test", "end_to_end"]);
    // They wait for devices most of the time.
    ends.env("RUST_TEST_THREADS", "4");
    Ok(vec![
        Rung::new("fmt", 30, check(&["fmt", "--all", "--check"])),
        Rung::new("tidy", 30, Work::Tidy),
        Rung::new("clippy", 600, Work::Check(vec![clippy])),
        Rung::new("build", 600, Work::Check(vec![build()])),
        // Cargo takes examples in documentation by themselves alone.
        Rung::new("unit", 720, Work::Tests(vec![unit, with_points(&["test", "--workspace", "--no-fail-fast", "--doc"])])),
        Rung::new("end-to-end", 900, Work::Tests(vec![ends])).beside(),
        Rung::new("browser", 420, Work::Tests(vec![with_points(&["test", "--workspace", "--test", "browser"])])),
        Rung::new("vm", 480, Work::Tests(vec![guest()?])).beside(),
        Rung::new("systemd", 60, Work::Tests(vec![with_points(&["test", "--workspace", "--test", "systemd", "--test", "tidy"])])),
        Rung::new("docs", 180, Work::Check(pages)),
    ])
}

/// `cargo xtask screenshots`: the walks in a browser once more, which then write the pictures of the documentation.
///
/// # Errors
/// A walk fails, or a picture is too large for the documentation.
pub(crate) fn screenshots() -> Result<(), String> {
    needs::programs(&[needs::COMPILER])?;
    needs::browser()?;
    workspace::run(build())?;
    let mut walks = workspace::cargo(&[&["test", "--workspace", "--test", "browser"], FAULT_POINTS.as_slice()].concat());
    walks.env("TAXDISK_TEST_PICTURES", workspace::root().join("docs/images"));
    workspace::run(walks)
}

/// Names of the test programs of all crates but `tests`: each file, and each folder with a `main.rs`, of a crate's `tests`.
fn test_programs(root: &Path) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    let told = |error: std::io::Error| format!("{}: {error}", root.display());
    for package in std::fs::read_dir(root).map_err(told)? {
        let package = package.map_err(told)?.path();
        if package.ends_with("tests") || !package.join("Cargo.toml").is_file() {
            continue;
        }
        let Ok(programs) = std::fs::read_dir(package.join("tests")) else { continue };
        for program in programs {
            let program = program.map_err(told)?.path();
            let is_program = program.extension().is_some_and(|end| end == "rs") || program.join("main.rs").is_file();
            names.extend(program.file_stem().filter(|_| is_program).map(|name| name.to_string_lossy().into_owned()));
        }
    }
    Ok(names)
}

/// Builds everything once, with the fault points: the tests that follow start these binaries.
pub(crate) fn build() -> Command {
    workspace::cargo(&[&["build", "--workspace", "--all-targets", "--quiet"], FAULT_POINTS.as_slice()].concat())
}

/// `cargo xtask vm` with what the build made.
fn guest() -> Result<Command, String> {
    let mut guest = Command::new(std::env::current_exe().map_err(|error| format!("this program is nowhere: {error}"))?);
    guest.args(["vm", "--built"]);
    Ok(guest)
}

fn climb(rungs: Vec<Rung>, whole: bool) -> Result<(), String> {
    let started = Instant::now();
    let mut rows = Vec::new();
    for group in groups(rungs) {
        let alone = group.len() == 1;
        for rung in &group {
            println!("\n── {} (budget {} s)", rung.name, rung.budget_s);
        }
        std::thread::scope(|scope| {
            let climb = |rung: Rung| {
                let label = if alone { String::new() } else { format!("{}: ", rung.name) };
                scope.spawn(move || rung.climb(&label))
            };
            let climbing: Vec<_> = group.into_iter().map(climb).collect();
            rows.extend(climbing.into_iter().map(|one| one.join().expect("a rung only runs commands")));
        });
    }
    let total_s = started.elapsed().as_secs();
    println!("\n{}", table(&rows, total_s));
    let mut troubles: Vec<String> = rows
        .iter()
        .filter(|row| !is_good(&row.outcome))
        .map(|row| format!("{}: {}", row.name, row.outcome.trouble.join("; ")))
        .collect();
    if whole && total_s > 2 * LADDER_BUDGET_S {
        troubles.push(format!("the whole ladder took {total_s} s, more than twice its budget of {LADDER_BUDGET_S} s"));
    }
    if whole {
        let ran = rows.iter().flat_map(|row| row.outcome.ran.iter().cloned()).collect();
        let table = workspace::root().join("docs/schemes.md");
        troubles.extend(schemes::objections(&table, &ran, &workspace::target().join("browser"))?);
    }
    for row in rows.iter().filter(|row| !row.outcome.said.is_empty()) {
        println!("\n── {}: what failed there", row.name);
        row.outcome.said.iter().for_each(|line| println!("{line}"));
    }
    for trouble in &troubles {
        println!("{trouble}");
    }
    for row in rows.iter().filter(|row| row.is_slow()) {
        println!("{}: slow: {} s, {} are its budget", row.name, row.seconds, row.budget_s);
    }
    if whole && total_s > LADDER_BUDGET_S {
        println!("the whole ladder was slow: {total_s} s, {LADDER_BUDGET_S} are its budget");
    }
    let passed: u64 = rows.iter().map(|row| row.outcome.passed).sum();
    let failed: u64 = rows.iter().map(|row| row.outcome.failed).sum::<u64>().max(troubles.len() as u64);
    println!("{passed} passed, {failed} failed");
    if troubles.is_empty() { Ok(()) } else { Err(String::new()) }
}

/// Rungs that run at the same time.
fn groups(rungs: Vec<Rung>) -> Vec<Vec<Rung>> {
    let mut groups: Vec<Vec<Rung>> = Vec::new();
    for rung in rungs {
        match groups.last_mut() {
            Some(group) if rung.when == When::Beside => group.push(rung),
            _ => groups.push(vec![rung]),
        }
    }
    groups
}

fn is_good(outcome: &Outcome) -> bool {
    outcome.failed == 0 && outcome.skipped == 0 && outcome.trouble.is_empty()
}

fn tidy_outcome() -> Outcome {
    let report = tidy::check(&workspace::root());
    println!("{}", report.summary());
    for breach in &report.breaches {
        println!("{breach}");
    }
    match report.breaches.len() as u64 {
        0 => Outcome { passed: 1, ..Outcome::default() },
        count => Outcome { failed: 1, trouble: vec![format!("{count} breaches")], ..Outcome::default() },
    }
}

fn run_checks(commands: Vec<Command>, budget: Duration, label: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for command in commands {
        match stream(command, budget, label, |_| {}) {
            Ok(()) => outcome.passed += 1,
            Err(trouble) => {
                outcome.failed += 1;
                outcome.trouble.push(trouble);
            }
        }
    }
    outcome
}

fn run_tests(commands: Vec<Command>, budget: Duration, filtered: Filtered, label: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for command in commands {
        let mut failures = Failures::default();
        let result = stream(command, budget, label, |line| {
            outcome.ran.extend(schemes::passed(line));
            failures.keep(line, &mut outcome.said);
            count(line, filtered, &mut outcome);
        });
        if let Err(trouble) = result {
            outcome.trouble.push(trouble);
        }
    }
    if outcome.failed > 0 {
        outcome.trouble.push(format!("{} tests failed", outcome.failed));
    }
    if outcome.skipped > 0 {
        outcome.trouble.push(format!("{} tests skipped; 0 are allowed", outcome.skipped));
    }
    if outcome.passed + outcome.failed == 0 {
        outcome.trouble.push("no test was run".to_owned());
    }
    outcome
}

/// Adds a line like `test result: ok. 27 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.41s`.
fn count(line: &str, filtered: Filtered, outcome: &mut Outcome) {
    let Some(rest) = line.strip_prefix("test result: ") else { return };
    let rest = rest.split_once(". ").map_or("", |(_, counts)| counts);
    for part in rest.split("; ") {
        let Some((number, what)) = part.split_once(' ') else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match what {
            "passed" => outcome.passed += number,
            "failed" => outcome.failed += number,
            "filtered out" if filtered == Filtered::IsMeant => {}
            "ignored" | "filtered out" => outcome.skipped += number,
            _ => {}
        }
    }
}

/// Runs a command in a process group of its own, shows its lines behind `label` and hands them over as they come. At twice the
/// budget the group is ended: a test that hangs must not hang the ladder.
fn stream(mut command: Command, budget: Duration, label: &str, mut line: impl FnMut(&str)) -> Result<(), String> {
    let limit = Instant::now() + budget * 2;
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?} does not start: {error}"))?;
    let output = child.stdout.take().ok_or("no pipe to the command")?;
    let (lines, inbox) = mpsc::channel();
    // The thread ends with the pipe, so with the last process that writes to it.
    std::thread::spawn(move || {
        for text in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(text).is_err() {
                return;
            }
        }
    });
    loop {
        match inbox.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                println!("{label}{text}");
                line(&text);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                end_group(&mut child);
                return Err("it was ended at twice its budget".to_owned());
            }
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("the command failed ({status})")) }
}

/// Ends the processes that this one started, by their group.
fn end_group(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

fn table(rows: &[Row], total_s: u64) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["rung", "seconds", "budget", "run", "skipped", "result"]);
    for row in rows {
        table.add_row([
            row.name.to_owned(),
            row.seconds.to_string(),
            row.budget_s.to_string(),
            (row.outcome.passed + row.outcome.failed).to_string(),
            row.outcome.skipped.to_string(),
            row.result().to_owned(),
        ]);
    }
    table.add_row([
        "all".to_owned(),
        total_s.to_string(),
        LADDER_BUDGET_S.to_string(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<Command> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        vec![command]
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn results_of_all_test_binaries_are_added_and_a_skipped_test_is_a_failure() {
        let line = |passed, ignored, filtered| {
            format!(
                "test result: ok. {passed} passed; 0 failed; {ignored} ignored; 0 measured; {filtered} filtered out; finished in 0.41s"
            )
        };
        let good = run_tests(sh(&format!("echo '{}'; echo '{}'", line(3, 0, 0), line(4, 0, 0))), MINUTE, Filtered::IsSkipped, "");
        assert_eq!((good.passed, is_good(&good)), (7, true));
        for bad in [line(3, 1, 0), line(3, 0, 1)] {
            assert!(!is_good(&run_tests(sh(&format!("echo '{bad}'")), MINUTE, Filtered::IsSkipped, "")));
        }
        assert!(!is_good(&run_tests(sh("exit 0"), MINUTE, Filtered::IsSkipped, "")), "no test at all is no success");
        assert!(
            !is_good(&run_tests(sh(&format!("echo '{}'; exit 1", line(3, 0, 0))), MINUTE, Filtered::IsSkipped, "")),
            "the command itself failed"
        );
    }

    #[test]
    fn rungs_that_wait_most_of_the_time_run_side_by_side() {
        let rung = |name| Rung::new(name, 1, Work::Check(Vec::new()));
        let groups = groups(vec![rung("a"), rung("b").beside(), rung("c"), rung("d").beside(), rung("e").beside(), rung("f")]);
        let names: Vec<Vec<&str>> = groups.iter().map(|group| group.iter().map(|rung| rung.name).collect()).collect();
        assert_eq!(names, [vec!["a", "b"], vec!["c", "d", "e"], vec!["f"]]);
        // Each waits for the other: one after the other they would never end.
        let dir = tempfile::tempdir().expect("a folder");
        let meet = |own: &str, other: &str| {
            let (own, other) = (dir.path().join(own), dir.path().join(other));
            let script = format!("touch {}; until [ -e {} ]; do sleep 0.01; done", own.display(), other.display());
            Rung::new("meets", 30, Work::Check(sh(&script)))
        };
        climb(vec![meet("a", "b"), meet("b", "a").beside()], false).expect("both ran");
    }

    #[test]
    fn what_a_failed_test_said_is_kept_and_nothing_else() {
        let script = "echo 'test a::good ... ok'; echo 'test a::bad ... FAILED'; echo 'test walk ... FAILED'; \
            echo '---- walk ----'; echo 'Error: no such button'; echo 'test b ... ok (1.0 s)'; echo 'a line between'; \
            echo 'failures:'; echo; echo '---- a::bad stdout ----'; echo 'left: 1'; echo 'failures:'; echo '    a::bad'; \
            echo 'test result: FAILED. 2 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out'; exit 1";
        let outcome = run_tests(sh(script), MINUTE, Filtered::IsSkipped, "");
        let kept = [
            "test a::bad ... FAILED",
            "test walk ... FAILED",
            "---- walk ----",
            "Error: no such button",
            "---- a::bad stdout ----",
            "left: 1",
        ];
        assert_eq!((outcome.said, outcome.failed), (kept.map(str::to_owned).to_vec(), 2));
        let endless = run_tests(sh("echo '---- x ----'; seq 1000"), MINUTE, Filtered::IsSkipped, "");
        assert_eq!(endless.said.len(), FAILURE_LINES);
    }

    #[test]
    fn every_test_program_of_the_other_crates_is_known_by_its_name() {
        let names = test_programs(&workspace::root()).expect("the workspace is there");
        for name in ["edge", "suite", "disks", "bad_devices", "vectors"] {
            assert!(names.contains(name), "{name} is missing in {names:?}");
        }
        assert!(!names.contains("end_to_end"), "it has a rung of its own");
        assert!(!names.contains("golden"), "a folder without main.rs is no program");
    }

    #[test]
    fn a_slow_rung_is_told_and_is_no_failure() {
        let row = |seconds, failed| Row { name: "x", seconds, budget_s: 10, outcome: Outcome { failed, ..Outcome::default() } };
        assert_eq!([row(10, 0).result(), row(11, 0).result(), row(11, 1).result()], ["passed", "SLOW", "FAILED"]);
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let outcome = run_checks(sh("sleep 600 & wait"), Duration::from_millis(100), "");
        assert!(outcome.trouble[0].contains("ended"), "{outcome:?}");
    }
}
