//! Inflates a payload under a cap, with or without an end of its stream (yonyou-open-api.md, sections 2.2 and 2.4.4).

use flate2::{Decompress, FlushDecompress, Status};

use super::Refused;

/// Inflated bytes at most. The claims are a few hundred.
const MAX_INFLATED_BYTES: usize = 64 * 1024;

/// How a payload may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// `calg`: zlib, perhaps without an end.
    Zlib,
    /// `zip`: raw deflate by the standard, zlib by the library that writes it.
    ZlibOrRaw,
}

pub(super) fn inflate(packed: &[u8], compression: Compression) -> Result<Vec<u8>, Refused> {
    let zlib = is_zlib(packed);
    if !zlib && compression == Compression::Zlib {
        return Err(Refused::Inflate);
    }
    let mut stream = Decompress::new(zlib);
    // One byte more than allowed tells a full buffer from one that is too small.
    let mut inflated = Vec::with_capacity(MAX_INFLATED_BYTES + 1);
    loop {
        let before = (stream.total_in(), stream.total_out());
        let used = usize::try_from(stream.total_in()).map_err(|_| Refused::Inflate)?;
        let status =
            stream.decompress_vec(&packed[used..], &mut inflated, FlushDecompress::None).map_err(|_| Refused::Inflate)?;
        if inflated.len() > MAX_INFLATED_BYTES {
            return Err(Refused::Inflate);
        }
        let all_used = stream.total_in() == packed.len() as u64;
        match status {
            Status::StreamEnd if all_used => return Ok(inflated),
            Status::StreamEnd => return Err(Refused::Inflate),
            // Whether the text is whole is seen by its being JSON, not by the stream.
            Status::Ok | Status::BufError if all_used => return Ok(inflated),
            Status::Ok | Status::BufError if (stream.total_in(), stream.total_out()) == before => return Err(Refused::Inflate),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// RFC 1950: method 8, a window of at most 32 KiB, the check of the first two bytes, no preset dictionary.
fn is_zlib(packed: &[u8]) -> bool {
    let [method, flags, ..] = packed else { return false };
    let check = u16::from_be_bytes([*method, *flags]) % 31 == 0;
    method & 0x0f == 8 && method >> 4 <= 7 && check && flags & 0x20 == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression as Level;
    use flate2::write::{DeflateEncoder, ZlibEncoder};

    use super::*;

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Level::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn streams_with_and_without_an_end_are_read_up_to_the_cap() {
        let mut open = ZlibEncoder::new(Vec::new(), Level::best());
        open.write_all(b"{\"a\":1}").unwrap();
        open.flush().unwrap();
        assert_eq!(inflate(open.get_ref(), Compression::Zlib).unwrap(), b"{\"a\":1}");
        assert_eq!(inflate(&zlib(b"x"), Compression::Zlib).unwrap(), b"x");
        let mut raw = DeflateEncoder::new(Vec::new(), Level::best());
        raw.write_all(b"{\"a\":1}").unwrap();
        let raw = raw.finish().unwrap();
        assert_eq!(inflate(&raw, Compression::ZlibOrRaw).unwrap(), b"{\"a\":1}");
        assert_eq!(inflate(&raw, Compression::Zlib), Err(Refused::Inflate));
        assert_eq!(inflate(&zlib(&[0; MAX_INFLATED_BYTES]), Compression::Zlib).unwrap().len(), MAX_INFLATED_BYTES);
        assert_eq!(inflate(&zlib(&[0; MAX_INFLATED_BYTES + 1]), Compression::Zlib), Err(Refused::Inflate));
        let mut more = zlib(b"x");
        more.push(0);
        assert_eq!(inflate(&more, Compression::Zlib), Err(Refused::Inflate));
        assert_eq!(inflate(b"", Compression::Zlib), Err(Refused::Inflate));
        assert_eq!(inflate(&[0x78, 0xf9, 0, 0, 0, 0], Compression::Zlib), Err(Refused::Inflate), "preset dictionary");
    }
}
