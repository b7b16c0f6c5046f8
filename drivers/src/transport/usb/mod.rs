//! A USB device with one bulk endpoint each way, as tax disks have them (USB mass storage, bulk-only), and what goes wrong
//! with it in words.
//!
//! [`BulkDevice`] moves bytes and tells the time; [`bot`] speaks the bulk-only transport over it; [`memory`] is a scripted
//! device for tests, [`real`] one on the USB of this computer; [`list`] and [`hotplug`] say what is plugged in.
//!
//! What it refuses to do: repeat a transfer, reset or reopen a device unasked, or guess how many bytes left when the
//! operating system does not say. Time belongs to the device, so that a scripted one runs minutes of waiting in no time.

pub mod bot;
pub mod hotplug;
pub mod list;
pub mod memory;
pub mod real;
pub mod record;

use std::time::Duration;

use super::Holder;

/// Why a USB device cannot be used, or a transfer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsbError {
    /// This computer (or container) has no USB at all.
    #[error("there is no USB on this computer ({detail}): plug the disk into one that has, or give this program access to it")]
    NoUsb {
        /// What the operating system said.
        detail: String,
    },
    /// No such device is plugged in.
    #[error("there is no USB device {device}: plug it in, or correct the device in the configuration")]
    NotFound {
        /// The device as configured.
        device: String,
    },
    /// More than one device is meant by the configuration. None was opened.
    #[error("{count} USB devices match {device}: unplug all but one, or name the serial number or the bus path of the right one")]
    Several {
        /// The device as configured.
        device: String,
        /// How many there are.
        count: usize,
    },
    /// It was open and went away.
    #[error("the USB device {device} was unplugged or lost its power ({detail}): plug it in again")]
    Gone {
        /// The device as configured.
        device: String,
        /// What the operating system said.
        detail: String,
    },
    /// Another program, or a driver of the operating system, has it.
    #[error("the USB device {device} is busy, held by {holder}: end that program, two programs must not share a tax disk")]
    Busy {
        /// The device as configured.
        device: String,
        /// Who holds it.
        holder: Holder,
    },
    /// This user may not open it.
    #[error(
        "no permission to open the USB device {device}: install the udev rule that comes with taxdisk and add the user that runs \
         this program to the group `taxdisk`"
    )]
    Permission {
        /// The device as configured.
        device: String,
    },
    /// It has no mass-storage interface with two bulk endpoints.
    #[error("the USB device {device} is not a tax disk of this kind ({detail}): correct the device in the configuration")]
    WrongDevice {
        /// The device as configured.
        device: String,
        /// What is missing.
        detail: String,
    },
    /// The device refused a transfer: the endpoint is halted until [`BulkDevice::clear_halt`].
    #[error("the USB device refused a transfer (stall)")]
    Stall,
    /// A transfer did not end in time. It was cancelled.
    #[error("the USB device did not answer in time: unplug it and plug it in again if that persists")]
    Timeout {
        /// Bytes that were moved before; `None` where the operating system does not say.
        moved: Option<usize>,
    },
    /// The device sent more than was asked for.
    #[error("the USB device sent more than it was asked for: it is another model, or it is broken")]
    Overflow,
    /// The transfer failed on the bus; the device is still there.
    #[error("a USB transfer failed ({detail}): try another port, without a hub between")]
    Io {
        /// What the operating system said.
        detail: String,
    },
    /// The device is closed; [`BulkDevice::reopen`] first.
    #[error("the USB device {device} is not open")]
    Closed {
        /// The device as configured.
        device: String,
    },
}

impl UsbError {
    /// The device is not there (any more), as opposed to a transfer that failed.
    pub fn is_absence(&self) -> bool {
        matches!(self, UsbError::Gone { .. } | UsbError::NotFound { .. } | UsbError::NoUsb { .. } | UsbError::Closed { .. })
    }
}

/// Which bulk endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pipe {
    /// Device to host.
    In,
    /// Host to device.
    Out,
}

/// The eight bytes before a control transfer, without its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// bmRequestType.
    pub request_type: u8,
    /// bRequest.
    pub request: u8,
    /// wValue.
    pub value: u16,
    /// wIndex: interface or endpoint.
    pub index: u16,
}

/// A USB device of which interface 0 is ours, with one bulk endpoint each way, and the clock that goes with it.
///
/// A transfer that returns [`UsbError::Timeout`] was cancelled: nothing of it is still under way.
pub trait BulkDevice: Send {
    /// Monotonic time since the value was made. Virtual on a scripted device.
    fn now(&self) -> Duration;

    /// Lets time pass, between two questions to a device that is busy.
    fn pause(&mut self, time: Duration);

    /// Writes all bytes as one transfer.
    ///
    /// # Errors
    /// The transfer failed. All, some or no bytes may have reached the device unless the error counts them.
    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError>;

    /// Reads one transfer: until the buffer is full or the device ends it with a short packet. Returns how many bytes came.
    ///
    /// # Errors
    /// The transfer failed; bytes that came before are lost.
    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError>;

    /// A control transfer to the device, with or without data.
    ///
    /// # Errors
    /// The transfer failed; a device that does not know the request stalls.
    fn control_out(&mut self, setup: Setup, data: &[u8], timeout: Duration) -> Result<(), UsbError>;

    /// A control transfer from the device. Returns how many bytes came.
    ///
    /// # Errors
    /// The transfer failed; a device that does not know the request stalls.
    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError>;

    /// CLEAR_FEATURE(ENDPOINT_HALT): the endpoint works again and its data toggle begins anew.
    ///
    /// # Errors
    /// The transfer failed.
    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError>;

    /// Resets the port that the device hangs on. What runs inside the device may be cut off in the middle: never while an
    /// outcome is open, before the longest time that a command can take. Nothing in this crate calls it by itself.
    ///
    /// # Errors
    /// The device did not come back: [`Self::reopen`].
    fn usb_reset(&mut self) -> Result<(), UsbError>;

    /// Lets the device go and looks for it anew. What is found may be another device.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn reopen(&mut self) -> Result<(), UsbError>;

    /// Whether it is open, as far as is known without touching it. A device that was seen to be gone is not.
    fn is_open(&self) -> bool;

    /// The serial-number string of the device that is open, where it has one.
    fn serial_number(&self) -> Option<String>;

    /// wMaxPacketSize of the bulk-OUT endpoint, bytes: 64 at full speed, 512 at high speed. At least 1.
    fn packet_bytes(&self) -> usize;

    /// The device, for people.
    fn describe(&self) -> String;
}

impl<T: BulkDevice + ?Sized> BulkDevice for Box<T> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn pause(&mut self, time: Duration) {
        (**self).pause(time);
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        (**self).bulk_out(bytes, timeout)
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        (**self).bulk_in(buffer, timeout)
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], timeout: Duration) -> Result<(), UsbError> {
        (**self).control_out(setup, data, timeout)
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        (**self).control_in(setup, buffer, timeout)
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        (**self).clear_halt(pipe)
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        (**self).usb_reset()
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        (**self).reopen()
    }

    fn is_open(&self) -> bool {
        (**self).is_open()
    }

    fn serial_number(&self) -> Option<String> {
        (**self).serial_number()
    }

    fn packet_bytes(&self) -> usize {
        (**self).packet_bytes()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
