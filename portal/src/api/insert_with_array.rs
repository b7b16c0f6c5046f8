//! `insertWithArray`: blue invoices, one for each document (yonyou-open-api.md, section 1.3).

use super::blue::{self, Manner};
use super::{Call, verdict};
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    match blue::insert(call, Manner::Single).await {
        Ok((call, verdicts, refused)) => verdict::reply(&call, &verdicts, refused.as_deref()),
        Err(reply) => reply,
    }
}
