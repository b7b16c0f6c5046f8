//! Byte streams under the dialects: a serial port, or a scripted line in tests.
//!
//! A line moves bytes and tells the time; it knows no frames. It never repeats a write, never reopens itself unasked and
//! never reads more than it is asked for. Time belongs to the line, so that a scripted line can run the waits of minutes
//! that the protocols have in no time at all.
//!
//! Read first: [`ByteLine`] and [`LineError`].

pub mod document;
pub mod memory;
pub mod record;
pub mod ring;
pub mod serial;
pub mod usb;

use std::time::Duration;

/// Why a line cannot be used, in words for the person who can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// There is no such port now: never plugged in, or its name changed.
    #[error("there is no port {port}: plug the device in, or correct the port in the configuration")]
    NotFound {
        /// The port as configured.
        port: String,
    },
    /// The port was open and went away.
    #[error("the device at {port} was unplugged or switched off ({detail}): plug it in again")]
    Gone {
        /// The port as configured.
        port: String,
        /// What the operating system said.
        detail: String,
    },
    /// Another program has the port open.
    #[error("the port {port} is busy, held by {holder}: end that program, two programs must not share a tax disk")]
    Busy {
        /// The port as configured.
        port: String,
        /// Who holds it.
        holder: Holder,
    },
    /// This user may not open the port.
    #[error(
        "no permission to open {port}: add the user that runs this program to the group `dialout` (usermod -aG dialout USER, then \
         restart the program), or install the udev rule that comes with taxdisk"
    )]
    Permission {
        /// The port as configured.
        port: String,
    },
    /// The path is not a serial port.
    #[error("{port} is not a serial port: correct the port in the configuration")]
    NotSerial {
        /// The port as configured.
        port: String,
    },
    /// The device did not take the bytes in time.
    #[error("{port} did not take all bytes in time: check cable and power, and that the device uses no flow control")]
    WriteTimeout {
        /// The port as configured.
        port: String,
    },
    /// It never fell silent within the stated time.
    #[error("{port} never falls silent: it may be the wrong port, or the wrong speed")]
    NeverSilent {
        /// The port as configured.
        port: String,
    },
    /// Anything else that the operating system said.
    #[error("{port}: {detail}")]
    Other {
        /// The port as configured.
        port: String,
        /// What the operating system said.
        detail: String,
    },
}

/// The program that holds a port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A process that this user can see.
    Process {
        /// Its process id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// This very process: the port is configured twice, or was not let go.
    ThisProgram,
    /// A process that this user cannot see; root can.
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Process { pid, name } => write!(f, "{name} (process {pid})"),
            Holder::ThisProgram => f.write_str("this program itself (is the port configured twice?)"),
            Holder::Unknown => f.write_str("a program that this user cannot see (as root: fuser -v PORT)"),
        }
    }
}

/// A write that broke off. How much left this program decides whether a command can have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenWrite {
    /// Bytes that the operating system took. They may still reach the device.
    pub written: usize,
    /// Why it broke off.
    pub error: LineError,
}

/// A half-duplex byte stream to one device, and the clock that goes with it.
pub trait ByteLine: Send {
    /// Monotonic time since the line was made. Virtual on a scripted line.
    fn now(&self) -> Duration;

    /// Writes all bytes, or says how many were taken before it failed or the deadline (in the time of [`Self::now`]) passed.
    ///
    /// # Errors
    /// The count of bytes taken, and why no more were.
    fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), BrokenWrite>;

    /// Reads what is there, at least one byte; waits for it until the deadline. `Ok(0)` means that the deadline passed.
    ///
    /// # Errors
    /// The line is broken; nothing was read.
    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError>;

    /// Throws away what was received and not read. Returns how many bytes that were, at most [`DROP_LIMIT_BYTES`].
    ///
    /// # Errors
    /// The line is broken.
    fn drop_input(&mut self) -> Result<usize, LineError> {
        let mut scratch = [0; 256];
        let mut dropped = 0;
        while dropped < DROP_LIMIT_BYTES {
            let now = self.now();
            match self.read(&mut scratch, now)? {
                0 => break,
                count => dropped += count,
            }
        }
        Ok(dropped)
    }

    /// Throws away what was written and has not left the computer yet. Best effort.
    fn drop_output(&mut self) {}

    /// Reads and throws away until nothing came for `quiet`; gives up after `limit` in all. Returns how many bytes came.
    ///
    /// # Errors
    /// The line is broken, or never falls silent.
    fn wait_silent(&mut self, quiet: Duration, limit: Duration) -> Result<usize, LineError> {
        let give_up = self.now() + limit;
        let mut scratch = [0; 256];
        let mut dropped = 0;
        loop {
            let until = self.now() + quiet;
            match self.read(&mut scratch, until)? {
                0 => return Ok(dropped),
                count => dropped += count,
            }
            if self.now() >= give_up {
                return Err(LineError::NeverSilent { port: self.describe() });
            }
        }
    }

    /// Closes and opens the line again. What is behind it may be another device afterwards.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn reopen(&mut self) -> Result<(), LineError>;

    /// Closes the line and opens it at another speed, which it keeps from then on.
    ///
    /// # Errors
    /// The line has no speed of its own, or cannot be opened.
    fn set_speed(&mut self, speed_baud: u32) -> Result<(), LineError> {
        Err(LineError::Other { port: self.describe(), detail: format!("it has no speed that could be set to {speed_baud} baud") })
    }

    /// Whether the line is open, as far as it knows without touching it.
    fn is_open(&self) -> bool;

    /// The port, for people.
    fn describe(&self) -> String;
}

/// More waiting input than this is noise from a wrong port: stop dropping and let the caller's own limits end it.
pub const DROP_LIMIT_BYTES: usize = 64 * 1024;

impl<T: ByteLine + ?Sized> ByteLine for Box<T> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), BrokenWrite> {
        (**self).write(bytes, deadline)
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        (**self).read(buffer, deadline)
    }

    fn drop_input(&mut self) -> Result<usize, LineError> {
        (**self).drop_input()
    }

    fn drop_output(&mut self) {
        (**self).drop_output();
    }

    fn wait_silent(&mut self, quiet: Duration, limit: Duration) -> Result<usize, LineError> {
        (**self).wait_silent(quiet, limit)
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        (**self).reopen()
    }

    fn set_speed(&mut self, speed_baud: u32) -> Result<(), LineError> {
        (**self).set_speed(speed_baud)
    }

    fn is_open(&self) -> bool {
        (**self).is_open()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}
