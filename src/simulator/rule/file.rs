//! A file of rules: TOML with one `[[rule]]` a rule, of the fields of a rule or of one line of text.
//!
//! All that is wrong in a file is told at once, each with its line and key.

use std::fmt;
use std::ops::Range;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Rule;

/// More than anyone writes by hand; each rule costs time with every request.
const MAX_RULES: usize = 1000;
type Entry<'a> = (Spanned<std::borrow::Cow<'a, str>>, Spanned<DeValue<'a>>);

/// What is wrong in a file of rules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct RuleFileError(Vec<Problem>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    line: usize,
    what: String,
}

impl fmt::Display for RuleFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(|problem| format!("line {}: {}", problem.line, problem.what)).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Rule {
    /// Reads a file of rules.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, RuleFileError> {
        let file = File { text };
        let table =
            DeTable::parse(text).map_err(|error| file.one(error.span().unwrap_or_default(), error.message()))?;
        let mut problems = Vec::new();
        let mut rules = Vec::new();
        for (key, value) in table.into_inner() {
            if key.get_ref() != "rule" {
                problems
                    .push(file.problem(key.span(), format!("{}: unknown; a file has [[rule]] only", key.get_ref())));
                continue;
            }
            let span = value.span();
            let DeValue::Array(tables) = value.into_inner() else {
                problems.push(file.problem(span, "rule: expected [[rule]], a list of tables"));
                continue;
            };
            for table in tables {
                match file.rule(table) {
                    Ok(rule) => rules.push(rule),
                    Err(problem) => problems.push(problem),
                }
            }
            if rules.len() > MAX_RULES {
                problems.push(file.problem(span, format!("rule: there may be at most {MAX_RULES}")));
            }
        }
        let ids = rules.iter().enumerate().filter_map(|(index, rule)| Some((index, rule.id.as_ref()?)));
        for (index, id) in ids {
            if rules.iter().take(index).any(|earlier| earlier.id.as_ref() == Some(id)) {
                problems.push(file.problem(file.find(id), format!("id: {id} is there twice")));
            }
        }
        problems.sort_by_key(|problem| problem.line);
        if problems.is_empty() { Ok(rules) } else { Err(RuleFileError(problems)) }
    }
}

struct File<'a> {
    text: &'a str,
}

impl<'a> File<'a> {
    fn rule(&self, table: Spanned<DeValue<'a>>) -> Result<Rule, Problem> {
        let whole = table.span();
        let DeValue::Table(entries) = table.into_inner() else {
            return Err(self.problem(whole, "rule: expected a table"));
        };
        let entries: Vec<Entry<'a>> = entries.into_iter().collect();
        let mut fields = Vec::new();
        for (key, value) in &entries {
            let text = scalar(value.get_ref())
                .ok_or_else(|| self.problem(value.span(), format!("{}: expected a text or a number", key.get_ref())))?;
            fields.push((key.get_ref().to_string(), text));
        }
        Rule::from_fields(fields).map_err(|error| {
            let at = entries.iter().find(|(key, _)| key.get_ref() == error.field()).map(|(key, _)| key.span());
            self.problem(at.unwrap_or(whole), format!("{}: {error}", error.field()))
        })
    }

    fn find(&self, id: &str) -> Range<usize> {
        let at = self.text.rfind(id).unwrap_or_default();
        at..at
    }

    fn problem(&self, span: Range<usize>, what: impl Into<String>) -> Problem {
        let line = self.text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        Problem { line, what: what.into() }
    }

    fn one(&self, span: Range<usize>, what: &str) -> RuleFileError {
        RuleFileError(vec![self.problem(span, what)])
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_rules_by_fields_and_by_line() {
        let rules = Rule::parse_file(
            r#"
            [[rule]]
            id = "morning"
            provider = "apns"
            fault = 503
            share = 10.5
            retry_after = "2s"
            from = 2026-01-31T12:00:00Z

            [[rule]]
            line = "1% of fcm reset times 3"
            "#,
        );
        let printed: Vec<_> = rules.expect("rules").iter().map(|rule| (rule.id.clone(), rule.to_string())).collect();
        let morning = "10.5% of apns ServiceUnavailable retry-after 2s from 2026-01-31T12:00:00.000Z";
        assert_eq!(
            printed,
            [(Some("morning".to_owned()), morning.to_owned()), (None, "1% of fcm reset times 3".to_owned())]
        );
        assert_eq!(Rule::parse_file(""), Ok(Vec::new()));
    }

    #[test]
    fn each_error_names_its_line_and_key() {
        let text = "rules = 1\n\n[[rule]]\nprovider = \"apns\"\nfault = 503\nshares = 10\n\n[[rule]]\nprovider = \"apns\"\n\
                    fault = \"slow\"\n\n[[rule]]\nid = \"a\"\nline = \"apns 503 times x\"\n\n[[rule]]\nprovider = true\n\
                    [[rule]]\nfault = 503\n";
        let said = Rule::parse_file(text).expect_err("wrong").to_string();
        let lines: Vec<_> = said.lines().collect();
        for (index, start) in [
            "line 1: rules: unknown",
            "line 6: shares: expected one of id, line, provider",
            "line 10: fault: expected a status",
            "line 14: line: expected a number after `times` (times), found `x`",
            "line 17: provider: expected a text or a number",
            "line 18: provider: expected a provider",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(lines[index].starts_with(start), "{} is not {start}", lines[index]);
        }
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn what_is_no_toml_and_what_is_there_twice_is_named() {
        let said = Rule::parse_file("[[rule]]\nprovider = \n").expect_err("wrong").to_string();
        assert!(said.starts_with("line 2: "), "{said}");
        let twice = "[[rule]]\nid = \"a\"\nline = \"apns 503\"\n[[rule]]\nid = \"a\"\nline = \"fcm 503\"\n";
        assert_eq!(Rule::parse_file(twice).expect_err("wrong").to_string(), "line 5: id: a is there twice");
        let not_alone = "[[rule]]\nline = \"apns 503\"\nshare = 10\n";
        let said = Rule::parse_file(not_alone).expect_err("wrong").to_string();
        assert!(said.starts_with("line 3: share: expected only an id"), "{said}");
        assert!(Rule::parse_file("[rule]\nline = \"apns 503\"\n").is_err());
    }
}
