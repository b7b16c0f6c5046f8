//! What real clients do to the header `sign` and to the request around it (yonyou-open-api.md, sections 1.1, 2.2 and 3.8).

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};

use crate::platform::{APPID, NOW_S, Platform, SELLER, blue, form, sign as signed};
use crate::transcript::Transcript;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=UTF-8");

/// zlib at level 9, flushed and never finished: no last block, no checksum. It is what the official Java client sends.
fn unfinished(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut compress = Compress::new(Compression::best(), true);
    compress.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "a stream without an end");
    out
}

fn finished(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A form with one document, its body and the digest of it.
fn document(serial: &str) -> (String, Value) {
    let documents = json!([blue(serial)]).to_string();
    let fields = [("requestdatas", documents.as_str())];
    (form(&fields), Platform::digest(&fields))
}

fn with(claims: &Value, more: &Value) -> String {
    let mut all = claims.clone();
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all.to_string()
}

async fn insert(t: &mut Transcript, serial: &str, header: &str, payload: impl Fn(&Value) -> Vec<u8>) -> String {
    let (body, digest) = document(serial);
    let token = signed(header, &payload(&digest));
    t.raw(&format!("insertWithArray?appid={APPID}"), FORM, Some(&token), body.as_bytes()).await.code()
}

/// All variants of section 2.2 that are good, then what is refused.
pub(crate) async fn sign(t: &mut Transcript) {
    let java = json!({ "sub": "tester", "iss": "einvoice", "aud": "einvoice", "jti": "7f1c-java", "iat": NOW_S, "nbf": NOW_S - 3600,
        "exp": NOW_S + 3600 });
    let def = r#"{"alg":"RS512","calg":"DEF"}"#;
    t.says("A: official Java. A zlib stream without an end.");
    assert_eq!(insert(t, "SIGN-A", def, |digest| unfinished(&with(&java, digest))).await, "0000");
    t.says("B: another Java library. `zip`, and a whole stream.");
    let zip = r#"{"alg":"RS256","zip":"DEF"}"#;
    let other = with_id(&java, "7f1c-zip");
    assert_eq!(insert(t, "SIGN-B", zip, |digest| finished(&with(&other, digest))).await, "0000");
    t.says("C: official Java on JDK 6. Plain.");
    let other = with_id(&java, "7f1c-jdk6");
    assert_eq!(insert(t, "SIGN-C", r#"{"alg":"RS512"}"#, |digest| with(&other, digest).into_bytes()).await, "0000");
    t.says("E: official PHP. `jti` is a number, the time in seconds: two requests of one second have the same.");
    let php = json!({ "iss": "einvoice", "aud": "einvoice", "sub": "tester", "jti": NOW_S, "iat": NOW_S, "nbf": NOW_S - 300,
        "exp": NOW_S + 300 });
    let typ = r#"{"typ":"JWT","alg":"RS256"}"#;
    for serial in ["SIGN-E1", "SIGN-E2"] {
        assert_eq!(insert(t, serial, typ, |digest| with(&php, digest).into_bytes()).await, "0000");
    }
    t.says("F: the claims of official C#. `exp` in milliseconds with a fraction; no iat, nbf, jti.");
    let csharp = |digest: &Value| {
        let digest = digest["requestdatas"].as_str().unwrap();
        format!(r#"{{"sub":"tester","exp":{}000.5,"requestdatas":"{digest}"}}"#, NOW_S + 360).into_bytes()
    };
    assert_eq!(insert(t, "SIGN-F", typ, csharp).await, "0000");
    t.says("G: times and id in the header.");
    let header =
        format!(r#"{{"typ":"JWT","alg":"RS512","jti":"7f1c-g","iat":{NOW_S},"nbf":{},"exp":{}}}"#, NOW_S - 300, NOW_S + 300);
    assert_eq!(insert(t, "SIGN-G", &header, |digest| digest.to_string().into_bytes()).await, "0000");
    t.says("H: no exp and no nbf: good for an hour after iat.");
    let endless = json!({ "jti": "7f1c-h", "iat": NOW_S });
    assert_eq!(insert(t, "SIGN-H", def, |digest| unfinished(&with(&endless, digest))).await, "0000");

    t.says("No token; none of three parts.");
    let (body, digest) = document("SIGN-X");
    let path = format!("insertWithArray?appid={APPID}");
    assert_eq!(t.raw(&path, FORM, None, body.as_bytes()).await.code(), "1001");
    assert_eq!(t.raw(&path, FORM, Some("abc.def"), body.as_bytes()).await.code(), "1001");
    t.says("A digest of something else; none at all.");
    let wrong = json!({ "requestdatas": "00000000000000000000000000000000" });
    assert_eq!(insert(t, "SIGN-X", typ, |_| with(&java, &wrong).into_bytes()).await, "1001");
    assert_eq!(insert(t, "SIGN-X", typ, |_| java.to_string().into_bytes()).await, "1001");
    t.says("PS256 is off for this caller; an algorithm that is none.");
    assert_eq!(insert(t, "SIGN-X", r#"{"alg":"PS256"}"#, |digest| with(&java, digest).into_bytes()).await, "1001");
    assert_eq!(insert(t, "SIGN-X", r#"{"alg":"none"}"#, |digest| with(&java, digest).into_bytes()).await, "1001");
    t.says("A stream that was cut; one with something behind its end.");
    let mut cut = unfinished(&with(&java, &digest));
    cut.truncate(cut.len() / 2);
    assert_eq!(insert(t, "SIGN-X", def, |_| cut.clone()).await, "1001");
    let mut more = finished(&with(&java, &digest));
    more.extend(b"more");
    assert_eq!(insert(t, "SIGN-X", def, |_| more.clone()).await, "1001");
    t.says("Over; not yet; no time at all.");
    let over = json!({ "iat": NOW_S - 4000, "exp": NOW_S - 301 });
    assert_eq!(insert(t, "SIGN-X", typ, |digest| with(&over, digest).into_bytes()).await, "1001");
    let early = json!({ "iat": NOW_S, "nbf": NOW_S + 301, "exp": NOW_S + 900 });
    assert_eq!(insert(t, "SIGN-X", typ, |digest| with(&early, digest).into_bytes()).await, "1001");
    assert_eq!(insert(t, "SIGN-X", typ, |digest| digest.to_string().into_bytes()).await, "1001");
    t.says("A token that approved one thing is not good for another; an id is not good for two tokens.");
    let token = signed(typ, with(&with_id(&java, "7f1c-once"), &digest).as_bytes());
    assert_eq!(t.raw(&path, FORM, Some(&token), body.as_bytes()).await.code(), "0000");
    assert_eq!(t.raw(&path, FORM, Some(&token), body.as_bytes()).await.code(), "0000");
    let misused = t.raw(&format!("del?appid={APPID}"), FORM, Some(&token), body.as_bytes()).await;
    assert_eq!(misused.json()["subcode"], "SIGN_REPLAYED");
    let id = with_id(&java, "7f1c-once");
    assert_eq!(insert(t, "SIGN-Y", r#"{"alg":"RS512"}"#, |digest| with(&id, digest).into_bytes()).await, "1001");
}

fn with_id(claims: &Value, id: &str) -> Value {
    let mut claims = claims.clone();
    claims["jti"] = json!(id);
    claims
}

/// Spellings of content types, parameters and encodings; then what is no request at all.
pub(crate) async fn wire(t: &mut Transcript) {
    let query = [("fpqqlsh", "WIRE-1")];
    let body = form(&query);
    t.documents("insertWithArray", &json!([blue("WIRE-1")])).await;
    t.says("The charset is missing, in other letters, without a blank.");
    for content_type in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;charset=UTF-8",
    ] {
        let token = t.platform.token(&json!({}));
        let path = format!("queryInvoiceStatus?appid={APPID}");
        assert_eq!(t.raw(&path, Some(content_type), Some(&token), body.as_bytes()).await.code(), "0000");
    }
    t.says("One client spells appId.");
    let token = t.platform.token(&json!({}));
    let path = format!("queryInvoiceStatus?appId={APPID}");
    assert_eq!(t.raw(&path, FORM, Some(&token), body.as_bytes()).await.code(), "0000");
    t.says("C# posts JSON unescaped.");
    let documents = json!([blue("WIRE-2")]).to_string();
    let raw = format!("requestdatas={documents}&sms=");
    let token = t.platform.token(&Platform::digest(&[("requestdatas", &documents)]));
    assert_eq!(t.raw(&format!("insertWithArray?appid={APPID}"), FORM, Some(&token), raw.as_bytes()).await.code(), "0000");
    t.says("Encoded twice: the digest of either form is good.");
    let documents = json!([blue("WIRE-3")]).to_string();
    let once = form(&[("", &documents)]);
    let twice = form(&[("requestdatas", once.trim_start_matches('='))]);
    let token = t.platform.token(&Platform::digest(&[("requestdatas", &documents)]));
    assert_eq!(t.raw(&format!("insertWithArray?appid={APPID}"), FORM, Some(&token), twice.as_bytes()).await.code(), "0000");
    t.says("`requestdatas` twice.");
    let token = t.platform.token(&Platform::digest(&[("requestdatas", &documents)]));
    let double = form(&[("requestdatas", &documents), ("requestdatas", &documents)]);
    assert_eq!(t.raw(&format!("insertWithArray?appid={APPID}"), FORM, Some(&token), double.as_bytes()).await.code(), "1001");
    t.says("A comma too many, as in the printed samples: the place is named.");
    let broken = format!(r#"[{{"FPQQLSH":"WIRE-4","XSF_NSRSBH":"{SELLER}",}}]"#);
    let token = t.platform.token(&Platform::digest(&[("requestdatas", &broken)]));
    let body_of = form(&[("requestdatas", &broken)]);
    assert_eq!(t.raw(&format!("insertWithArray?appid={APPID}"), FORM, Some(&token), body_of.as_bytes()).await.code(), "1001");
    t.says("A parameter that says one thing in the query string and another in the body.");
    let token = t.platform.token(&json!({}));
    let path = format!("queryInvoiceStatus?appid={APPID}&fpqqlsh=WIRE-2");
    assert_eq!(t.raw(&path, FORM, Some(&token), body.as_bytes()).await.code(), "1001");
    t.says("An appid that nobody has; a name that is not served.");
    let token = t.platform.token(&json!({}));
    assert_eq!(t.raw("queryInvoiceStatus?appid=NOBODY", FORM, Some(&token), body.as_bytes()).await.code(), "1001");
    assert_eq!(t.raw(&format!("insertWithJsonArray?appid={APPID}"), FORM, Some(&token), body.as_bytes()).await.code(), "1001");
    t.says("A token an hour later.");
    let token = t.platform.token(&json!({}));
    t.pass(3600);
    let path = format!("queryInvoiceStatus?appid={APPID}");
    assert_eq!(t.raw(&path, FORM, Some(&token), body.as_bytes()).await.json()["subcode"], "SIGN_EXPIRED");
}
