//! Reads JSON strictly: what is not JSON, what does not fit and what is not known are three different mistakes, and each names
//! its place. Says nothing about invoice rules.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use taxdisk_protocol::error::{Breach, Code, Problem};

use super::refused::Refused;

/// The most unknown fields that are listed; a body can hold hundreds of thousands.
const MAX_LISTED: usize = 100;

/// Parses `bytes`.
///
/// # Errors
/// `malformed_json` with line and column; `unknown_field` with all fields that are not known (and what is missing beside them,
/// since a misspelt field is both); `invalid_body` with the field that does not fit.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        // The types would take an array of values in the order of their fields too; that is nothing to rely on.
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| malformed(&error))?;
        return Err(Refused::new(Code::InvalidBody, "an object is expected"));
    }
    // Nearly every text is right. Where in it the reader stands is only tracked for those that are not.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut is_known = true;
    let parsed =
        T::deserialize(serde_ignored::Deserializer::new(&mut reader, &mut |_: serde_ignored::Path<'_>| is_known = false));
    match parsed {
        Ok(value) if is_known && reader.end().is_ok() => Ok(value),
        _ => parse_tracked(bytes),
    }
}

/// As [`parse`], slower, and able to say where something is wrong.
fn parse_tracked<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let mut unknown = Vec::new();
    let mut count = 0_usize;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let parsed = {
        let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
        let mut note = |path: serde_ignored::Path<'_>| {
            count += 1;
            if unknown.len() < MAX_LISTED {
                unknown.push(pointer_of_ignored(&path));
            }
        };
        T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note))
    };
    match parsed {
        Ok(value) => {
            reader.end().map_err(|error| malformed(&error))?;
            if unknown.is_empty() { Ok(value) } else { Err(unknown_fields(unknown, count, None)) }
        }
        Err(error) if error.classify() == Category::Data => {
            let misfit =
                Breach { code: "wrong_type".to_owned(), pointer: pointer_of_track(&track.path()), detail: strip_place(&error) };
            if unknown.is_empty() {
                let mut problem = Problem::new(
                    Code::InvalidBody,
                    format!("{} at line {}, column {}", misfit.detail, error.line(), error.column()),
                );
                problem.breaches = vec![misfit];
                return Err(problem.into());
            }
            Err(unknown_fields(unknown, count, Some(misfit)))
        }
        Err(error) => Err(malformed(&error)),
    }
}

fn malformed(error: &serde_json::Error) -> Refused {
    Refused::new(Code::MalformedJson, format!("{} at line {}, column {}", strip_place(error), error.line(), error.column()))
}

fn unknown_fields(unknown: Vec<String>, count: usize, misfit: Option<Breach>) -> Refused {
    let mut problem = Problem::new(Code::UnknownField, format!("{count} unknown: {}", unknown.join(", ")));
    problem.breaches = unknown
        .into_iter()
        .map(|pointer| {
            let detail = format!("there is no field {pointer}; leave it out or correct its name");
            Breach { code: "unknown_field".to_owned(), pointer, detail }
        })
        .chain(misfit)
        .collect();
    problem.into()
}

/// The text of an error without its place, which is told apart.
fn strip_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(head, _)| head.to_owned())
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn pointer_of_ignored(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", pointer_of_ignored(parent)),
        Path::Map { parent, key } => format!("{}/{}", pointer_of_ignored(parent), escaped(key)),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => pointer_of_ignored(parent),
    }
}

fn pointer_of_track(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escaped(key)),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use taxdisk_protocol::api::JobSubmission;

    use super::*;

    const GOOD: &str = r#"{"seller":"91110000MA00000019","serial":"A1","kind":"025","invoice":{"buyer":{"name":"个人"},
        "lines":[{"name":"x","net":"1.00","rate":"0.13","tax":"0.13"}],"totals":{"net":"1.00","tax":"0.13","gross":"1.13"}}}"#;

    fn problem(text: &str) -> Problem {
        *parse::<JobSubmission>(text.as_bytes()).unwrap_err().0
    }

    fn pointers(problem: &Problem) -> Vec<&str> {
        problem.breaches.iter().map(|breach| breach.pointer.as_str()).collect()
    }

    #[test]
    fn all_unknown_fields_are_named_by_their_pointers() {
        assert_eq!(parse::<JobSubmission>(GOOD.as_bytes()).unwrap().serial, "A1");
        let text =
            GOOD.replace("\"name\":\"x\"", "\"name\":\"x\",\"a/b~c\":{\"deep\":1}").replace("\"kind\"", "\"knd\":1,\"kind\"");
        let problem = problem(&text);
        assert_eq!((problem.code.as_str(), problem.status), ("unknown_field", 422));
        assert_eq!(pointers(&problem), ["/knd", "/invoice/lines/0/a~1b~0c"]);
    }

    #[test]
    fn a_misspelt_field_is_unknown_and_missing() {
        let problem = problem(&GOOD.replace("\"serial\"", "\"seriel\""));
        assert_eq!(problem.code, "unknown_field");
        assert_eq!(pointers(&problem), ["/seriel", ""]);
        assert!(problem.breaches[1].detail.contains("`serial`"), "{problem:?}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let problem = problem(&GOOD.replace("\"net\":\"1.00\",\"rate\"", "\"net\":1.00,\"rate\""));
        assert_eq!((problem.code.as_str(), problem.status), ("invalid_body", 422));
        assert_eq!(pointers(&problem), ["/invoice/lines/0/net"]);
        assert!(problem.detail.contains("line 2"), "{problem:?}");
    }

    #[test]
    fn what_is_not_json_is_told_its_place() {
        let cases = ["", "{", "{\"seller\":\n  tru}", "\u{feff}{}", "[1,2", "{\"a\":1}}"];
        for text in cases {
            let problem = problem(text);
            assert!(problem.code == "malformed_json" || text == "{\"a\":1}}", "{text:?}: {problem:?}");
            assert!(problem.detail.contains("line ") || !problem.breaches.is_empty(), "{problem:?}");
        }
        assert_eq!(problem(r#"["91110000MA00000019","A1","issue","025"]"#).code, "invalid_body");
        assert!(problem("{\"seller\":\n  tru}").detail.contains("line 2"));
        assert_eq!(problem(&format!("{GOOD} x")).code, "malformed_json");
        assert_eq!(problem(&format!("{{\"x\":{}", "[".repeat(10_000))).code, "malformed_json", "deep nesting is bounded");
        assert_eq!(parse::<JobSubmission>(b"{\"seller\":\"\xff\"}").unwrap_err().0.code, "malformed_json");
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        assert_eq!(problem(&GOOD.replace("\"kind\"", "\"kind\":\"026\",\"kind\"")).code, "invalid_body");
    }

    #[test]
    fn the_list_of_unknown_fields_is_bounded() {
        let many: Vec<String> = (0..5_000).map(|index| format!("\"x{index}\":0")).collect();
        let problem = problem(&format!("{{{}}}", many.join(",")));
        assert_eq!(problem.breaches.len(), MAX_LISTED + 1);
        assert!(problem.detail.starts_with("5000 unknown"));
    }
}
