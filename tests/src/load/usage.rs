//! What processes used, as the kernel counts it. Linux.

use std::time::Duration;

/// The kernel's ticks in a second, on every Linux of our architectures.
const TICKS: u64 = 100;

/// Resident KiB of a process.
///
/// # Panics
/// There is no such process.
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line of the kernel");
    line.split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("a count of the kernel")
}

/// Processor time that a process has used; one that has ended: none.
pub fn processor(pid: u32) -> Duration {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return Duration::ZERO };
    // The name may hold anything; behind it the fields are counted from the third.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|index| fields.get(*index)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// A process and all that it started.
pub fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let child: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((child, parent))
        })
        .collect();
    let mut family = vec![pid];
    let mut looked = 0;
    while let Some(parent) = family.get(looked).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        looked += 1;
    }
    family
}

/// Reads and writes that a process asked the kernel for, and bytes that it sent to a medium; one that has ended: none.
pub fn transfers(pid: u32) -> Transfers {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    Transfers { calls: count("syscr") + count("syscw"), bytes: count("write_bytes") }
}

/// Reads and writes, as the kernel counts them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transfers {
    /// System calls that read or write, sockets too. Waits, and what makes writes durable, are not among them.
    pub calls: u64,
    /// Bytes that went to a medium.
    pub bytes: u64,
}

/// Processor time of this process, and of others with all that they started, from one moment on.
pub struct Meter {
    began: std::time::Instant,
    own: Duration,
    others: Vec<u32>,
    used: Duration,
}

/// Shares of one core: 1.0 is a core that does nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cores {
    /// The generator.
    pub generator: f64,
    /// What is measured.
    pub measured: f64,
}

fn total(pids: &[u32]) -> Duration {
    pids.iter().flat_map(|pid| family(*pid)).map(processor).sum()
}

impl Meter {
    /// Begins to count.
    pub fn start(others: &[u32]) -> Meter {
        let own = processor(std::process::id());
        Meter { began: std::time::Instant::now(), own, others: others.to_vec(), used: total(others) }
    }

    /// What was used since.
    pub fn cores(&self) -> Cores {
        let wall = self.began.elapsed().as_secs_f64();
        let own = processor(std::process::id()).saturating_sub(self.own);
        let used = total(&self.others).saturating_sub(self.used);
        Cores { generator: own.as_secs_f64() / wall, measured: used.as_secs_f64() / wall }
    }
}
