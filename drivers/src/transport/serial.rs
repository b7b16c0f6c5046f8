//! A serial port: RS-232, a USB adapter, Bluetooth SPP or a pseudo-terminal; 8N1, raw, exclusive, no flow control
//! (device-serial-zc.md, section 1).
//!
//! It opens the path that it is given and never looks it up in a list of ports: lists miss pseudo-terminals and
//! udev's names. It never opens a port by itself and never shares one.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serialport::{ClearBuffer, DataBits, FlowControl, Parity, SerialPort, StopBits};

use super::{BrokenWrite, ByteLine, LineError};
use crate::system::{self, Port};

/// A port reports itself writable when it has some room, and the write then blocks until all bytes of that call fit. Real
/// ports keep far more room than this when they say so; a longer write could block past the deadline.
const WRITE_CHUNK_BYTES: usize = 64;

/// An open serial port, or one that went away and can be opened again.
#[derive(Debug)]
pub struct SerialLine {
    path: String,
    speed_baud: u32,
    port: Option<Port>,
    start: Instant,
}

impl SerialLine {
    /// Opens a port exclusively.
    ///
    /// # Errors
    /// Not there, busy (and held by whom), not permitted, or not a serial port.
    pub fn open(path: &str, speed_baud: u32) -> Result<SerialLine, LineError> {
        let mut line = SerialLine::closed(path, speed_baud);
        line.reopen()?;
        Ok(line)
    }

    /// A line that is not open yet: [`ByteLine::reopen`] opens it. For a device that is plugged in later.
    pub fn closed(path: &str, speed_baud: u32) -> SerialLine {
        SerialLine { path: path.to_owned(), speed_baud, port: None, start: Instant::now() }
    }

