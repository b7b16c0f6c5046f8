//! The seam to the layout of an invoice: from a request that is issued to a file. Its state is never that of the invoice; a
//! layout can be made again at any time, and making it reaches no disk.

use taxdisk_layout::{IssuedInvoice, Seller};
use taxdisk_protocol::api::Operation;
use taxdisk_protocol::rules;

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
    /// Is everything there that a layout needs? Cheap: a status query asks it for every invoice, and drawing takes long.
    ///
    /// # Errors
    /// What is missing.
    fn check(&self, request: &Request, tenant: Option<&Tenant>) -> Result<(), LayoutError>;

    /// The invoice as a PDF.
    ///
    /// # Errors
    /// It cannot be made; the invoice is good all the same.
    fn pdf(&self, request: &Request, tenant: Option<&Tenant>) -> Result<Document, LayoutError>;

    /// The invoice as an OFD.
    ///
    /// # Errors
    /// As of [`Layout::pdf`].
    fn ofd(&self, request: &Request, tenant: Option<&Tenant>) -> Result<Document, LayoutError>;
    /// Do its documents say 样票 / SAMPLE?
    fn is_sample(&self) -> bool;
}

/// The national layout, of the crate `taxdisk-layout`.
#[derive(Debug, Clone, Copy)]
pub struct NationalLayout {
    /// A simulated disk signed: every document says 样票 / SAMPLE.
    pub simulated: bool,
}

impl Layout for NationalLayout {
    fn check(&self, request: &Request, tenant: Option<&Tenant>) -> Result<(), LayoutError> {
        self.issued(request, tenant).map(|_| ())
    }

    fn pdf(&self, request: &Request, tenant: Option<&Tenant>) -> Result<Document, LayoutError> {
        let invoice = self.issued(request, tenant)?;
        let bytes = taxdisk_layout::pdf(&invoice).map_err(|error| LayoutError(error.to_string()))?;
        Ok(Document { content_type: "application/pdf", bytes })
    }

    fn ofd(&self, request: &Request, tenant: Option<&Tenant>) -> Result<Document, LayoutError> {
        let invoice = self.issued(request, tenant)?;
        let bytes = taxdisk_layout::ofd(&invoice).map_err(|error| LayoutError(error.to_string()))?;
        Ok(Document { content_type: "application/ofd", bytes })
    }

    fn is_sample(&self) -> bool {
        self.simulated
    }
}

impl NationalLayout {
    /// The invoice as the layout wants it. What the device did not say is left out, never made up.
    fn issued(self, request: &Request, tenant: Option<&Tenant>) -> Result<IssuedInvoice, LayoutError> {
        let wrong = |what: &str| LayoutError(format!("{what}不可用"));
        let issued = request.issued.as_ref().ok_or_else(|| wrong("发票号码"))?;
        let pair = request.pair().and_then(|pair| pair.pair()).ok_or_else(|| wrong("发票号码"))?;
        let job = rules::parse(&request.job).map_err(|_| wrong("发票内容"))?;
        let document = &request.document;
        let known = tenant.and_then(|tenant| tenant.seller(&request.seller));
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let text = |name: &str, fallback: Option<&str>| match document.text(name) {
            "" => fallback.unwrap_or_default().to_owned(),
            given => given.to_owned(),
        };
        let notice = job.invoice.as_ref().and_then(|invoice| given(&invoice.notice));
        Ok(IssuedInvoice {
            serial: job.key.serial.clone(),
            kind: job.kind,
            pair,
            issued_at: issued.issued_at.clone(),
            machine: issued.disk.parse().map_err(|_| wrong("机器编号"))?,
            check_code: given(&issued.printed.check_code),
            cipher: given(issued.cipher()),
            qr_text: given(&issued.printed.qr_text),
            seller: Seller {
                name: text("XSF_MC", known.map(|seller| seller.name.as_str())),
                taxpayer_number: job.key.seller.clone(),
                address_phone: text("XSF_DZDH", known.map(|seller| seller.address_phone.as_str())),
                bank_account: text("XSF_YHZH", known.map(|seller| seller.bank_account.as_str())),
            },
            invoice: job.invoice.ok_or_else(|| wrong("发票内容"))?,
            mark: None,
            original: (request.operation == Operation::Red).then_some(job.original).flatten(),
            notice,
            simulated: self.simulated,
        })
    }
}
