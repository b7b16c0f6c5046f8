//! The checksum of a frame: CRC-16/UMTS (device-serial-zc.md, section 2.1). Not the reflected ARC, not Modbus.

const POLYNOMIAL: u16 = 0x8005;

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// The checksum over a frame's bytes, header included; sent high byte first.
pub fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xFEE8);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn every_single_bit_error_in_a_full_frame_is_seen() {
        let mut frame = vec![0x5A; 253];
        let good = checksum(&frame);
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&frame), good, "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
