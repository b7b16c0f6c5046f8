#![allow(clippy::unwrap_used)]

use super::*;

const NOW: i64 = 1_800_000_000;
const AES: [u8; 32] = [7; 32];
const SM4: [u8; 16] = [9; 16];

fn order(number: &str) -> Order {
    Order { number: number.to_owned(), made_at_s: NOW, expires_at_s: None }
}

fn keyring() -> Keyring {
    Keyring::new(vec![OrderKey::new(3, Algorithm::Aes256Gcm, &AES).unwrap(), OrderKey::new(4, Algorithm::Sm4Gcm, &SM4).unwrap()])
        .unwrap()
}

fn aes() -> OrderKey {
    OrderKey::new(3, Algorithm::Aes256Gcm, &AES).unwrap()
}

#[test]
fn what_is_made_is_opened_with_either_algorithm() {
    let longest = "单".repeat(ORDER_MAX);
    for key in [aes(), OrderKey::new(4, Algorithm::Sm4Gcm, &SM4).unwrap()] {
        for number in ["1", "POS42-20270115-0007", &longest, &"\u{1F9FE}".repeat(ORDER_MAX)] {
            let token = make("DEMOSYS", &key, &order(number), Nonce::random()).unwrap();
            assert!((TOKEN_MIN..=TOKEN_MAX).contains(&token.len()), "{number}: {}", token.len());
            assert_eq!(open(&token, "DEMOSYS", &keyring(), NOW), Ok(order(number)));
        }
    }
}

#[test]
fn every_changed_character_and_every_cut_is_refused() {
    let token = make("DEMOSYS", &aes(), &order("POS42-20270115-0007"), Nonce::random()).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(open(&changed, "DEMOSYS", &keyring(), NOW).is_err(), "character {at}");
        assert!(open(&token[..at], "DEMOSYS", &keyring(), NOW).is_err(), "cut at {at}");
    }
    assert_eq!(open(&format!("{token}="), "DEMOSYS", &keyring(), NOW), Err(Refused::Encoding));
    assert_eq!(open(&format!("{token} "), "DEMOSYS", &keyring(), NOW), Err(Refused::Encoding));
}

#[test]
fn a_token_belongs_to_its_syscode_and_its_key() {
    let token = make("DEMOSYS", &aes(), &order("0001"), Nonce::random()).unwrap();
    assert_eq!(open(&token, "OTHERSYS", &keyring(), NOW), Err(Refused::Tag));
    assert_eq!(open(&token, "DEMO\nSYS", &keyring(), NOW), Err(Refused::Key));
    assert_eq!(open(&token, "DEMOSYS", &Keyring::default(), NOW), Err(Refused::Key));
    // The same id, registered for the other algorithm: the token does not choose.
    let other = Keyring::new(vec![OrderKey::new(3, Algorithm::Sm4Gcm, &SM4).unwrap()]).unwrap();
    assert_eq!(open(&token, "DEMOSYS", &other, NOW), Err(Refused::Algorithm));
}

#[test]
fn a_key_that_was_replaced_is_read_until_its_end_and_the_new_one_beside_it() {
    let old = make("DEMOSYS", &aes(), &order("0001"), Nonce::random()).unwrap();
    let new_key = || OrderKey::new(5, Algorithm::Aes256Gcm, &[8; 32]).unwrap();
    let new = make("DEMOSYS", &new_key(), &order("0002"), Nonce::random()).unwrap();
    let keys = Keyring::new(vec![aes().read_until(NOW + 10), new_key()]).unwrap();
    assert_eq!(open(&old, "DEMOSYS", &keys, NOW + 10), Ok(order("0001")));
    assert_eq!(open(&old, "DEMOSYS", &keys, NOW + 11), Err(Refused::Key));
    assert_eq!(open(&new, "DEMOSYS", &keys, NOW + 11), Ok(order("0002")));
}

