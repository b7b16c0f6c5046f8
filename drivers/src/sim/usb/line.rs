//! The simulated disk as a USB device that other programs take over the network, on loopback: the line of a simulator that is
//! no pseudo-terminal. `usbip attach -r 127.0.0.1 -b 1-1` makes the kernel see it as if it were plugged in.
//!
//! One client has the device at a time; the others are told that it is busy. Unplugging closes his connection: his kernel sees
//! the device leave. Plugging in again means that the device can be taken again; taking it is for the client.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::import::{self, Asked, BUS_ID, Refused};
use super::usbip::UsbStream;
use super::{UsbAcm, UsbBot, UsbDevice, serve_usbip};
use crate::sim::bot::BotDevice;
use crate::sim::rig::{Rig, Shared};

/// Connections at once; one more is closed unheard. A kernel has one, somebody who asks for the list another.
const MAX_CONNECTIONS: usize = 8;
/// Longest silence of a client before he has the device.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is on the line.
pub(in crate::sim) enum OnLine {
    /// The serial converter.
    Converter,
    /// The USB disk. Its own disk is a stand-in: for each call it is lent the rig's.
    Disk(Arc<Mutex<BotDevice>>),
}

/// Who has the device.
#[derive(Default)]
struct Taken {
    /// Connections of any sort.
    connections: usize,
    /// The one that has it.
    stream: Option<TcpStream>,
    /// It is being served; outlasts the stream for a moment.
    served: bool,
}

/// What the threads of a line share.
struct Desk {
    taken: Mutex<Taken>,
    changed: Condvar,
    on_line: OnLine,
}

/// Opens the port.
///
/// # Errors
/// It is no loopback address, or it is in use.
pub(in crate::sim) fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    if !listen.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a simulated USB device is given away on loopback only"));
    }
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the line until it is told to stop. Runs on a thread of its own.
pub(in crate::sim) fn run(shared: &Arc<Shared>, listener: &TcpListener, on_line: OnLine, wake: &UnixStream) {
    let desk = Arc::new(Desk { taken: Mutex::default(), changed: Condvar::new(), on_line });
    loop {
        if desk.settle(shared) {
            return;
        }
        let mut ends = [PollFd::new(listener, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
        // An interrupted wait only means to look again.
        let _ = poll(&mut ends, None);
        let mut drained = [0; 64];
        while rustix::io::read(wake, &mut drained).is_ok_and(|count| count > 0) {}
        while let Ok((stream, _)) = listener.accept() {
            let mut taken = desk.lock();
            if taken.connections == MAX_CONNECTIONS {
                continue;
            }
            taken.connections += 1;
            drop(taken);
            let (client, shared) = (Arc::clone(&desk), Arc::clone(shared));
            let serve = move || {
                if let Err(error) = client.serve(stream, &shared) {
                    tracing::debug!(%error, "a USB/IP client");
                }
                client.lock().connections -= 1;
            };
            if let Err(error) = std::thread::Builder::new().name("sim-usb".to_owned()).spawn(serve) {
                tracing::warn!(%error, "a USB/IP client could not be served");
                desk.lock().connections -= 1;
            }
        }
    }
}

impl Desk {
    /// A panic elsewhere leaves it usable: its fields are set one by one.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the line what is wanted of it. `true` = the thread ends.
    fn settle(&self, shared: &Shared) -> bool {
        let (plug, stop) = {
            let line = &shared.lock().line;
            (line.want_plugged, line.want_stop)
        };
        if stop || !plug {
            let mut taken = self.lock();
            if let Some(stream) = taken.stream.take() {
                stream.shut();
            }
            // Nobody may still move transfers when it is called unplugged.
            while taken.served {
                taken = self.changed.wait(taken).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let mut rig = shared.lock();
        if rig.line.plugged && (stop || !plug) {
            rig.line.client = false;
            if rig.line.cut_power {
                self.cut_power(&mut rig, shared.now());
            }
        }
        rig.line.plugged = plug && !stop;
        rig.line.stopped = stop;
        drop(rig);
        shared.announce();
        stop
    }

    fn cut_power(&self, rig: &mut Rig, now: Duration) {
        match &self.on_line {
            OnLine::Converter => rig.line_lost(Some(now)),
            OnLine::Disk(device) => lent(rig, device, BotDevice::power_cut),
        }
    }

    fn device(&self, shared: &Shared) -> Box<dyn UsbDevice> {
        match &self.on_line {
            OnLine::Converter => Box::new(UsbAcm::of_rig(shared.rig(), shared.ticker())),
            OnLine::Disk(device) => {
                let (rig, device) = (shared.rig(), Arc::clone(device));
                let serial = lock(&rig).disk.config().disk_number.clone();
                Box::new(UsbBot::reached(&serial, move |work| lent(&mut lock(&rig), &device, work)))
            }
        }
    }

    /// One client, to the end of his connection.
    fn serve(&self, mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ASK_TIMEOUT))?;
        stream.set_write_timeout(Some(ASK_TIMEOUT))?;
        let asked = import::read_request(&mut stream)?;
        let mut device = self.device(shared);
        let name = match asked {
            Asked::List => {
                let plugged = shared.lock().line.plugged;
                return io::Write::write_all(&mut stream, &import::list(plugged.then(|| device.descriptors())));
            }
            Asked::Import(name) => name,
        };
        let answer = match self.take(&name, &stream, shared) {
            Ok(()) => import::import(Ok(device.descriptors())),
            Err(refused) => return io::Write::write_all(&mut stream, &import::import(Err(refused))),
        };
        let served = io::Write::write_all(&mut stream, &answer)
            // He may be silent as long as he likes now.
            .and_then(|()| stream.set_read_timeout(None))
            .and_then(|()| serve_usbip(stream, &mut *device).map(drop));
        shared.lock().line.client = false;
        let mut taken = self.lock();
        (taken.stream, taken.served) = (None, false);
        drop(taken);
        self.changed.notify_all();
        served
    }

    /// Gives the device to one client.
    fn take(&self, name: &str, stream: &TcpStream, shared: &Shared) -> Result<(), Refused> {
        if name != BUS_ID {
            return Err(Refused::NoDevice);
        }
        let mut taken = self.lock();
        // Asked for with `taken` locked: whoever unplugs closes the stream that stands there, or it is not there yet.
        if !shared.lock().line.want_plugged {
            return Err(Refused::NoDevice);
        }
        if taken.served {
            return Err(Refused::Busy);
        }
        taken.stream = Some(stream.try_clone().map_err(|_| Refused::Busy)?);
        taken.served = true;
        drop(taken);
        shared.lock().line.client = true;
        Ok(())
    }
}

/// The USB disk with the rig's disk and faults in it, for one call. The rig is locked meanwhile: nobody sees the stand-in.
fn lent<T>(rig: &mut Rig, device: &Mutex<BotDevice>, work: impl FnOnce(&mut BotDevice) -> T) -> T {
    let device = &mut *lock(device);
    std::mem::swap(&mut rig.disk, &mut device.disk);
    std::mem::swap(&mut rig.faults, &mut device.faults);
    let result = work(device);
    std::mem::swap(&mut rig.disk, &mut device.disk);
    std::mem::swap(&mut rig.faults, &mut device.faults);
    result
}

/// Whole or not begun, whatever panicked elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
