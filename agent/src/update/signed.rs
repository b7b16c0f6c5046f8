//! Is an offer genuine, and is it for this agent? Pure: bytes in, a judgement out.

use std::collections::BTreeSet;

use minisign_verify::{PublicKey, Signature};
use semver::Version;
use taxdisk_protocol::update::{Manifest, SIGNATURE_MAX_BYTES, target};

/// The manifest, if one of the keys has signed this text.
///
/// # Errors
/// None has, or it is no manifest; one sentence.
pub fn open(keys: &[PublicKey], manifest: &str, signature: &str) -> Result<Manifest, String> {
    if signature.len() > SIGNATURE_MAX_BYTES {
        return Err(format!("The signature has {} bytes.", signature.len()));
    }
    let signature = Signature::decode(signature).map_err(|_| "The signature is none of minisign's.".to_owned())?;
    // Signatures over the text itself (of minisign before 0.6) are not taken: there is no release with one.
    if !keys.iter().any(|key| key.verify(manifest.as_bytes(), &signature, false).is_ok()) {
        return Err("The signature is not of a key that this agent trusts.".to_owned());
    }
    Manifest::parse(manifest)
}

/// May this agent go to it?
///
/// # Errors
/// Why not; one sentence.
pub fn judge(manifest: &Manifest, running: &Version, failed: &BTreeSet<String>) -> Result<(), String> {
    let (version, target) = (&manifest.version, target());
    if manifest.target != target {
        return Err(format!("It is for {}, this is {target}.", manifest.target));
    }
    // An old release is genuine for ever. Who could offer it again would bring its faults back.
    if version <= running {
        return Err(format!("Version {version} is not newer than {running}, which runs."));
    }
    if manifest.from > *running {
        return Err(format!("Version {version} is reached from {} at the earliest; {running} runs.", manifest.from));
    }
    if failed.contains(&version.to_string()) {
        return Err(format!("Version {version} was tried and did not work: `taxdisk-agent update show` says why."));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use minisign::KeyPair;

    /// A manifest's text of these values.
    pub(crate) fn manifest(version: &str, from: &str, size: usize, sha256: &str) -> String {
        format!(
            r#"{{"format":1,"product":"taxdisk-agent","version":"{version}","channel":"stable","target":"{}","file":"taxdisk-agent-{version}","size_bytes":{size},"sha256":"{sha256}","from":"{from}"}}"#,
            target()
        )
    }

    pub(crate) fn sign(pair: &KeyPair, text: &str) -> String {
        minisign::sign(Some(&pair.pk), &pair.sk, text.as_bytes(), Some("trusted"), Some("untrusted")).unwrap().into_string()
    }

    pub(crate) fn public(pair: &KeyPair) -> PublicKey {
        PublicKey::from_base64(&pair.pk.to_base64()).unwrap()
    }

    #[test]
    fn only_a_text_that_a_pinned_key_signed_is_opened() {
        let (ours, next, other) = (KeyPair::generate_unencrypted_keypair().unwrap(), pair(), pair());
        let text = manifest("0.2.0", "0.1.0", 7, &"0".repeat(64));
        let keys = [public(&ours), public(&next)];
        // Of two keys either is good: so a key is replaced while both are known.
        for signer in [&ours, &next] {
            assert_eq!(open(&keys, &text, &sign(signer, &text)).unwrap().version, Version::new(0, 2, 0));
        }
        assert!(open(&keys, &text, &sign(&other, &text)).unwrap_err().contains("key"));
        let changed = text.replace("0.2.0", "0.9.0");
        assert!(open(&keys, &changed, &sign(&ours, &text)).unwrap_err().contains("key"), "the signature of another text");
        assert!(open(&[], &text, &sign(&ours, &text)).is_err(), "nobody is trusted");
        assert!(open(&keys, &text, "RW").unwrap_err().contains("minisign"));
        assert!(open(&keys, &text, &"x".repeat(SIGNATURE_MAX_BYTES + 1)).is_err());
        // The trusted comment is under the signature too.
        let forged = sign(&ours, &text).replace("trusted comment: trusted", "trusted comment: forged");
        assert!(open(&keys, &text, &forged).is_err());
    }

    fn pair() -> KeyPair {
        KeyPair::generate_unencrypted_keypair().unwrap()
    }

    #[test]
    fn never_older_never_from_too_far_never_what_failed_never_of_another_system() {
        let of = |version: &str, from: &str| Manifest::parse(&manifest(version, from, 7, &"0".repeat(64))).unwrap();
        let runs = Version::new(0, 3, 0);
        let failed = BTreeSet::from(["0.4.1".to_owned()]);
        assert_eq!(judge(&of("0.4.0", "0.3.0"), &runs, &failed), Ok(()));
        let said = |version: &str, from: &str| judge(&of(version, from), &runs, &failed).unwrap_err();
        assert!(said("0.3.0", "0.1.0").contains("not newer"));
        assert!(said("0.2.9", "0.1.0").contains("not newer"));
        assert!(said("0.3.0-rc.1", "0.1.0").contains("not newer"), "what comes before a release is older than it");
        assert!(said("0.5.0", "0.4.0").contains("earliest"));
        assert!(said("0.4.1", "0.1.0").contains("did not work"));
        let foreign = Manifest { target: "sparc-plan9".to_owned(), ..of("0.4.0", "0.3.0") };
        assert!(judge(&foreign, &runs, &failed).unwrap_err().contains("sparc"));
    }
}
