//! Signs a program for updates: the manifest that agents read, and signatures that minisign checks.
//!
//! The secret key stays in its file, encrypted with a password; nothing of it is written anywhere. No program that is shipped can
//! sign.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::{PublicKey, SecretKey, SecretKeyBox};
use semver::Version;
use serde_json::json;
use sha2::{Digest, Sha256};
use taxdisk_protocol::update::{FORMAT, Manifest, PRODUCT, target};

/// Variable: the password of the secret key. Without it, it is asked for.
const PASSWORD: &str = "TAXDISK_RELEASE_KEY_PASSWORD";

/// A key that signs.
pub(crate) struct Signer {
    secret: SecretKey,
    public: PublicKey,
}

impl Signer {
    /// The key of a file that `minisign -G` made.
    ///
    /// # Errors
    /// It cannot be read, or the password is another one.
    pub(crate) fn read(file: &Path) -> Result<Signer, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let parse = || SecretKeyBox::from_string(&text).map_err(|error| wrong(&error));
        // A key without a password is one of tests, or of a vault that has one of its own.
        let secret = match parse()?.into_unencrypted_secret_key() {
            Ok(secret) => secret,
            Err(_) => parse()?.into_secret_key(std::env::var(PASSWORD).ok()).map_err(|error| wrong(&error))?,
        };
        let public = PublicKey::from_secret_key(&secret).map_err(|error| wrong(&error))?;
        Ok(Signer { secret, public })
    }

    /// As minisign shows it, and agents are built with it.
    pub(crate) fn public(&self) -> String {
        self.public.to_base64()
    }

    fn sign(&self, content: &[u8], comment: &str) -> Result<String, String> {
        minisign::sign(
            Some(&self.public),
            &self.secret,
            Cursor::new(content),
            Some(comment),
            Some("signature of a taxdisk release"),
        )
        .map(|signature| signature.to_string())
        .map_err(|error| format!("{comment}: {error}"))
    }
}

/// What a release is for.
pub(crate) struct About {
    /// Channel.
    pub(crate) channel: String,
    /// The oldest version that may go to it directly.
    pub(crate) from: Version,
}

/// Puts the agent's program into a folder as a broker offers it: the program, its manifest, and a signature of each.
///
/// # Errors
/// A file cannot be read or written, or the values make no manifest.
pub(crate) fn publish(
    program: &Path,
    version: &Version,
    about: &About,
    signer: &Signer,
    to: &Path,
) -> Result<Vec<PathBuf>, String> {
    let content = std::fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    let file = format!("{PRODUCT}-{version}-{}", target());
    let manifest = json!({
        "format": FORMAT,
        "product": PRODUCT,
        "version": version,
        "channel": about.channel,
        "target": target(),
        "file": file,
        "size_bytes": content.len(),
        "sha256": hex::encode(Sha256::digest(&content)),
        "from": about.from,
    });
    let manifest = format!("{manifest:#}\n");
    // What an agent would refuse is not signed.
    Manifest::parse(&manifest)?;
    std::fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let put = |name: String, content: &[u8]| {
        let path = to.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<_, String>(path)
    };
    let comment = format!("{PRODUCT} {version} {} {}", target(), about.channel);
    // The manifest comes last: a broker offers nothing before it.
    Ok(vec![
        put(file.clone(), &content)?,
        put(format!("{file}.minisig"), signer.sign(&content, &comment)?.as_bytes())?,
        put(format!("{file}.json.minisig"), signer.sign(manifest.as_bytes(), &comment)?.as_bytes())?,
        put(format!("{file}.json"), manifest.as_bytes())?,
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use minisign::{KeyPair, SignatureBox};

    use super::*;

    #[test]
    fn a_release_is_what_agents_read_and_minisign_checks() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let key = folder.path().join("release.key");
        std::fs::write(&key, pair.sk.to_box(None).unwrap().to_string()).unwrap();
        let signer = Signer::read(&key).unwrap();
        assert_eq!(signer.public(), pair.pk.to_base64());
        let program = folder.path().join("program");
        std::fs::write(&program, "content").unwrap();
        let about = About { channel: "stable".to_owned(), from: Version::new(0, 1, 0) };
        let to = folder.path().join("out");
        let made = publish(&program, &Version::new(0, 2, 0), &about, &signer, &to).unwrap();
        for (content, signature) in [(&made[0], &made[1]), (&made[3], &made[2])] {
            let signature = SignatureBox::from_file(signature).unwrap();
            let content = std::fs::read(content).unwrap();
            minisign::verify(&pair.pk, &signature, Cursor::new(&content), true, false, false).unwrap();
            assert!(minisign::verify(&pair.pk, &signature, Cursor::new(b"other"), true, false, false).is_err());
        }
        let manifest = Manifest::parse(&std::fs::read_to_string(&made[3]).unwrap()).unwrap();
        assert_eq!((manifest.size_bytes, to.join(manifest.file)), (7, made[0].clone()));
        let backwards = About { from: Version::new(0, 3, 0), ..about };
        assert!(publish(&program, &Version::new(0, 2, 0), &backwards, &signer, &to).unwrap_err().contains("oldest"));
    }
}
