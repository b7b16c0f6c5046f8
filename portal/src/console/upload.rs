//! Files that people upload, as browsers send them: multipart/form-data (RFC 7578). The few routes that take one are named here;
//! every other route reads plain forms only.

use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::stream;
use multer::{Constraints, Multipart, SizeLimit};

use crate::files::table::MAX_FILE_BYTES;
use crate::wire::form::Form;

/// Routes that take a file.
const ROUTES: [&str; 3] = ["/console/goods/import", "/console/customers/import", "/console/codes/{code}/receipt"];
/// A body with a file at most, bytes: the file, and the fields beside it.
pub(super) const MAX_BODY_BYTES: usize = MAX_FILE_BYTES + 64 * 1024;
/// Fields beside the file at most.
const MAX_FIELDS: usize = 64;

/// The file of a form.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload(pub(super) Bytes);

/// Does this route take a file?
pub(super) fn takes(route: &str) -> bool {
    ROUTES.contains(&route)
}

/// Is this how a form with a file is sent?
pub(super) fn is_multipart(content_type: &str) -> bool {
    multer::parse_boundary(content_type).is_ok()
}

/// Fields and file. `None`: it is not such a form, or goes beyond a limit.
pub(super) async fn read(content_type: &str, body: Bytes) -> Option<(Form, Upload)> {
    let boundary = multer::parse_boundary(content_type).ok()?;
    let limits = SizeLimit::new().whole_stream(MAX_BODY_BYTES as u64).per_field(MAX_FILE_BYTES as u64 + 1);
    let stream = stream::once(async move { Ok::<_, Infallible>(body) });
    let mut parts = Multipart::with_constraints(stream, boundary, Constraints::new().size_limit(limits));
    let (mut fields, mut upload) = (Vec::new(), Upload::default());
    while let Some(part) = parts.next_field().await.ok()? {
        if fields.len() == MAX_FIELDS {
            return None;
        }
        let name = part.name().unwrap_or_default().to_owned();
        if part.file_name().is_some() {
            upload = Upload(part.bytes().await.ok()?);
        } else {
            fields.push((name, part.text().await.ok()?));
        }
    }
    Some((Form::of(fields), upload))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fields_and_the_file_are_told_apart() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n--x\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"商品.csv\"\r\nContent-Type: text/csv\r\n\r\na,b\r\n1,2\r\n--x--\r\n";
        let (form, file) = read("multipart/form-data; boundary=x", Bytes::from_static(body.as_bytes())).await.unwrap();
        assert_eq!(form.get("csrf"), Some("token"));
        assert_eq!(&file.0[..], b"a,b\r\n1,2");
        assert!(read("multipart/form-data; boundary=x", Bytes::from_static(b"--x\r\nbroken")).await.is_none());
        assert!(read("application/x-www-form-urlencoded", Bytes::from_static(b"a=b")).await.is_none());
        let many = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n".repeat(MAX_FIELDS + 1) + "--x--\r\n";
        assert!(read("multipart/form-data; boundary=x", Bytes::from(many)).await.is_none(), "too many fields");
    }
}
