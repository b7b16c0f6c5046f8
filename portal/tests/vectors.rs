//! The published vectors of the header `sign` and of order tokens: every one gets the verdict that it is published with.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use taxdisk_portal::order::{self, Algorithm, Keyring, Nonce, OrderKey};
use taxdisk_portal::sign::{PublicKey, Refused, Rules, Signed, verify};
use taxdisk_portal::wire::form::Form;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/sign.json")).unwrap()
}

fn verdict(vector: &Value, file: &Value, ps256: bool) -> Result<char, Refused> {
    let text = |name: &str| vector[name].as_str().unwrap();
    let key = PublicKey::from_pem(file["public_key_pem"].as_str().unwrap()).unwrap();
    let json = text("content_type").starts_with("application/json");
    let form = if json { Form::default() } else { Form::parse(text("body").as_bytes()).unwrap() };
    let requestdatas: Vec<&str> =
        form.fields().iter().filter(|(name, _)| name == "requestdatas").map(|(_, value)| value.as_str()).collect();
    let query = Form::parse(text("query").as_bytes()).unwrap();
    let signed = Signed {
        path: text("path"),
        appid: query.get_any_case("appid").unwrap(),
        requestdatas: &requestdatas,
        nsrsbh: form.get("nsrsbh"),
        body: text("body").as_bytes(),
    };
    let now = file["clock_unix"].as_i64().unwrap();
    verify(Some(text("sign")), &[key], Rules { ps256, bound: false }, &signed, now).map(|verified| verified.variant)
}

#[test]
fn all_vectors_get_their_verdict() {
    let file = vectors();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 28);
    let refused = |id: &str| match id {
        "no-01-wrong-digest" => Refused::Digest,
        "no-02-alg-none" | "no-03-hs256-public-key" => Refused::Algorithm,
        "no-04-inflate-bomb" | "no-12-trailing-garbage" => Refused::Inflate,
        "no-05-expired" | "no-06-expired-ms" => Refused::Expired,
        "no-07-other-key" | "no-10-bad-sig" => Refused::Signature,
        "no-08-missing-digest" => Refused::DigestMissing,
        "no-09-cut-zlib" => Refused::Payload,
        "no-11-no-time-at-all" => Refused::Time,
        other => panic!("{other} is not known to this test"),
    };
    for vector in vectors {
        let id = vector["id"].as_str().unwrap();
        let got = verdict(vector, &file, false);
        match vector["expect"].as_str().unwrap() {
            "accept" => assert!(got.is_ok(), "{id}: {got:?}"),
            "policy" => {
                assert_eq!(got, Err(Refused::Algorithm), "{id}");
                assert_eq!(verdict(vector, &file, true), Ok('F'), "{id}");
            }
            _ => assert_eq!(got, Err(refused(id)), "{id}"),
        }
    }
}

#[test]
fn the_kind_of_client_is_told_for_the_log() {
    let file = vectors();
    let variant = |id: &str| {
        let vector = file["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == id).unwrap();
        verdict(vector, &file, false).unwrap()
    };
    let known = [
        ("ok-01-rs512-calg-unfinished", 'A'),
        ("ok-03-rs512-zip-finished", 'B'),
        ("ok-04-rs512-plain", 'C'),
        ("ok-05-rs256-numeric-jti", 'E'),
        ("ok-06-no-exp", 'H'),
        ("ok-07-exp-milliseconds", 'F'),
        ("ok-09-claims-in-header", 'G'),
    ];
    for (id, letter) in known {
        assert_eq!(variant(id), letter, "{id}");
    }
}

/// The published tokens of offline codes (section 5.6): each gets its verdict, and made again it is the same text.
#[test]
fn all_order_tokens_get_their_verdict() {
    let file: Value = serde_json::from_str(include_str!("vectors/order.json")).unwrap();
    let now = file["clock_unix"].as_i64().unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    let key = |vector: &Value| {
        let algorithm = match vector["alg"].as_str()? {
            "AES-256-GCM" => Algorithm::Aes256Gcm,
            "SM4-GCM" => Algorithm::Sm4Gcm,
            other => panic!("{other} is not known to this test"),
        };
        let kid = u16::try_from(vector["kid"].as_u64().unwrap()).unwrap();
        Some(OrderKey::new(kid, algorithm, &hex::decode(vector["key_hex"].as_str().unwrap()).unwrap()).unwrap())
    };
    let keys = Keyring::new(vectors.iter().filter_map(key).collect()).unwrap();
    let page = include_str!("../../docs/order-token.md");
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let opened = order::open(text("order"), text("syscode"), &keys, now);
        if text("expect") == "refuse" {
            assert_eq!(opened, Err(order::Refused::Tag), "{}", text("id"));
            continue;
        }
        for printed in ["order", "key_hex", "nonce_hex", "aad_hex", "plaintext"] {
            assert!(page.contains(text(printed)), "docs/order-token.md lacks {printed} of {}", text("id"));
        }
        let opened = opened.unwrap();
        assert_eq!(serde_json::to_string(&opened).unwrap(), text("plaintext"), "{}", text("id"));
        let nonce = hex::decode(text("nonce_hex")).unwrap();
        let (till, counter) = nonce.split_at(4);
        let nonce = Nonce::counted(u32::from_be_bytes(till.try_into().unwrap()), u64::from_be_bytes(counter.try_into().unwrap()));
        let made = order::make(text("syscode"), &key(vector).unwrap(), &opened, nonce).unwrap();
        assert_eq!(made, text("order"), "{}", text("id"));
    }
}