#[test]
fn limits_are_kept_on_both_sides() {
    let too_long = "x".repeat(ORDER_MAX + 1);
    for number in ["", too_long.as_str(), "a\nb"] {
        assert_eq!(make("DEMOSYS", &aes(), &order(number), Nonce::random()), Err(MakeError::Order));
    }
    for syscode in ["", "A B", "中", &"s".repeat(41)] {
        assert_eq!(make(syscode, &aes(), &order("1"), Nonce::random()), Err(MakeError::Syscode));
    }
    assert_eq!(open(&"A".repeat(TOKEN_MIN - 1), "DEMOSYS", &keyring(), NOW), Err(Refused::Length));
    assert_eq!(open(&"A".repeat(TOKEN_MAX + 1), "DEMOSYS", &keyring(), NOW), Err(Refused::Length));
    assert_eq!(open(&"A".repeat(TOKEN_MIN), "DEMOSYS", &keyring(), NOW), Err(Refused::Version));
    assert_eq!(OrderKey::new(1, Algorithm::Aes256Gcm, &SM4).err(), Some(KeyError::Length));
    assert_eq!(OrderKey::new(1, Algorithm::Sm4Gcm, &AES).err(), Some(KeyError::Length));
    assert_eq!(Keyring::new(vec![aes(), aes()]).err(), Some(KeyError::Id));
    let many = (0..17).map(|kid| OrderKey::new(kid, Algorithm::Aes256Gcm, &AES).unwrap()).collect();
    assert_eq!(Keyring::new(many).err(), Some(KeyError::TooMany));
}

#[test]
fn its_own_expiry_ends_a_token() {
    let expiring = Order { expires_at_s: Some(NOW + 60), ..order("0001") };
    let token = make("DEMOSYS", &aes(), &expiring, Nonce::random()).unwrap();
    assert_eq!(open(&token, "DEMOSYS", &keyring(), NOW + 60), Ok(expiring));
    assert_eq!(open(&token, "DEMOSYS", &keyring(), NOW + 61), Err(Refused::Expired));
}

/// Whoever has the key may still write nonsense: it is refused after the tag.
#[test]
fn what_is_encrypted_well_and_says_something_else_is_refused() {
    let head = [1, 1, 0, 3];
    let too_long = format!(r#"{{"o":"{}","t":1}}"#, "x".repeat(65));
    for plain in [
        "nothing at all, and no JSON",
        r#"{"o":"POS42-20270115","t":"1800000000"}"#,
        r#"{"o":"","t":1800000000,"x":1900000000}"#,
        r#"{"o":"1","o":"2","t":1800000000}"#,
        r#"{"o":"POS42-20270115","t":1800000000,"amount":1}"#,
        r#"{"o":"POS42-20270115","t":1800000000} "x""#,
        &too_long,
    ] {
        let nonce = Nonce::random();
        let sealed = aes().seal(&nonce.0, plain.as_bytes(), &authenticated("DEMOSYS", head)).unwrap();
        let token = URL_SAFE_NO_PAD.encode([head.as_slice(), &nonce.0, &sealed].concat());
        assert_eq!(open(&token, "DEMOSYS", &keyring(), NOW), Err(Refused::Content), "{plain}");
    }
}

#[test]
fn a_key_is_not_shown() {
    let shown = format!("{:?}", keyring());
    assert!(shown.contains("kid: 3") && !shown.contains('7'), "{shown}");
}

/// GCM over SM4 as RFC 8998 has it, appendix A.1.
#[test]
fn sm4_in_gcm_is_that_of_rfc_8998() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let key = OrderKey::new(1, Algorithm::Sm4Gcm, &bytes("0123456789ABCDEFFEDCBA9876543210")).unwrap();
    let nonce: [u8; 12] = bytes("00001234567800000000ABCD").try_into().unwrap();
    let plain: Vec<u8> = "ABCDEFEA".chars().flat_map(|digit| bytes(&digit.to_string().repeat(16))).collect();
    let sealed = key.seal(&nonce, &plain, &bytes("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2")).unwrap();
    let expected = "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397\
                    b4024a2691233b8d83de3541e4c2b58177e065a9bf7b62ec";
    assert_eq!(hex::encode(sealed), expected);
}
