//! Arrivals and departures of USB devices, over a channel.
//!
//! The truth is always the difference between two lists; the operating system's own notices only make it look sooner, because
//! they arrive late, or not at all, on some computers although the library says that it has them (virtual-hardware.md,
//! section 7). It opens and claims nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusb::{Context, Device, HotplugBuilder, Registration, UsbContext};

use super::UsbError;
use super::list::{UsbDeviceInfo, list_in, open_context};

/// How often it looks without a notice.
pub const POLL: Duration = Duration::from_millis(1000);

/// Events that nobody has fetched. Beyond that they wait: the next look finds the difference again.
const MAX_WAITING_EVENTS: usize = 64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsbEvent {
    /// It was plugged in, or was there when the watch began. It may take a moment until it can be opened.
    Arrived(UsbDeviceInfo),
    /// It was unplugged.
    Left(UsbDeviceInfo),
}

/// A running watch. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    events: Receiver<UsbEvent>,
    notices: bool,
    context: Context,
    /// Dropped first: the thread ends by it.
    stop: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch. Every device that is there already arrives first.
    ///
    /// # Errors
    /// There is no USB on this computer.
    pub fn begin() -> Result<Watch, UsbError> {
        let context = open_context()?;
        let registration = if rusb::has_hotplug() { register(&context) } else { None };
        let notices = registration.is_some();
        let (sender, events) = sync_channel(MAX_WAITING_EVENTS);
        let (stop, stopped) = channel();
        let thread = Watcher { context: context.clone(), registration, sender, stopped, known: BTreeMap::new() };
        let spawned = std::thread::Builder::new().name("usb-watch".to_owned()).spawn(move || thread.run());
        let thread = spawned.map_err(|error| UsbError::Io { detail: format!("no thread to watch the USB: {error}") })?;
        Ok(Watch { events, notices, context, stop: Some(stop), thread: Some(thread) })
    }

    /// The events, in order. Closed only by the end of the watch.
    pub fn events(&self) -> &Receiver<UsbEvent> {
        &self.events
    }

    /// Whether the operating system promised to tell; otherwise it is found by looking.
    pub fn has_notices(&self) -> bool {
        self.notices
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.notices {
            self.context.interrupt_handle_events();
        }
        if let Some(thread) = self.thread.take() {
            // It ends within one look; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// Where a device sits and since when: a new address each time it is plugged in.
type Key = (u8, u8, String);

struct Watcher {
    context: Context,
    registration: Option<Registration<Context>>,
    sender: SyncSender<UsbEvent>,
    stopped: Receiver<()>,
    known: BTreeMap<Key, UsbDeviceInfo>,
}

impl Watcher {
    fn run(mut self) {
        loop {
            // A look that fails shows nothing: devices do not leave because they cannot be listed.
            let receiver_lives = match list_in(&self.context) {
                Ok(now) => report(&mut self.known, now, &self.sender),
                Err(error) => {
                    tracing::warn!(%error, "the USB devices cannot be listed");
                    true
                }
            };
            if !receiver_lives || !self.wait() {
                return;
            }
        }
    }

    /// Until the next look. `false`: the watch is over.
    fn wait(&self) -> bool {
        if self.registration.is_none() {
            return self.stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout);
        }
        if let Err(error) = self.context.handle_events(Some(POLL)) {
            tracing::debug!(%error, "waiting for USB notices");
            return self.stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout);
        }
        self.stopped.try_recv() == Err(TryRecvError::Empty)
    }
}

