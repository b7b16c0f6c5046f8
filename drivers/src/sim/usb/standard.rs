//! The standard requests that every device answers (USB 2.0, chapter 9.4); the rest goes to the device.

use super::{ControlReply, Setup, Stalled, UsbDevice};

/// Answers any control request.
pub(super) fn control(device: &mut dyn UsbDevice, setup: Setup, data: &[u8]) -> ControlReply {
    let [low, high] = setup.value.to_le_bytes();
    let endpoint = setup.index.to_le_bytes()[0];
    match (setup.request_type, setup.request) {
        (0x80, 6) => match high {
            1 => Ok(device.descriptors().device.clone()),
            2 if low == 0 => Ok(device.descriptors().configuration.clone()),
            3 => device.descriptors().string(low).ok_or(Stalled),
            // Qualifier and BOS: a stall says that there is none.
            _ => Err(Stalled),
        },
        (0x80 | 0x81, 0) => Ok(vec![0, 0]),
        (0x82, 0) => Ok(vec![u8::from(device.is_halted(endpoint)), 0]),
        (0x80, 8) => Ok(vec![1]),
        (0x81, 10) => Ok(vec![0]),
        // SET_ADDRESS and SET_CONFIGURATION come after a reset of the bus.
        (0x00, 5 | 9) => {
            device.bus_reset();
            Ok(Vec::new())
        }
        (0x01, 11) if setup.value == 0 => Ok(Vec::new()),
        (0x02, 1) if setup.value == 0 => {
            device.clear_halt(endpoint);
            Ok(Vec::new())
        }
        (request_type, _) if request_type & 0x60 == 0 => Err(Stalled),
        _ => device.class_request(setup, data),
    }
}
