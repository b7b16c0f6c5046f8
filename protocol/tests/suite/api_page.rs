//! `docs/api.md`: every call and every type of the broker's API, made from `broker/openapi.json`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::documents::compare;

const HEAD: &str = "# API\n\n\
    <!-- Made from broker/openapi.json by TAXDISK_BLESS=1 cargo test -p taxdisk-protocol; a test compares them. -->\n\n\
    Every call of the broker and every type. [Integrating](integrate.md) says how they are used, [errors](errors.md) what\n\
    each problem means; a broker serves the same for programs at `/openapi.json`. Key: *any* is a key that is for the seller,\n\
    *unlimited* one that is for all sellers, *admin* such a one of the role `admin`. Fields of requests that do not\n\
    exist are refused; answers may get new ones.\n";

/// Calls of one path, in this order.
const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Members by their names: the order in the file depends on how its reader was built.
fn members(value: &Value) -> Vec<(&str, &Value)> {
    let mut members: Vec<_> = value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

/// The alternative that is not `null`, where there is one beside it.
fn present(schema: &Value) -> &Value {
    list(&schema["oneOf"]).iter().find(|one| one["type"] != "null").unwrap_or(schema)
}

fn kind(schema: &Value) -> String {
    let schema = present(schema);
    if let Some(name) = text(&schema["$ref"]).rsplit('/').next().filter(|name| !name.is_empty()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let named = match &schema["type"] {
        Value::Array(names) => names.iter().map(text).find(|name| *name != "null").unwrap_or_default(),
        name => text(name),
    };
    match named {
        "array" if schema["items"].is_object() => format!("list of {}", kind(&schema["items"])),
        "array" => "list".to_owned(),
        "object" if schema["additionalProperties"].is_object() => format!("map to {}", kind(&schema["additionalProperties"])),
        "" => "any".to_owned(),
        named => named.to_owned(),
    }
}

/// What a body holds, by its first content type.
fn body(content: &Value) -> String {
    match members(content).first() {
        Some((_, media)) if media["schema"].is_object() => kind(&media["schema"]),
        Some((media, _)) => format!("`{media}`"),
        None => String::new(),
    }
}

fn call(page: &mut String, method: &str, path: &str, call: &Value) {
    let query = list(&call["parameters"]).iter().filter(|one| one["in"] == "query");
    let query: String = query.map(|one| format!(" `{}`", text(&one["name"]))).collect();
    let key = match list(&call["security"]).first() {
        None => "",
        Some(key) => match list(&key["key"]).first().map(text) {
            None => "any",
            Some("all_sellers") => "unlimited",
            Some(_) => "admin",
        },
    };
    let what = if call["summary"].is_string() { &call["summary"] } else { &call["operationId"] };
    let answers = members(&call["responses"]).into_iter().map(|(status, answer)| {
        let content = if status.starts_with('2') { body(&answer["content"]) } else { String::new() };
        let content = if content.is_empty() { content } else { format!(" ({content})") };
        format!("{status}: {}{content}", cell(text(&answer["description"])))
    });
    let answers: Vec<String> = answers.collect();
    let query = if query.is_empty() { query } else { format!("; query:{query}") };
    let _ = writeln!(
        page,
        "| `{} {path}`{query} | {key} | {} | {} | {} |",
        method.to_uppercase(),
        cell(text(what)),
        body(&call["requestBody"]["content"]),
        answers.join("; "),
    );
}

fn schema(page: &mut String, name: &str, schema: &Value) {
    let _ = write!(page, "\n### {name}\n\n{}\n", cell(text(&schema["description"])));
    if schema["enum"].is_array() {
        let words: Vec<String> = list(&schema["enum"]).iter().map(|word| format!("`{}`", text(word))).collect();
        let _ = write!(page, "\nOne of {}.\n", words.join(", "));
    }
    for (word, alternatives) in [("one of", &schema["oneOf"]), ("all of", &schema["allOf"])] {
        let alternatives = list(alternatives);
        if !alternatives.is_empty() {
            let _ = write!(page, "\nIt is {word}:\n\n");
        }
        for one in alternatives {
            let inside = members(&one["properties"]);
            let words: Vec<String> = match &one["enum"] {
                Value::Array(words) => words.iter().map(|word| format!("`\"{}\"`", text(word))).collect(),
                _ if inside.is_empty() => vec![kind(one)],
                _ => inside.into_iter().map(|(name, value)| format!("`{name}`: {}", alternative(value))).collect(),
            };
            let _ = writeln!(page, "{}", format!("* {}. {}", words.join(", "), cell(text(&one["description"]))).trim_end());
        }
    }
    let mut fields = members(&schema["properties"]);
    if fields.is_empty() {
        return;
    }
    let needed = |name: &str| list(&schema["required"]).iter().any(|one| one == name);
    fields.sort_by_key(|(name, _)| !needed(name));
    page.push_str("\n| member | | type | |\n|---|---|---|---|\n");
    for (name, field) in fields {
        let said = [field, present(field)].into_iter().map(|schema| text(&schema["description"])).find(|said| !said.is_empty());
        let always = if needed(name) { "always" } else { "" };
        let _ = writeln!(page, "| `{name}` | {always} | {} | {} |", kind(field), cell(said.unwrap_or_default()));
    }
}

/// A member of an alternative: the word that it must be, or its type.
fn alternative(schema: &Value) -> String {
    match list(&schema["enum"]) {
        [word] => format!("`\"{}\"`", text(word)),
        _ => kind(schema),
    }
}

fn page(document: &Value) -> String {
    let mut page = format!("{HEAD}\n## Calls\n");
    let paths = members(&document["paths"]);
    let calls = paths.iter().flat_map(|(path, calls)| METHODS.map(|method| (*path, method, &calls[method])));
    let calls: Vec<_> = calls.filter(|(_, _, call)| call.is_object()).collect();
    let mut tags: Vec<&str> = calls.iter().map(|(_, _, call)| text(&call["tags"][0])).collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in tags {
        let _ = write!(page, "\n### {tag}\n\n| call | key | what it does | body | answers |\n|---|---|---|---|---|\n");
        for (path, method, one) in calls.iter().filter(|(_, _, call)| call["tags"][0] == tag) {
            call(&mut page, method, path, one);
        }
    }
    page.push_str("\n## Types\n");
    for (name, one) in members(&document["components"]["schemas"]) {
        schema(&mut page, name, one);
    }
    page
}

#[test]
fn the_page_of_the_api_is_that_of_its_description() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(root.join("broker/openapi.json")).unwrap()).unwrap();
    let calls: usize = members(&document["paths"]).iter().map(|(_, calls)| members(calls).len()).sum();
    let made = page(&document);
    assert_eq!(
        made.lines()
            .filter(|line| METHODS.iter().any(|method| line.starts_with(&format!("| `{} /", method.to_uppercase()))))
            .count(),
        calls
    );
    compare(&root.join("docs/api.md"), &made);
}
