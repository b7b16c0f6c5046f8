//! `sim`: a simulated tax disk behind a pseudo-terminal or as a USB device, and over HTTP where wanted, in the foreground until
//! SIGTERM.

use clap::ValueEnum as _;
use serde::Serialize;
use taxdisk_drivers::conformance::bot::BotStand;
use taxdisk_drivers::conformance::component::{Component, ComponentStand};
use taxdisk_drivers::conformance::line::{LineDialect, LineStand};
use taxdisk_drivers::conformance::{Report, run, run_shares};
use taxdisk_drivers::dialects::zc::Framing;
use taxdisk_drivers::sim::bot::BotOptions;
use taxdisk_drivers::sim::bridge::{BRIDGE_PATH, run_filter};
use taxdisk_drivers::sim::card::CardOptions;
use taxdisk_drivers::sim::component::SKSERVER_PATH;
use taxdisk_drivers::sim::config::Segment;
use taxdisk_drivers::sim::{ControlClient, ControlRequest, Dialect, HttpOptions, SimConfig, SimOptions, serve};
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::kind::InvoiceKind;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{ConformanceDisk, SimArgs, SimCommand, SimDialect};
use crate::failure::Failure;

/// Whose the disk is if nobody says otherwise: a made-up number with a right check character.
const EXAMPLE_TAXPAYER: &str = "91110000MA0000001L";

/// Stock of a fiscal card if nobody says otherwise: its codes have ten digits.
const CARD_STOCK: &str = "1100200107:00000088-00001000";

/// What a program needs to go on.
#[derive(Serialize)]
struct Started {
    port: String,
    dialect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usbip: Option<std::net::SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skserver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<String>,
    control: String,
    disk: String,
    taxpayer: String,
    disk_password: String,
    certificate_password: String,
}

pub(super) fn sim(args: &SimArgs, json: bool) -> Result<(), Failure> {
    match &args.command {
        Some(SimCommand::Conformance { disks }) => return conformance(disks, json),
        Some(SimCommand::Component { state }) => {
            let done = run_filter(state, &mut std::io::stdin().lock(), &mut std::io::stdout().lock());
            return done.map_err(|error| Failure::failed(format!("The component ends without a good answer ({error}).")));
        }
        None => {}
    }
    let absolute = |path: &std::path::PathBuf| {
        std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())))
    };
    let state = args.state.as_ref().ok_or_else(|| Failure::usage("--state DIR is needed."))?;
    let state_dir = absolute(state)?;
    let link = args.pty.as_ref().map(absolute).transpose()?;
    let control = args.control.as_ref().map_or_else(|| Ok(state_dir.join("control.sock")), absolute)?;
    std::fs::create_dir_all(&state_dir)
        .map_err(|error| Failure::failed(format!("--state {} cannot be made ({error}).", state_dir.display())))?;
    let options = SimOptions {
        link,
        dialect: match args.dialect {
            SimDialect::Zc => Dialect::Zc,
            SimDialect::Card => Dialect::Card(CardOptions::default()),
            SimDialect::Bot => Dialect::Bot(BotOptions::default()),
        },
        usbip: args.usbip,
        http: args.http.map(|listen| HttpOptions { listen, control: args.http_control, ..HttpOptions::default() }),
        control: Some(control.clone()),
        config: first_config(args)?,
        issue_time_ms: args.issue_time_ms,
        state_dir,
        ..SimOptions::default()
    };
    let handle = serve(options).map_err(|error| Failure::failed(format!("The simulated disk does not start: {error}.")))?;
    let port = handle.port().map(|port| port.display().to_string()).unwrap_or_default();
    let url = |path: &str| handle.http().map(|address| format!("http://{address}{path}"));
    let usbip = handle.usbip();
    let (skserver, bridge) = (url(SKSERVER_PATH), url(BRIDGE_PATH));
    // Of a disk that was there before, the file counts and not the command line.
    let started = handle.with(|rig| {
        let config = rig.disk.config();
        Started {
            port,
            dialect: match args.dialect {
                SimDialect::Zc => "zc",
                SimDialect::Card => "card",
                SimDialect::Bot => "bot",
            },
            usbip,
            skserver,
            bridge,
            control: control.display().to_string(),
            disk: config.disk_number.clone(),
            taxpayer: config.taxpayer_number.clone(),
            disk_password: config.disk_password.clone(),
            certificate_password: config.certificate_password.clone(),
        }
    });
    if json {
        super::print(&serde_json::to_string(&started).expect("plain data with text keys"));
    } else {
        super::print(&next_steps(&started));
    }
    until_stopped(handle, &control)
}

