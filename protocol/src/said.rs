//! What waits for a second person, in words: what is done to which jobs once it is confirmed. Console and command line say the
//! same, so that whoever confirms knows what whoever proposed meant.
//!
//! Everything that a proposal holds is in the sentences, but for its reason, which is shown beside them.
//!
//! Read first: [`proposal`].

use crate::api::{
    BulkFilter, JobState, PairBody, Proposed, ReconcileJobRequest, ReconcileNumberRequest, SettleDecision, SettleReading,
    SettleRequest,
};

/// A language of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tongue {
    /// 中文.
    Zh,
    /// English.
    En,
}

use Tongue::{En, Zh};

/// What is done when it is confirmed, a sentence or a condition each.
pub fn proposal(tongue: Tongue, what: &Proposed) -> Vec<String> {
    match what {
        Proposed::Settle { seller, serial, request } => settle(tongue, &job(tongue, seller, serial), request),
        Proposed::BulkReissue { key, filter } => bulk(tongue, key, filter),
        Proposed::ReconcileNumber { request } => number(tongue, request),
        Proposed::ReconcileJob { seller, serial, request } => line(tongue, &job(tongue, seller, serial), request),
        Proposed::ReleaseUnread { disk } => match tongue {
            Zh => vec![
                format!("税控盘 {disk} 不经读取即放行，其销方的任务继续开票。"),
                "若盘上有本账本不知道的发票，一笔销售可能开出两张发票。".to_owned(),
            ],
            En => vec![
                format!("Disk {disk} is let go without being read, and jobs of its seller go on."),
                "If it holds an invoice that this ledger does not know, one sale may get two.".to_owned(),
            ],
        },
    }
}

fn job(tongue: Tongue, seller: &str, serial: &str) -> String {
    match tongue {
        Zh => format!("销方 {seller} 的任务 {serial}"),
        En => format!("Job {serial} of seller {seller}"),
    }
}

fn pair(pair: &PairBody) -> String {
    format!("{} {}", pair.code, pair.number)
}

fn settle(tongue: Tongue, job: &str, request: &SettleRequest) -> Vec<String> {
    let is_void = matches!(request.expected, SettleReading::Void | SettleReading::Valid);
    let of = request.pair.as_ref().map(pair).unwrap_or_default();
    let its = if of.is_empty() { String::new() } else { format!(" {of}") };
    let mut said = vec![match (tongue, request.decision, is_void) {
        (Zh, SettleDecision::Issued, false) => format!("{job}记为已开票，发票为 {of}。"),
        (En, SettleDecision::Issued, false) => format!("{job} is entered as issued; its invoice is {of}."),
        (Zh, SettleDecision::NotIssued, false) => format!("{job}记为未开票：发票不存在，可用同一流水号重新开具。"),
        (En, SettleDecision::NotIssued, false) => {
            format!("{job} is entered as not issued: no invoice exists, and it may be issued again under the same serial number.")
        }
        (Zh, SettleDecision::Issued, true) => format!("{job}（作废）记为已完成：原发票{its}已作废。"),
        (En, SettleDecision::Issued, true) => format!("{job}, a void, is entered as done: its original{its} is void."),
        (Zh, SettleDecision::NotIssued, true) => format!("{job}（作废）记为未完成：原发票{its}仍有效。"),
        (En, SettleDecision::NotIssued, true) => format!("{job}, a void, is entered as not done: its original{its} is valid."),
    }];
    let reading = match (tongue, request.expected) {
        (Zh, SettleReading::PresentOurs) => "预期号码存在，且是本任务的",
        (En, SettleReading::PresentOurs) => "the expected number is there and is this job's",
        (Zh, SettleReading::PresentForeign) => "预期号码存在，但不是本任务的",
        (En, SettleReading::PresentForeign) => "the expected number is there and is not this job's",
        (Zh, SettleReading::Absent) => "预期号码不存在",
        (En, SettleReading::Absent) => "the expected number is not there",
        (Zh, SettleReading::Void) => "原发票已作废",
        (En, SettleReading::Void) => "the original is void",
        (Zh, SettleReading::Valid) => "原发票仍有效",
        (En, SettleReading::Valid) => "the original is valid",
    };
    let current = pair(&request.current);
    said.push(match tongue {
        Zh => format!("读数：当前号码为 {current}；{reading}。"),
        En => format!("Read: the current number is {current}; {reading}."),
    });
    if let Some(record) = &request.tax_office {
        said.push(match tongue {
            Zh => format!("税务局记录：{record}"),
            En => format!("The tax office's record: {record}"),
        });
    }
    let revision = request.revision;
    said.push(match tongue {
        Zh => format!("依据任务的第 {revision} 版；此后如有变化，则不执行。"),
        En => format!("It was looked at in revision {revision}: if it has changed since, nothing is done."),
    });
    said
}

