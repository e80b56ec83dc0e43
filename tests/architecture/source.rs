//! Reads Rust files for `tests/architecture.rs`: as a flat list of tokens, and as the paths of the crate that they name.
//!
//! Comments and strings never count, and neither does what only tests see. What is allowed is not known here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A token, and the lines that it begins and ends on. `::` is one token, and so is each bracket.
pub struct Token {
    pub text: String,
    pub line: usize,
    pub last_line: usize,
}

/// A file of Rust code, without what only tests see.
pub struct Source {
    pub path: PathBuf,
    /// Where it stands in the crate; empty for `lib.rs` and `main.rs`.
    module: Vec<String>,
    pub text: String,
    pub tokens: Vec<Token>,
    /// Modules in files of their own that only tests see.
    test_modules: Vec<Vec<String>>,
}

impl Source {
    pub fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        let path = path.into();
        let within = path.strip_prefix("src").unwrap_or(&path).with_extension("");
        let mut module: Vec<_> = within.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        module.pop_if(|name| matches!(name.as_str(), "mod" | "lib" | "main"));
        let (tokens, test_modules) = without_tests(tokens_of(text));
        let test_modules = test_modules.into_iter().map(|name| [&module[..], &[name]].concat()).collect();
        Self { path, module, text: text.to_owned(), tokens, test_modules }
    }

    /// The file or folder of `src` that it is in.
    pub fn part(&self) -> String {
        let name = self.path.iter().nth(1).map(Path::new).and_then(Path::file_stem).unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }
}

/// The files below a folder, without those that only tests see.
pub fn sources(folder: &str) -> Vec<Source> {
    let all: Vec<_> = files(Path::new(folder)).into_iter().map(|path| Source::new(&path, &read(&path))).collect();
    let tests: BTreeSet<_> = all.iter().flat_map(|source| source.test_modules.clone()).collect();
    assert!(!all.is_empty(), "there is no code in {folder}");
    all.into_iter().filter(|source| !tests.iter().any(|test| source.module.starts_with(test))).collect()
}

/// Every file of Rust code that is ours, tests and benchmarks included.
pub fn everything() -> Vec<Source> {
    let paths = ["src", "tests", "benches"].map(Path::new).into_iter().flat_map(files);
    paths.map(|path| Source::new(&path, &read(&path))).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).filter(is_rust).collect()
}

pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

pub fn tokens_of(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten(text.parse().unwrap_or_else(|error| panic!("no Rust code: {error}\n{text}")), &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let (line, last_line) = (tree.span().start().line, tree.span().end().line);
        let mut push = |text: &str| out.push(Token { text: text.to_owned(), line, last_line });
        match tree {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                // To the lexer, documentation is `#[doc = "…"]` or `#![doc = "…"]`.
                let inner = trees.next_if(|next| next.to_string() == "!").is_some();
                if trees.next_if(is_documentation).is_none() {
                    push("#");
                    if inner {
                        push("!");
                    }
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint => {
                push(if trees.next_if(|next| next.to_string() == ":").is_some() { "::" } else { ":" });
            }
            TokenTree::Group(group) => {
                let [open, close] = match group.delimiter() {
                    Delimiter::Parenthesis => ["(", ")"],
                    Delimiter::Bracket => ["[", "]"],
                    Delimiter::Brace | Delimiter::None => ["{", "}"],
                };
                out.push(Token { text: open.to_owned(), line, last_line: line });
                flatten(group.stream(), out);
                out.push(Token { text: close.to_owned(), line: last_line, last_line });
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => push(&tree.to_string()),
        }
    }
}

fn is_documentation(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    group.delimiter() == Delimiter::Bracket
        && group.stream().into_iter().next().is_some_and(|first| first.to_string() == "doc")
}

/// Takes out every item under `#[cfg(test)]`, and names those that are modules in files of their own.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let cfg_test = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut rest = tokens;
    while let Some(start) = rest.windows(cfg_test.len()).position(|seven| seven.iter().map(|t| &t.text).eq(cfg_test)) {
        kept.extend(rest.drain(..start));
        let item: Vec<_> = rest.drain(..item_length(&rest)).collect();
        if let [.., keyword, name, end] = &item[..]
            && keyword.text == "mod"
            && end.text == ";"
        {
            modules.push(name.text.clone());
        }
    }
    kept.extend(rest);
    (kept, modules)
}

/// The number of tokens to the end of an item: its last brace, or a semicolon outside of all brackets.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            // An attribute on the last thing within brackets.
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
            return at + 1;
        }
    }
    tokens.len()
}

/// Every path of the crate that a file names, from the crate's root, with its line; the empty path is the root itself.
pub fn imports(source: &Source) -> Vec<(Vec<String>, usize)> {
    let tokens = &source.tokens;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut found, mut at) = (Vec::new(), 0);
    let mut here = source.module.clone();
    let (mut depth, mut inline_modules) = (0, Vec::new());
    while at < tokens.len() {
        match text(at) {
            "{" => {
                depth += 1;
                if at >= 2 && text(at - 2) == "mod" {
                    here.push(text(at - 1).to_owned());
                    inline_modules.push(depth);
                }
            }
            "}" => {
                if inline_modules.pop_if(|opened| *opened == depth).is_some() {
                    here.pop();
                }
                depth -= 1;
            }
            "crate" if text(at + 1) == "as" => found.push((Vec::new(), tokens[at].line)),
            "crate" | "super" | "self" if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") => {
                at = follow(tokens, at, here.clone(), &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Follows a path, and each branch of a `{…}` in it; returns where it ends.
fn follow(tokens: &[Token], mut at: usize, mut path: Vec<String>, found: &mut Vec<(Vec<String>, usize)>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = match text(at) {
                        "," => at + 1,
                        "as" => at + 2,
                        _ => follow(tokens, at, path.clone(), found),
                    };
                }
                return at + 1;
            }
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            // A turbofish ends the path; a glob and `self` mean what it names so far.
            "<" => break,
            "*" | "self" => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    found.push((path, tokens[at - 1].line));
    at
}
