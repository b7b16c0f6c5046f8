//! `email`, `sms`, `url`, `delurl` and `nc6x-ubl` of a batch: who gets the result of which document (yonyou-open-api.md, 1.3).

use std::collections::HashMap;

use super::Call;
use crate::core::request::{CallbackTarget, Delivery};
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// Addresses of one kind for one document at most.
const MAX_ADDRESSES: usize = 20;
/// Characters of an address at most.
const MAX_ADDRESS_CHARS: usize = 500;

/// Where the results of each document go; and whether an address is not called.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    by_serial: HashMap<String, Delivery>,
    /// A callback address is not one that may be called: the invoice is issued all the same.
    pub(super) refused: Option<String>,
}

impl Deliveries {
    pub(super) fn of(&self, serial: &str) -> Delivery {
        self.by_serial.get(serial).cloned().unwrap_or_default()
    }

    /// Reads all five fields. `serials`: the documents of the request.
    pub(super) fn read(call: &Call, serials: &[String]) -> Result<Deliveries, Reply> {
        let mut deliveries = Deliveries::default();
        for field in ["email", "sms", "url", "delurl", "nc6x-ubl"] {
            let Some(json) = call.json_field(field)? else { continue };
            let Json::List(entries) = json else {
                return Err(wrong(field, "应为 JSON 数组"));
            };
            for entry in &entries {
                deliveries.entry(call, field, entry, serials)?;
            }
        }
        Ok(deliveries)
    }

    fn entry(&mut self, call: &Call, field: &'static str, entry: &Json, serials: &[String]) -> Result<(), Reply> {
        let text = |name: &str| entry.get(name).and_then(Json::scalar).map(str::to_owned);
        let serial = text("fpqqlsh").or_else(|| text("FPQQLSH")).ok_or_else(|| wrong(field, "fpqqlsh 必填"))?;
        if !serials.contains(&serial) {
            return Err(wrong(field, &format!("流水号 {serial} 不在本次请求中")));
        }
        let delivery = self.by_serial.entry(serial).or_default();
        if matches!(field, "email" | "sms") {
            let address = text("address").ok_or_else(|| wrong(field, "address 必填"))?;
            checked(field, &address)?;
            let list = if field == "email" { &mut delivery.emails } else { &mut delivery.phones };
            list.extend(address.split([',', '，']).map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()));
            return if list.len() > MAX_ADDRESSES { Err(wrong(field, "地址过多")) } else { Ok(()) };
        }
        let url = text("url").ok_or_else(|| wrong(field, "url 必填"))?;
        checked(field, &url)?;
        if let Err(why) = callable(call, &url) {
            self.refused = Some(why);
            return Ok(());
        }
        if field == "delurl" {
            delivery.del_urls.push(url);
        } else {
            let ncc = text("intf").or_else(|| text("interface")).zip(text("method"));
            delivery.urls.push(CallbackTarget { url, ncc });
        }
        if delivery.urls.len() + delivery.del_urls.len() > MAX_ADDRESSES { Err(wrong(field, "地址过多")) } else { Ok(()) }
    }
}

/// May this address be called for this caller, as far as its text tells?
pub(super) fn callable(call: &Call, url: &str) -> Result<(), String> {
    let target = call.portal.outbound.target(url).map_err(|refused| refused.to_string())?;
    let hosts = &call.known.caller.switches.callback_hosts;
    if hosts.is_empty() || hosts.iter().any(|host| host.eq_ignore_ascii_case(target.host())) {
        return Ok(());
    }
    Err(format!("{} 不在回调地址白名单中", target.host()))
}

fn checked(field: &str, address: &str) -> Result<(), Reply> {
    match address.chars().count() {
        length if length > MAX_ADDRESS_CHARS => Err(wrong(field, &format!("长度为 {length}，最多 {MAX_ADDRESS_CHARS} 个字符"))),
        _ => Ok(()),
    }
}

fn wrong(field: &str, text: &str) -> Reply {
    Reply::invalid("DELIVERY", format!("{field}：{text}（规则 delivery）"))
}