fn state(tongue: Tongue, state: JobState) -> &'static str {
    let (zh, en) = match state {
        JobState::Queued => ("排队中", "queued"),
        JobState::Assigned => ("在盘上处理中", "at a disk"),
        JobState::Unsettled => ("结果未知", "unsettled"),
        JobState::Issued => ("已开票", "issued"),
        JobState::Voided => ("已作废", "voided"),
        JobState::Failed => ("失败", "failed"),
        JobState::Cancelled => ("已撤回", "withdrawn"),
    };
    if tongue == Zh { zh } else { en }
}

fn bulk(tongue: Tongue, key: &str, filter: &BulkFilter) -> Vec<String> {
    let BulkFilter { seller, states, problem, class, kind, disk, since, until, serial } = filter;
    let states = if states.is_empty() { &[JobState::Failed][..] } else { states };
    let states: Vec<&str> = states.iter().map(|one| state(tongue, *one)).collect();
    let class = class.map(|class| class.as_str().to_owned());
    let mut said = vec![match tongue {
        Zh => "重新开具符合下列全部条件的任务，流水号不变；已有发票的只再次告知结果：".to_owned(),
        En => "Jobs that meet all of this are re-issued, each under its own serial number; of one that has its \
               invoice the result is told again:"
            .to_owned(),
    }];
    said.push(match tongue {
        Zh => format!("状态：{}", states.join("、")),
        En => format!("state: {}", states.join(" or ")),
    });
    let conditions = [
        ("销方", "seller", seller),
        ("问题代码", "code of the problem", problem),
        ("设备错误类别", "class of the device's error", &class),
        ("票种", "kind", kind),
        ("曾在此税控盘尝试", "with an attempt on disk", disk),
        ("受理不早于", "accepted at or after", since),
        ("受理早于", "accepted before", until),
        ("流水号开头", "serial number begins with", serial),
    ];
    for (zh, en, value) in conditions {
        said.extend(value.as_ref().map(|value| if tongue == Zh { format!("{zh}：{value}") } else { format!("{en}: {value}") }));
    }
    if seller.is_none() {
        said.push(if tongue == Zh { "销方：全部" } else { "seller: all of them" }.to_owned());
    }
    said.push(match tongue {
        Zh => format!("以确认时的状态为准；批次编号 {key}。"),
        En => format!("Which jobs these are is looked at when it is confirmed. Key of this re-issue: {key}."),
    });
    said
}

fn number(tongue: Tongue, request: &ReconcileNumberRequest) -> Vec<String> {
    let ReconcileNumberRequest { disk, kind, pair: of, job: whose, forgotten, .. } = request;
    let of = pair(of);
    let whose = whose.as_ref().map(|name| job(tongue, &name.seller, &name.serial));
    match (tongue, whose) {
        (Zh, Some(whose)) => {
            let lost = if *forgotten { "该任务已随账本丢失，将再次提交。" } else { "" };
            vec![format!("税控盘 {disk} 上票种 {kind} 的发票 {of} 记为{whose}的发票。{lost}")]
        }
        (En, Some(whose)) => {
            let lost = if *forgotten { " That job was lost with the ledger, and will be sent again." } else { "" };
            vec![format!("Invoice {of} of kind {kind} on disk {disk} is entered as that of: {whose}.{lost}")]
        }
        (Zh, None) => vec![format!("税控盘 {disk} 上票种 {kind} 的发票 {of} 记为不属于本账本的任何任务。")],
        (En, None) => vec![format!("Invoice {of} of kind {kind} on disk {disk} is entered as no job's of this ledger.")],
    }
}

