//! The fields that log lines have in the code: what is named in `tracing`'s macros.

use std::collections::BTreeSet;

use super::source::{Source, Token};

/// The macros whose names are also those of nothing else here.
const MACROS: [&str; 6] = ["event", "error", "warn", "info", "debug", "trace"];

/// The names of all fields in a file.
pub fn fields(source: &Source) -> BTreeSet<String> {
    let tokens: Vec<&str> = source.tokens.iter().map(|Token { text, .. }| text.as_str()).collect();
    let is_macro = |at: &usize| MACROS.contains(&tokens[*at]) && tokens.get(at + 1..at + 3) == Some(&["!", "("]);
    let calls = (0..tokens.len()).filter(is_macro);
    calls.flat_map(|at| arguments(&tokens[at + 3..])).filter_map(field).map(str::to_owned).collect()
}

/// The arguments of a macro, from behind its bracket on.
fn arguments<'a>(tokens: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    let (mut depth, mut from, mut arguments) = (0_usize, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" if depth == 0 => {
                arguments.push(&tokens[from..at]);
                break;
            }
            ")" | "]" | "}" => depth -= 1,
            "," if depth == 0 => {
                arguments.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    arguments
}

/// The field that an argument is: `name = …`, `name`, `%name` or `?name`; not a text, a target or a level.
fn field<'a>(argument: &[&'a str]) -> Option<&'a str> {
    let argument = if let ["%" | "?", rest @ ..] = argument { rest } else { argument };
    let name = argument.first().filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))?;
    matches!(argument.get(1), None | Some(&("=" | "."))).then_some(*name)
}

#[test]
fn fields_are_found_however_they_are_written() {
    let text = r#"fn f() {
        tracing::info!(target: "a", call_id = %call.id, status, %error, ?why, rows = many(1, 2), "text {inline}", 3);
        warn!(self.name, "text");
        event!(Level::INFO, took_ms = { 1 });
        info("no macro", nothing);
    }"#;
    let found = fields(&Source::new("src/engine/planted.rs", text));
    let wanted = ["call_id", "error", "rows", "self", "status", "took_ms", "why"];
    assert_eq!(found, wanted.map(str::to_owned).into());
}
