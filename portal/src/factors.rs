//! Second factors of people at rest: sealed with a key that is not in the store, where one is given
//! ([`taxdisk_web::keyring`]).
//!
//! What it refuses to do: take a factor that it cannot open for none.
//!
//! Read first: [`of`], [`put`].

use taxdisk_web::keyring::Keyring;
use taxdisk_web::signin::factor::Factor;

use crate::store::{Db, StoreError};

/// What the factor of an account is sealed for: it opens as his and nobody else's.
fn purpose(account: &str) -> String {
    format!("taxdisk-portal-factor-v1\n{account}")
}

/// The second factor of an account.
///
/// # Errors
/// The store does not answer, or the factor is sealed with a key that is not there: nobody comes in without it.
pub async fn of(db: &mut dyn Db, keys: &Keyring, account: &str) -> Result<Option<Factor>, StoreError> {
    db.factor(account).await?.map(|body| opened(keys, account, body)).transpose()
}

/// Replaces it, or takes it away.
///
/// # Errors
/// The store does not answer.
pub async fn put(db: &mut dyn Db, keys: &Keyring, account: &str, factor: Option<&Factor>) -> Result<(), StoreError> {
    let body = factor.map(|factor| sealed(keys, account, factor)).transpose()?;
    db.put_factor(account, body.as_deref()).await
}

/// Can all of them be opened? Asked at the start, so that a lost key is noticed by whoever starts the portal and not by whoever
/// signs in.
///
/// # Errors
/// Names the key that is missing.
pub async fn check(db: &mut dyn Db, keys: &Keyring) -> Result<(), StoreError> {
    for (account, body) in db.factors().await? {
        opened(keys, &account, body)?;
    }
    Ok(())
}

/// Seals all of them with the newest key of `from`; `plain`: opens them. Gives how many there are. What stood there before is
/// gone from a file of SQLite when this returns.
///
/// # Errors
/// One is sealed with a key that is not there; then nothing was changed.
pub async fn rekey(db: &mut dyn Db, from: &Keyring, plain: bool) -> Result<usize, StoreError> {
    let to = if plain { Keyring::default() } else { from.clone() };
    let all = db.factors().await?;
    let opened: Result<Vec<(String, Factor)>, StoreError> =
        all.into_iter().map(|(account, body)| Ok((account.clone(), opened(from, &account, body)?))).collect();
    let opened = opened?;
    db.begin().await?;
    for (account, factor) in &opened {
        put(db, &to, account, Some(factor)).await?;
    }
    db.commit().await?;
    db.compact().await?;
    Ok(opened.len())
}

fn sealed(keys: &Keyring, account: &str, factor: &Factor) -> Result<String, StoreError> {
    let text = serde_json::to_string(factor).map_err(|error| damaged(&error))?;
    keys.seal(&purpose(account), text).map_err(|error| damaged(&error))
}

fn opened(keys: &Keyring, account: &str, body: String) -> Result<Factor, StoreError> {
    let text = keys.open_any(&purpose(account), body)?;
    serde_json::from_str(&text).map_err(|error| damaged(&error))
}

fn damaged(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("second factor: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use taxdisk_web::keyring::new_key;

    use super::*;

    fn files_with(folder: &std::path::Path, text: &str) -> Vec<String> {
        let all = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let holds =
            |file: &std::path::PathBuf| std::fs::read(file).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
        all.filter(holds).map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn a_second_factor_is_sealed_where_there_is_a_key_turned_with_it_and_not_opened_without() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("portal.db").display());
        let mut store = crate::store::open(&url).await.unwrap();
        let db = store.writer.as_mut();
        let factor = Factor::new().unwrap();
        let secret = factor.enrolment("taxdisk", "anna").unwrap().secret;
        let (none, old) = (Keyring::default(), new_key().unwrap());
        put(db, &none, "shop/anna", Some(&factor)).await.unwrap();
        assert!(!files_with(folder.path(), &secret).is_empty(), "before there was a key");
        let first = Keyring::parse(&old).unwrap();
        assert_eq!(of(db, &first, "shop/anna").await.unwrap(), Some(factor.clone()), "what was in the plain is good still");
        assert_eq!(rekey(db, &first, false).await.unwrap(), 1);
        assert_eq!(files_with(folder.path(), &secret), [""; 0]);
        let both = Keyring::parse(&format!("{}\n{old}", new_key().unwrap())).unwrap();
        put(db, &both, "shop/ben", Some(&factor)).await.unwrap();
        assert_eq!(of(db, &both, "shop/anna").await.unwrap(), Some(factor.clone()));
        for lost in [&none, &first] {
            let refused = of(db, lost, "shop/ben").await.unwrap_err().to_string();
            assert!(refused.contains(both.current().unwrap()), "{refused}");
            assert!(check(db, lost).await.is_err() && rekey(db, lost, true).await.is_err());
        }
        assert_eq!(rekey(db, &both, false).await.unwrap(), 2);
        let newest = db.factor("shop/anna").await.unwrap().unwrap();
        assert!(newest.starts_with(&both.mark().unwrap()), "{newest}");
        // A factor of another account is nobody's.
        db.put_factor("shop/carl", Some(&newest)).await.unwrap();
        assert!(of(db, &both, "shop/carl").await.is_err());
        db.put_factor("shop/carl", None).await.unwrap();
        check(db, &both).await.unwrap();
        assert_eq!(rekey(db, &both, true).await.unwrap(), 2);
        assert_eq!(of(db, &none, "shop/ben").await.unwrap(), Some(factor), "and back");
    }
}