fn line(tongue: Tongue, job: &str, request: &ReconcileJobRequest) -> Vec<String> {
    let of = request.pair.as_ref().map(pair).unwrap_or_default();
    let mut said = vec![match (tongue, request.decision) {
        (Zh, SettleDecision::Issued) => format!("{job}在账本恢复前的一次开票记为已开票，发票为 {of}。"),
        (En, SettleDecision::Issued) => {
            format!("{job}: an attempt that the ledger forgot is entered as issued, with invoice {of}.")
        }
        (Zh, SettleDecision::NotIssued) => format!("{job}在账本恢复前的一次开票记为未开票。"),
        (En, SettleDecision::NotIssued) => format!("{job}: an attempt that the ledger forgot is entered as not issued."),
    }];
    said.extend(request.attempt.map(|attempt| match tongue {
        Zh => format!("第 {attempt} 次尝试"),
        En => format!("attempt {attempt}"),
    }));
    said.extend(request.disk.as_ref().map(|disk| match tongue {
        Zh => format!("税控盘 {disk}"),
        En => format!("on disk {disk}"),
    }));
    said
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Every value in a proposal that says what is done, and to what.
    fn values(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                // What it is, its decision and its readings are words of their own; the reason stands beside.
                let skipped = ["what", "decision", "expected", "states", "reason", "forgotten"];
                fields.iter().filter(|(name, _)| !skipped.contains(&name.as_str())).for_each(|(_, value)| values(value, found));
            }
            Value::Array(rows) => rows.iter().for_each(|row| values(row, found)),
            Value::String(text) => found.push(text.clone()),
            Value::Number(number) => found.push(number.to_string()),
            _ => {}
        }
    }

    fn all() -> Vec<Proposed> {
        let pair = |number: &str| json!({ "code": "011002000107", "number": number });
        let mut all = Vec::new();
        for decision in ["issued", "not_issued"] {
            for expected in ["present_ours", "present_foreign", "absent", "void", "valid"] {
                let issued = (decision == "issued").then(|| pair("00000007"));
                all.push(json!({ "what": "settle", "seller": "91110000MA0000001L", "serial": "A-1", "request": {
                    "decision": decision, "pair": issued, "current": pair("00000008"), "expected": expected,
                    "tax_office": "looked up in Pudong", "reason": "r", "revision": 41,
                }}));
            }
            all.push(json!({ "what": "reconcile_job", "seller": "91110000MA0000001L", "serial": "A-2", "request": {
                "decision": decision, "attempt": 3, "disk": "661234567890",
                "pair": (decision == "issued").then(|| pair("00000005")), "reason": "r",
            }}));
        }
        let job = json!({ "seller": "91110000MA0000001L", "serial": "A-3" });
        for (job, forgotten) in [(json!(null), false), (job.clone(), false), (job, true)] {
            all.push(json!({ "what": "reconcile_number", "request": { "disk": "661234567890", "kind": "025",
                "pair": pair("00000001"), "job": job, "forgotten": forgotten, "reason": "r" }}));
        }
        all.push(json!({ "what": "bulk_reissue", "key": "b1", "filter": {} }));
        all.push(json!({ "what": "bulk_reissue", "key": "b2", "filter": {
            "seller": "91110000MA0000001L", "states": ["cancelled", "issued"], "problem": "disk_trouble", "class": "no_stock",
            "kind": "026", "disk": "661234567890", "since": "2026-11-01T00:00:00Z",
            "until": "2026-12-01T00:00:00Z", "serial": "TILL",
        }}));
        all.push(json!({ "what": "release_unread", "disk": "661234567890" }));
        all.into_iter().map(|one| serde_json::from_value(one).unwrap()).collect()
    }

    #[test]
    fn everything_that_a_proposal_holds_is_said_in_both_languages_and_nothing_as_json() {
        let mut texts = std::collections::BTreeSet::new();
        for what in all() {
            let mut wanted = Vec::new();
            values(&serde_json::to_value(&what).unwrap(), &mut wanted);
            for tongue in [Zh, En] {
                let said = proposal(tongue, &what).join("\n");
                for value in &wanted {
                    assert!(said.contains(value.as_str()), "{value} is not said: {said}");
                }
                assert!(!said.contains('{') && !said.contains('"'), "{said}");
                assert_eq!(said.is_ascii(), tongue == En, "{said}");
                texts.insert(said);
            }
        }
        assert_eq!(texts.len(), all().len() * 2, "two proposals that differ are not said alike");
    }
}