    fn open_port(&self) -> Result<Port, LineError> {
        system::before_opening(&self.path)?;
        let builder = serialport::new(&self.path, self.speed_baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .flow_control(FlowControl::None)
            .timeout(system::TIMEOUT_LEAST);
        Port::open(&builder).map_err(|error| system::open_failed(&self.path, error))
    }

    /// The port failed. It is closed at once, so that its name is free when the device is plugged in again.
    fn lost(&mut self, error: &io::Error) -> LineError {
        self.port = None;
        LineError::Gone { port: self.path.clone(), detail: error.to_string() }
    }

    fn not_open(&self) -> LineError {
        LineError::Gone { port: self.path.clone(), detail: "it is not open".to_owned() }
    }
}

impl ByteLine for SerialLine {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), BrokenWrite> {
        let mut written = 0;
        while written < bytes.len() {
            let left = deadline.saturating_sub(self.start.elapsed());
            let Some(port) = self.port.as_mut() else { return Err(BrokenWrite { written, error: self.not_open() }) };
            let chunk = &bytes[written..bytes.len().min(written + WRITE_CHUNK_BYTES)];
            let given_up = system::written_at_most(written, chunk.len());
            let outcome =
                port.set_timeout(left.max(system::TIMEOUT_LEAST)).map_err(io::Error::from).and_then(|()| port.write(chunk));
            match outcome {
                // Windows takes nothing of a write that is over its time.
                Ok(0) if cfg!(windows) => {
                    let error = LineError::WriteTimeout { port: self.path.clone() };
                    return Err(BrokenWrite { written: given_up, error });
                }
                Ok(0) => {
                    let error = self.lost(&io::Error::from(ErrorKind::WriteZero));
                    return Err(BrokenWrite { written: given_up, error });
                }
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted && !left.is_zero() => {}
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    let error = LineError::WriteTimeout { port: self.path.clone() };
                    return Err(BrokenWrite { written: given_up, error });
                }
                Err(error) => {
                    let error = self.lost(&error);
                    return Err(BrokenWrite { written: given_up, error });
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        loop {
            let left = deadline.saturating_sub(self.start.elapsed());
            let Some(port) = self.port.as_mut() else { return Err(self.not_open()) };
            match port.set_timeout(left.max(system::TIMEOUT_LEAST)).map_err(io::Error::from).and_then(|()| port.read(buffer)) {
                // A terminal that hung up reads as an endless end of file.
                Ok(0) => return Err(self.lost(&io::Error::from(ErrorKind::UnexpectedEof))),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted && !left.is_zero() => {}
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    return Ok(0);
                }
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    fn drop_output(&mut self) {
        if let Some(port) = &self.port {
            // Best effort: a driver that cannot do it sends what it has, which is what happens without this call.
            let _ = port.clear(ClearBuffer::Output);
        }
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        self.port = None;
        let port = self.open_port()?;
        // What was received before the line was ours and raw may be an echo.
        let _ = port.clear(ClearBuffer::Input);
        self.port = Some(port);
        Ok(())
    }

    fn set_speed(&mut self, speed_baud: u32) -> Result<(), LineError> {
        self.speed_baud = speed_baud;
        self.reopen()
    }

    fn is_open(&self) -> bool {
        self.port.is_some()
    }

    fn describe(&self) -> String {
        self.path.clone()
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Holder;
    use super::*;
    use crate::system::holder_of;
    use std::fs::File;
    use std::os::fd::OwnedFd;

    /// The other end of a pseudo-terminal, and the path to open.
    fn pty() -> (File, String) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        (File::from(master), path)
    }

    #[test]
    fn all_bytes_pass_both_ways_and_deadlines_hold() {
        let (mut master, path) = pty();
        let mut line = SerialLine::open(&path, 9600).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        let soon = line.now() + Duration::from_secs(5);
        line.write(&all, soon).unwrap();
        let mut seen = vec![0; 256];
        master.read_exact(&mut seen).unwrap();
        assert_eq!(seen, all);
        master.write_all(&all).unwrap();
        let mut back = Vec::new();
        while back.len() < 256 {
            let mut buffer = [0; 100];
            let count = line.read(&mut buffer, soon).unwrap();
            assert!(count > 0, "the bytes did not arrive in time");
            back.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(back, all);
        let before = line.now();
        assert_eq!(line.read(&mut [0; 4], before + Duration::from_millis(30)), Ok(0));
        assert!(line.now() - before >= Duration::from_millis(30));
        master.write_all(b"late").unwrap();
        assert_eq!(line.drop_input(), Ok(4));
    }

    #[test]
    fn nobody_reading_ends_at_the_deadline_and_says_how_much_was_taken() {
        let (_master, path) = pty();
        let mut line = SerialLine::open(&path, 9600).unwrap();
        let deadline = line.now() + Duration::from_millis(50);
        let broken = line.write(&vec![0; 100_000], deadline).unwrap_err();
        assert!(broken.written > 0 && broken.written < 100_000, "{broken:?}");
        assert!(matches!(broken.error, LineError::WriteTimeout { .. }));
    }

    #[test]
    fn a_held_port_is_busy_and_names_its_holder() {
        let (_master, path) = pty();
        let held = SerialLine::open(&path, 9600).unwrap();
        let error = SerialLine::open(&path, 9600).unwrap_err();
        assert_eq!(error, LineError::Busy { port: path.clone(), holder: Holder::ThisProgram });
        assert!(error.to_string().contains("busy, held by"), "{error}");
        drop(held);
        SerialLine::open(&path, 9600).unwrap();
    }

    #[test]
    fn another_program_that_holds_the_port_is_named() {
        let (_master, path) = pty();
        // It reads from the port until it is killed.
        let slave = File::options().read(true).write(true).open(&path).unwrap();
        let mut child = std::process::Command::new("cat").stdin(slave).spawn().unwrap();
        let holder = holder_of(&path);
        child.kill().unwrap();
        child.wait().unwrap();
        let Holder::Process { pid, .. } = &holder else { panic!("{holder:?}") };
        assert_eq!(*pid, child.id());
        assert!(holder.to_string().contains(&format!("process {pid}")));
    }

    #[test]
    fn a_vanished_device_is_gone_and_a_missing_or_wrong_port_is_told_apart() {
        let (master, path) = pty();
        let mut line = SerialLine::open(&path, 9600).unwrap();
        drop(master);
        let soon = line.now() + Duration::from_secs(5);
        assert!(matches!(line.read(&mut [0; 4], soon), Err(LineError::Gone { .. })));
        assert!(!line.is_open());
        let broken = line.write(b"x", soon).unwrap_err();
        assert_eq!(broken.written, 0);
        assert!(matches!(line.reopen(), Err(LineError::NotFound { .. })));
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = SerialLine::open(file.path().to_str().unwrap(), 9600).unwrap_err();
        assert!(matches!(plain, LineError::NotSerial { .. }), "{plain:?}");
        assert!(LineError::Permission { port: path }.to_string().contains("dialout"));
    }
}
