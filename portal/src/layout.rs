//! The seam to the layout of an invoice: from a request that is issued to a file. Its state is never that of the invoice; a
//! layout can be made again at any time, and making it reaches no disk.

use crate::core::request::Request;
use crate::model::Tenant;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// `application/pdf`.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LayoutError(pub String);

/// Makes files of issued invoices.
pub trait Layout: Send + Sync {
    /// The invoice as a PDF.
    ///
    /// # Errors
    /// It cannot be made; the invoice is good all the same.
    fn pdf(&self, request: &Request, tenant: Option<&Tenant>) -> Result<Document, LayoutError>;
}

/// A portal without layout: callbacks come without `pdf`, and everything that asks for a file says that there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLayout;

impl Layout for NoLayout {
    fn pdf(&self, _: &Request, _: Option<&Tenant>) -> Result<Document, LayoutError> {
        Err(LayoutError("本平台未安装版式文件组件".to_owned()))
    }
}