/// What the disk is at its first start.
fn first_config(args: &SimArgs) -> Result<SimConfig, Failure> {
    let wrong =
        |what: &str, text: &str| Failure::usage(format!("{what} {text:?} cannot be read: see `taxdisk-agent sim --help`."));
    let kinds: Vec<InvoiceKind> =
        args.kinds.iter().map(|kind| kind.parse().map_err(|_| wrong("--kind", kind))).collect::<Result<_, _>>()?;
    let mut config = SimConfig { kinds, ..SimConfig::default() };
    let taxpayer = args.taxpayer.as_deref().unwrap_or(EXAMPLE_TAXPAYER);
    config.taxpayer_number =
        taxpayer.parse::<TaxpayerNumber>().map_err(|error| Failure::usage(format!("--taxpayer: {error}.")))?.to_string();
    if let Some(name) = &args.taxpayer_name {
        config.taxpayer_name.clone_from(name);
    }
    if let Some(disk) = &args.disk {
        config.disk_number.clone_from(disk);
    }
    let kind = *config.kinds.first().ok_or_else(|| Failure::usage("At least one --kind is needed."))?;
    if !args.stock.is_empty() {
        config.segments =
            args.stock.iter().map(|text| segment(kind, text).ok_or_else(|| wrong("--stock", text))).collect::<Result<_, _>>()?;
    } else {
        config.segments.iter_mut().for_each(|segment| segment.kind = kind);
        if args.dialect == SimDialect::Card
            && let Some(roll) = segment(kind, CARD_STOCK)
        {
            config.segments = vec![roll];
        }
    }
    Ok(config)
}

/// `CODE:FIRST-LAST` of the first kind, or `KIND:CODE:FIRST-LAST`.
fn segment(kind: InvoiceKind, text: &str) -> Option<Segment> {
    let (kind, text) = match text.split_once(':') {
        Some((first, rest)) if rest.contains(':') => (first.parse().ok()?, rest),
        _ => (kind, text),
    };
    let (code, numbers) = text.split_once(':')?;
    let (first, last) = numbers.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(Segment { kind, code: code.parse().ok()?, first, last, bought_at: None, closed: false })
}

/// Shares of the suite that run side by side where a line's silences take real time.
const SHARES: usize = 8;

/// Runs the suite over each disk, in memory or in a folder that goes afterwards.
fn conformance(disks: &[ConformanceDisk], json: bool) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::failed(format!("The suite cannot run ({error})."));
    let all = ConformanceDisk::value_variants();
    let mut failed = 0;
    for disk in if disks.is_empty() { all } else { disks } {
        let folder = scratch(*disk).map_err(wrong)?;
        let report = report(*disk, &folder.0).map_err(wrong)?;
        failed += report.failures().count();
        let not_applicable: serde_json::Map<String, serde_json::Value> =
            report.not_applicable().map(|(case, why)| (case.to_owned(), why.into())).collect();
        let shown = serde_json::json!({
            "disk": report.stand, "passed": report.passed(), "cases": report.cases.len(),
            "failed": report.failures().map(|case| &case.name).collect::<Vec<_>>(), "not_applicable": not_applicable,
        });
        super::show(json, &shown, || report.to_string());
    }
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} cases failed."))) }
}

fn report(disk: ConformanceDisk, folder: &std::path::Path) -> std::io::Result<Report> {
    let in_memory = |dialect| Ok(run(&mut LineStand::in_memory(dialect)));
    let on_a_terminal = |dialect| {
        run_shares(SHARES, |share| {
            let folder = folder.join(share.to_string());
            std::fs::create_dir(&folder)?;
            Ok(Box::new(LineStand::on_a_terminal(dialect, &folder)?))
        })
    };
    let (fields, documents) = (LineDialect::Zc(Framing::Fixed), LineDialect::Zc(Framing::Xml));
    match disk {
        ConformanceDisk::Zc => in_memory(fields),
        ConformanceDisk::ZcXml => in_memory(documents),
        ConformanceDisk::Card => in_memory(LineDialect::Card),
        ConformanceDisk::ZcPty => on_a_terminal(fields),
        ConformanceDisk::ZcXmlPty => on_a_terminal(documents),
        ConformanceDisk::CardPty => on_a_terminal(LineDialect::Card),
        ConformanceDisk::Bot => Ok(run(&mut BotStand::new()?)),
        ConformanceDisk::Nisec => Ok(run(&mut ComponentStand::new(Component::Nisec, folder)?)),
        ConformanceDisk::NisecCommand => {
            let arguments = ["sim", "component"].map(str::to_owned);
            Ok(run(&mut ComponentStand::by_command(&std::env::current_exe()?, arguments, folder)?))
        }
        ConformanceDisk::Skserver => Ok(run(&mut ComponentStand::new(Component::SkServer, folder)?)),
    }
}