/// Sends the difference between what is known and what is there. What cannot be sent stays unknown. `false`: nobody listens.
fn report(known: &mut BTreeMap<Key, UsbDeviceInfo>, now: Vec<UsbDeviceInfo>, sender: &SyncSender<UsbEvent>) -> bool {
    let now: BTreeMap<Key, UsbDeviceInfo> =
        now.into_iter().map(|info| ((info.bus, info.address, info.bus_path.clone()), info)).collect();
    // An address may be given again to a device of another make between two looks.
    let same = |left: &UsbDeviceInfo, right: &UsbDeviceInfo| {
        (left.vendor, left.product, &left.serial) == (right.vendor, right.product, &right.serial)
    };
    let left: Vec<Key> =
        known.iter().filter(|(key, old)| !now.get(*key).is_some_and(|new| same(old, new))).map(|(key, _)| key.clone()).collect();
    for key in left {
        let Some(info) = known.get(&key).cloned() else { continue };
        match sender.try_send(UsbEvent::Left(info)) {
            Ok(()) => drop(known.remove(&key)),
            Err(TrySendError::Full(_)) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
        }
    }
    for (key, info) in now {
        if known.contains_key(&key) {
            continue;
        }
        match sender.try_send(UsbEvent::Arrived(info.clone())) {
            Ok(()) => drop(known.insert(key, info)),
            Err(TrySendError::Full(_)) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
        }
    }
    true
}

/// A notice does nothing but end the wait: most calls are forbidden inside it.
struct Notice;

impl rusb::Hotplug<Context> for Notice {
    fn device_arrived(&mut self, _device: Device<Context>) {}

    fn device_left(&mut self, _device: Device<Context>) {}
}

fn register(context: &Context) -> Option<Registration<Context>> {
    HotplugBuilder::new().register(context, Box::new(Notice)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn info(address: u8, serial: &str) -> UsbDeviceInfo {
        UsbDeviceInfo {
            vendor: 0x1209,
            product: 1,
            serial: Some(serial.to_owned()),
            manufacturer: None,
            product_name: None,
            bus_path: "1-1".to_owned(),
            bus: 1,
            address,
            driver: None,
        }
    }

    #[test]
    fn differences_are_reported_once_and_departures_first() {
        let (sender, events) = sync_channel(8);
        let mut known = BTreeMap::new();
        assert!(report(&mut known, vec![info(4, "A")], &sender));
        assert!(report(&mut known, vec![info(4, "A")], &sender));
        // Unplugged and plugged in again between two looks.
        assert!(report(&mut known, vec![info(5, "A")], &sender));
        // Another disk under the same address.
        assert!(report(&mut known, vec![info(5, "B")], &sender));
        assert!(report(&mut known, vec![], &sender));
        let all: Vec<UsbEvent> = events.try_iter().collect();
        let arrived = |address, serial| UsbEvent::Arrived(info(address, serial));
        let left = |address, serial| UsbEvent::Left(info(address, serial));
        assert_eq!(all, [arrived(4, "A"), left(4, "A"), arrived(5, "A"), left(5, "A"), arrived(5, "B"), left(5, "B")]);
    }

    #[test]
    fn a_driver_that_takes_or_leaves_a_device_is_no_arrival() {
        let (sender, events) = sync_channel(8);
        let mut known = BTreeMap::new();
        assert!(report(&mut known, vec![info(4, "A")], &sender));
        assert!(report(&mut known, vec![UsbDeviceInfo { driver: Some("usb-storage".to_owned()), ..info(4, "A") }], &sender));
        assert_eq!(events.try_iter().count(), 1);
    }

    #[test]
    fn what_nobody_fetches_is_found_again_and_an_end_is_noticed() {
        let (sender, events) = sync_channel(1);
        let mut known = BTreeMap::new();
        let both = || vec![info(4, "A"), info(5, "B")];
        assert!(report(&mut known, both(), &sender));
        assert_eq!(events.try_iter().count(), 1);
        assert!(report(&mut known, both(), &sender));
        assert_eq!(events.try_iter().collect::<Vec<_>>(), [UsbEvent::Arrived(info(5, "B"))]);
        drop(events);
        assert!(!report(&mut known, vec![], &sender));
    }

    #[test]
    fn a_watch_ends_when_dropped_or_says_that_there_is_no_usb() {
        match Watch::begin() {
            Ok(watch) => drop(watch),
            Err(error) => assert!(matches!(error, UsbError::NoUsb { .. }), "{error:?}"),
        }
    }
}
