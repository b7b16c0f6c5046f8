//! 01 联机: the handshake. No data either way; the only command that is harmless on any port.

pub use super::super::exchange::HANDSHAKE as CODE;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::frame::{FrameType, command_frames};
    use super::super::super::vectors;

    #[test]
    fn vector_1() {
        assert_eq!(command_frames(FrameType::Fixed, super::CODE, &[]).unwrap(), vectors::frames("1 request"));
        assert_eq!(vectors::answer_data("1 answer"), Vec::<u8>::new());
    }
}
