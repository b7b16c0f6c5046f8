//! Access lists of Windows, as the text in which the system writes them (Security Descriptor Definition Language): what private
//! means, and whether a list is it. Text in, answer out; on Linux it is only tested.

/// Whom a private file may serve beside its owner: the system, administrators, OWNER RIGHTS, CREATOR OWNER, the service's
/// account.
const TRUSTED: [&str; 9] = ["SY", "BA", "OW", "CO", "S-1-5-18", "S-1-5-32-544", "S-1-3-4", "S-1-3-0", SERVICE];

/// The virtual account `NT SERVICE\taxdisk-agent`. Windows derives its number from the name, so it is known before the
/// service is.
pub(super) const SERVICE: &str = "S-1-5-80-3562882455-1736924496-633912463-2856280084-150633456";

/// Full control for the system, for administrators, for the service's account and for whoever owns the file; for nobody else, and
/// nothing is inherited.
pub(super) fn private() -> String {
    format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{SERVICE})(A;OICI;FA;;;S-1-3-4)")
}

/// The first account beside the trusted ones and the owner that the list lets in. `Err`: it lets everybody in, or is not
/// understood.
pub(super) fn stranger(sddl: &str) -> Result<Option<String>, String> {
    let owner = section(sddl, "O:").unwrap_or_default();
    let list = section(sddl, "D:").ok_or_else(|| "it has no access list, which lets everybody in".to_owned())?;
    if list.contains("NO_ACCESS_CONTROL") {
        return Err("it has no access list, which lets everybody in".to_owned());
    }
    let Some(start) = list.find('(') else { return Ok(None) };
    for entry in list[start..].split('(').skip(1) {
        let entry = entry.split(')').next().unwrap_or_default();
        let parts: Vec<&str> = entry.split(';').collect();
        let [kind, _, _, _, _, account, ..] = parts[..] else { return Err(format!("its entry {entry:?} is not understood")) };
        let allows = matches!(kind, "A" | "XA" | "OA" | "ZA");
        if allows && account != owner && !TRUSTED.contains(&account) {
            return Ok(Some(account.to_owned()));
        }
    }
    Ok(None)
}

/// What stands behind `O:` or `D:` up to the next part.
fn section<'a>(sddl: &'a str, name: &str) -> Option<&'a str> {
    // Accounts hold no colon; a part's name is one letter before one.
    let start = match sddl.starts_with(name) {
        true => name.len(),
        false => {
            let at = sddl.match_indices(name).find(|(at, _)| !sddl[..*at].ends_with([';', '-']))?;
            at.0 + name.len()
        }
    };
    let rest = &sddl[start..];
    let end = rest.find(':').map_or(rest.len(), |colon| colon.saturating_sub(1));
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_system_administrators_and_the_owner_are_no_strangers() {
        for private in [
            private(),
            format!("O:BAG:SY{}", private()),
            "O:S-1-5-21-1-2-3-1001D:PAI(A;OICI;FA;;;S-1-5-21-1-2-3-1001)(A;ID;FA;;;SY)".to_owned(),
            // A denial lets nobody in.
            "O:BAD:(D;;FA;;;WD)(A;;FA;;;BA)".to_owned(),
            // Nobody at all.
            "O:BAD:P".to_owned(),
        ] {
            assert_eq!(stranger(&private), Ok(None), "{private}");
        }
        for (wide, who) in [
            ("O:BAD:(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)", "BU"),
            ("O:BAG:SYD:AI(A;;FR;;;WD)", "WD"),
            ("O:BAD:(A;;FA;;;S-1-5-21-1-2-3-1002)", "S-1-5-21-1-2-3-1002"),
            ("D:(A;;FA;;;AU)", "AU"),
        ] {
            assert_eq!(stranger(wide).unwrap().as_deref(), Some(who), "{wide}");
        }
        for open in ["O:BA", "O:BAD:NO_ACCESS_CONTROL", "O:BAD:(A;;FA)"] {
            assert!(stranger(open).is_err(), "{open}");
        }
    }
}