/// A folder that goes when it is dropped.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn scratch(disk: ConformanceDisk) -> std::io::Result<Scratch> {
    let name = format!("taxdisk-conformance-{}-{disk:?}-{:08x}", std::process::id(), rand::random::<u32>());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder)?;
    Ok(Scratch(folder))
}

fn next_steps(started: &Started) -> String {
    let Started { port, dialect, usbip, control, disk, taxpayer, disk_password, certificate_password, skserver, bridge } =
        started;
    if let Some(address) = usbip {
        return plug_in(started, address);
    }
    let dialect =
        if *dialect == "zc" { String::new() } else { format!("\n                                    dialect = \"{dialect}\"") };
    let over_http = match (skserver, bridge) {
        (Some(skserver), Some(bridge)) => format!(
            "It also answers over HTTP. In the agent's configuration, with taxpayer = \"{taxpayer}\" where a profile asks for it:
    a tax-control server:   profile = \"skserver\",      port = \"{skserver}\"
    the maker's component:  profile = \"nisec-bridge\",  port = \"{bridge}\"

"
        ),
        _ => String::new(),
    };
    format!(
        "Simulated disk {disk} of {taxpayer} is at {port}. It signs nothing that any tax office knows.

Next:
  1. In the agent's configuration:  [[disk]]
                                    port = \"{port}\"{dialect}
  2. Its passwords: taxdisk-agent disks secret set {port}
     (disk password {disk_password}, certificate password {certificate_password}; made up, this disk guards nothing)
  3. taxdisk-agent doctor

{over_http}Faults are switched on over {control}. Ctrl-C stops it; its ledger stays."
    )
}

/// What to do with a disk that waits to be plugged in.
fn plug_in(started: &Started, address: &std::net::SocketAddr) -> String {
    let Started { dialect, control, disk, taxpayer, disk_password, certificate_password, .. } = started;
    let (entry, name) = match *dialect {
        "bot" => (format!("usb = \"1209:0001/{disk}\""), format!("usb:1209:0001/{disk}")),
        // Its name under /dev/serial/by-id holds what its descriptors say.
        _ => ("port = \"/dev/ttyACM0\"".to_owned(), "/dev/ttyACM0".to_owned()),
    };
    let port = match address.port() {
        3240 => String::new(),
        port => format!(" --tcp-port {port}"),
    };
    format!(
        "Simulated USB disk {disk} of {taxpayer} waits at {address}. It signs nothing that any tax office knows.

Next:
  1. Plug it in, as root:           modprobe vhci-hcd
                                    usbip{port} attach -r {} -b 1-1
  2. In the agent's configuration:  [[disk]]
                                    {entry}
  3. Its passwords: taxdisk-agent disks secret set {name}
     (disk password {disk_password}, certificate password {certificate_password}; made up, this disk guards nothing)
  4. taxdisk-agent doctor

Faults and the cable are moved over {control}. Ctrl-C stops it; its ledger stays.",
        address.ip()
    )
}

fn until_stopped(handle: taxdisk_drivers::sim::SimHandle, control: &std::path::Path) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::failed(format!("Signals cannot be heard ({error})."));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
        let mut ended = tokio::task::spawn_blocking(move || handle.wait());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = &mut ended => return Ok(()),
        }
        let asked = ControlClient::connect(control).and_then(|mut client| client.ask(&ControlRequest::Stop));
        if let Err(error) = asked {
            // Its ledger is whole at any moment, so ending hard costs nothing but the link in the file system.
            tracing::warn!(%error, "the simulated disk could not be asked to stop");
            std::process::exit(0);
        }
        let _ = ended.await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stock_is_read_strictly() {
        let found = segment(InvoiceKind::Roll, "011002000107:00000088-00000100").unwrap();
        assert_eq!((found.kind, found.last.value()), (InvoiceKind::Roll, 100));
        assert_eq!(segment(InvoiceKind::Roll, "007:1100200010:00000001-00000002").unwrap().kind, InvoiceKind::PaperOrdinary);
        for bad in ["", "011002000107", "011002000107:1-2", "011002000107:00000002-00000001", "x:00000001-00000002"] {
            assert!(segment(InvoiceKind::Roll, bad).is_none(), "{bad}");
        }
    }
}
