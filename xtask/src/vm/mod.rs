//! `cargo xtask vm`: the drivers of the agent against real USB and tty drivers, in a throw-away Linux guest.
//!
//! The guest is QEMU's with its own code generator (TCG), never KVM: a host may offer `/dev/kvm` and yet not run a stock
//! kernel on it, and a test must not depend on that. It needs neither root nor a device of the host. What is shipped is what
//! runs: the binaries that are already built, stripped copies with the shared libraries that they name, beside a first
//! process of ours (`tests/src/bin/vm_guest`) that starts the simulated devices and runs the checks.
//!
//! A guest that prints no result has failed, whatever else it printed.

mod archive;
mod boot;
mod image;
mod kernel;
mod serve;

use std::time::Duration;

use clap::Args;

use crate::{needs, rungs, workspace};

/// The guest's own share of the time: two and a half minutes on two idle cores, and test machines are not idle.
const LIMIT_S: u64 = 460;

/// How to run the guest.
#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    /// Run what is built, and build nothing.
    #[arg(long)]
    built: bool,
    /// End the guest after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = LIMIT_S)]
    limit_s: u64,
    /// Run only the checks whose names contain this. The others count as filtered out.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Begin the random choices at this number, as a run before has printed it.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Builds, packs, boots, and judges by the result line.
///
/// # Errors
/// Something is missing, does not build or start, or a check failed in the guest.
pub(crate) fn run(args: &VmArgs) -> Result<(), String> {
    needs::programs(&[needs::COMPILER, needs::QEMU, needs::XZ])?;
    if !args.built {
        workspace::run(rungs::build())?;
    }
    let kernel = kernel::fetched(&workspace::target().join("vm"))?;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let image = folder.path().join("initramfs");
    image::write(&image, &kernel)?;
    let serial = serve::Converter::start(folder.path())?;
    let disk = folder.path().join("disk.img");
    serve::blank_medium(&disk)?;
    let machine = boot::Machine {
        kernel: &kernel.image,
        initramfs: &image,
        converter: serial.socket(),
        medium: &disk,
        only: args.only.as_deref(),
        seed: args.seed,
    };
    boot::run(&machine, Duration::from_secs(args.limit_s))?;
    // The guest has told what it saw; this is what the disk behind the converter says.
    match (serial.issued(), args.only.is_some()) {
        (1, _) | (0, true) => Ok(()),
        (count, _) => Err(format!("the disk behind the converter holds {count} invoices, 1 was issued")),
    }
}
