//! `part-red`: reverses a part of an invoice (yonyou-open-api.md, section 1.8), at most what earlier reds have left.

use super::{Call, red};
use crate::document::fields::Form;
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    red::take(call, Form::PartRed).await.unwrap_or_else(|reply| reply)
}
