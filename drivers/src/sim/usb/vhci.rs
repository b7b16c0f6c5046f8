//! Plugs a device into this machine's own kernel (Linux, module vhci_hcd), without a network: the kernel gets one end of a
//! socket pair, the device serves the other. Needs root; meant for a guest that exists for the test.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use super::UsbDevice;
use super::usbip::{End, UsbStream, serve_usbip};

const VHCI: &str = "/sys/devices/platform/vhci_hcd.0";

/// Speed of a device; ports 0–14 take all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// 12 Mbit/s.
    Full = 2,
    /// 480 Mbit/s: the descriptors are made for this one.
    High = 3,
}

/// A device that is plugged in. Dropping it pulls it out.
pub struct Plugged {
    port: u32,
    ours: UnixStream,
    thread: Option<JoinHandle<io::Result<End>>>,
}

/// Plugs a device into a free port. The kernel enumerates it about half a second later.
///
/// # Errors
/// No vhci_hcd, not root, or the port is in use; a port is free again only some time after its device left.
pub fn attach_vhci(port: u32, speed: Speed, mut device: Box<dyn UsbDevice>) -> io::Result<Plugged> {
    let (ours, kernel) = UnixStream::pair()?;
    let stream = ours.try_clone()?;
    // The device id is only shown: bus 1, and a number of its own for each port.
    let line = format!("{port} {} {} {}", kernel.as_raw_fd(), (1 << 16) | (port + 2), speed as u8);
    // The kernel keeps the socket; our handle of its end closes with this function.
    fs::write(format!("{VHCI}/attach"), line)?;
    let serve = move || serve_usbip(stream, &mut *device);
    let thread = std::thread::Builder::new().name(format!("usb-{port}")).spawn(serve)?;
    Ok(Plugged { port, ours, thread: Some(thread) })
}

impl Plugged {
    /// Orderly: the kernel lets go of the device, then the thread ends.
    ///
    /// # Errors
    /// The kernel does not know the device any more.
    pub fn detach(mut self) -> io::Result<()> {
        fs::write(format!("{VHCI}/detach"), self.port.to_string())?;
        self.join();
        Ok(())
    }

    /// As if the cable was pulled.
    pub fn unplug(self) {
        drop(self);
    }

    /// Whether the device has left the bus by itself or was let go.
    pub fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        match thread.join() {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, port = self.port, "the USB line broke"),
            Err(_) => tracing::error!(port = self.port, "a simulated USB device panicked"),
        }
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        self.ours.shut();
        self.join();
    }
}
