//! Descriptors of the two devices. USB 2.0, chapter 9.6; CDC 1.2, section 5.2.3.

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors {
    /// Device descriptor, 18 bytes.
    pub device: Vec<u8>,
    /// Configuration descriptor with all that hangs on it.
    pub configuration: Vec<u8>,
    /// Strings 1, 2, 3: maker, product, serial number.
    pub strings: [String; 3],
}

/// Test vendor of pid.codes; never to be shipped in a product.
const VENDOR: u16 = 0x1209;
/// The USB disk.
const PRODUCT_BOT: u16 = 0x0001;
/// The serial converter. 1209:0001–0010 are claimed by no driver by number.
const PRODUCT_ACM: u16 = 0x0002;
/// Packet size of bulk endpoints at high speed.
const BULK_PACKET_BYTES: u16 = 512;
/// Longest text of a string descriptor in UTF-16 units: its length is one byte.
const MAX_STRING_UNITS: usize = 126;

impl Descriptors {
    /// The USB disk: class 08/06/50, one interface, two bulk endpoints. `serial` is the disk's number.
    pub(super) fn bot(serial: &str) -> Descriptors {
        let interface = [
            vec![9, 4, 0, 0, 2, 0x08, 0x06, 0x50, 0],
            endpoint(super::bot::ENDPOINT_IN, 2, BULK_PACKET_BYTES, 0),
            endpoint(super::bot::ENDPOINT_OUT, 2, BULK_PACKET_BYTES, 0),
        ]
        .concat();
        Descriptors {
            device: device([0, 0, 0], PRODUCT_BOT),
            configuration: configuration(1, &interface),
            strings: ["TAXDISK", "BOT PROFILE", serial].map(str::to_owned),
        }
    }

    /// A CDC-ACM port: a communication interface with its notification endpoint, a data interface with two bulk ones.
    pub(super) fn acm(serial: &str) -> Descriptors {
        let interfaces = [
            // Both interfaces belong together.
            vec![8, 11, 0, 2, 2, 2, 1, 0],
            vec![9, 4, 0, 0, 1, 2, 2, 1, 0],
            // Header 1.10, call management, ACM (line coding and state), union.
            vec![5, 0x24, 0, 0x10, 0x01, 5, 0x24, 1, 0, 1, 4, 0x24, 2, 2, 5, 0x24, 6, 0, 1],
            endpoint(super::acm::ENDPOINT_NOTIFY, 3, 16, 8),
            vec![9, 4, 1, 0, 2, 0x0A, 0, 0, 0],
            endpoint(super::acm::ENDPOINT_IN, 2, BULK_PACKET_BYTES, 0),
            endpoint(super::acm::ENDPOINT_OUT, 2, BULK_PACKET_BYTES, 0),
        ]
        .concat();
        Descriptors {
            device: device([0xEF, 2, 1], PRODUCT_ACM),
            configuration: configuration(2, &interfaces),
            strings: ["TAXDISK", "ZC CONVERTER", serial].map(str::to_owned),
        }
    }

    /// A string descriptor; 0 is the list of languages.
    pub(super) fn string(&self, index: u8) -> Option<Vec<u8>> {
        if index == 0 {
            return Some(vec![4, 3, 0x09, 0x04]);
        }
        let text = self.strings.get(usize::from(index) - 1)?;
        let units: Vec<u8> = text.encode_utf16().take(MAX_STRING_UNITS).flat_map(u16::to_le_bytes).collect();
        let length = u8::try_from(units.len() + 2).ok()?;
        Some([vec![length, 3], units].concat())
    }
}

fn device(class: [u8; 3], product: u16) -> Vec<u8> {
    let mut bytes = vec![18, 1, 0x00, 0x02, class[0], class[1], class[2], 64];
    bytes.extend(VENDOR.to_le_bytes());
    bytes.extend(product.to_le_bytes());
    bytes.extend([0x00, 0x01, 1, 2, 3, 1]);
    bytes
}

fn configuration(interfaces: u8, body: &[u8]) -> Vec<u8> {
    // Both bodies are constants far below 64 KiB.
    let total = u16::try_from(9 + body.len()).unwrap_or(u16::MAX).to_le_bytes();
    [&[9, 2, total[0], total[1], interfaces, 1, 0, 0x80, 50], body].concat()
}

fn endpoint(address: u8, attributes: u8, packet_bytes: u16, interval: u8) -> Vec<u8> {
    let size = packet_bytes.to_le_bytes();
    vec![7, 5, address, attributes, size[0], size[1], interval]
}
