//! 11 数据抄报: the period report of a kind. Changes the disk. Over the network, so its answer may take 180 s.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::FieldError;
use super::Subject;

/// Command number.
pub const CODE: u8 = 0x11;

/// jzlx: how the report travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// 1: over the network.
    Network,
    /// 2: onto a reporting disk that is plugged in beside.
    ReportingDisk,
}

impl Route {
    pub(in super::super) fn digit(self) -> &'static str {
        match self {
            Route::Network => "1",
            Route::ReportingDisk => "2",
        }
    }
}

/// COMMON55, jzlx 1, kpjh 5. The answer is empty.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind, route: Route, issuer: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.common(kind);
    writer.text("", route.digit(), 1).text("issuer number", issuer, 5);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn fields_in_their_places() {
        let data = request(&subject(), InvoiceKind::Roll, Route::Network, "0").unwrap();
        assert_eq!(data.len(), 61);
        assert_eq!(&data[40..], b"025JQ000000000110\0\0\0\0");
        assert_eq!(request(&subject(), InvoiceKind::Roll, Route::ReportingDisk, "12345").unwrap()[55..], *b"212345");
        assert!(request(&subject(), InvoiceKind::Roll, Route::Network, "123456").is_err());
    }
}
