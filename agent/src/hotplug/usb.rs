//! USB devices: the transport's watch lists them and tells arrivals and departures; this passes on those that are configured.
//!
//! It runs only where a disk on USB is configured, as the watch looks about once a second.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use taxdisk_drivers::transport::usb::hotplug::{UsbEvent, Watch};
use taxdisk_drivers::transport::usb::list::UsbDeviceInfo;
use taxdisk_drivers::transport::usb::real::{Selector, Which};

/// Between two looks at whether the watch is over.
const STOP_LOOK: Duration = Duration::from_secs(1);

/// Passes events on until it is dropped.
#[derive(Debug)]
pub(super) struct Forwarder {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Begins, if there is anything to watch and a USB to watch it on.
    pub(super) fn begin(selectors: Vec<(usize, Selector)>, tell: impl Fn(usize) + Send + 'static) -> Option<Forwarder> {
        if selectors.is_empty() {
            return None;
        }
        let warn = |error: &dyn std::fmt::Display| tracing::warn!("USB disks are noticed some seconds later: {error}");
        let watch = Watch::begin().inspect_err(|error| warn(error)).ok()?;
        let (stop, stopped) = sync_channel::<()>(1);
        let run = move || {
            loop {
                match watch.events().recv_timeout(STOP_LOOK) {
                    Ok(UsbEvent::Arrived(info) | UsbEvent::Left(info)) => {
                        selectors.iter().filter(|(_, selector)| means(selector, &info)).for_each(|(index, _)| tell(*index));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("usb-plug".to_owned()).spawn(run);
        let thread = thread.inspect_err(|error| warn(error)).ok()?;
        Some(Forwarder { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It holds nothing that could be lost.
            let _ = thread.join();
        }
    }
}

/// Whether the configured disk may be this device.
fn means(selector: &Selector, info: &UsbDeviceInfo) -> bool {
    let this = match &selector.which {
        Which::Only => true,
        Which::Serial(serial) => info.serial.as_ref() == Some(serial),
        Which::BusPath(path) => info.bus_path == *path,
    };
    this && (selector.vendor, selector.product) == (info.vendor, info.product)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_configured_device_is_told() {
        let info = UsbDeviceInfo {
            vendor: 0x1209,
            product: 1,
            serial: Some("A".into()),
            manufacturer: None,
            product_name: None,
            bus_path: "1-2".into(),
            bus: 1,
            address: 3,
            driver: None,
        };
        for (selector, meant) in [
            ("1209:0001", true),
            ("1209:0001/A", true),
            ("1209:0001@1-2", true),
            ("1209:0001/B", false),
            ("1209:0001@1-3", false),
            ("1209:0002", false),
        ] {
            assert_eq!(means(&selector.parse().unwrap(), &info), meant, "{selector}");
        }
    }

    #[test]
    fn a_watch_ends_with_or_without_usb() {
        assert!(Forwarder::begin(Vec::new(), |_| {}).is_none(), "nothing to watch");
        drop(Forwarder::begin(vec![(0, "1209:0001".parse().unwrap())], |_| {}));
    }
}
