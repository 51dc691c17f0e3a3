//! Rust source, as far as it names things by path. What is compiled for tests only is left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path in the source, such as `crate::clock::Timestamp`; of an import of several, one for each.
pub struct NamedPath {
    pub names: Vec<String>,
    pub line: usize,
}

/// A function that spawns a task or a thread, as it is named: one that is called `spawn`, or something that begins so.
pub struct Spawn {
    /// Its path, or it behind the last name of what it is called on: `tokio::spawn`, `requests.spawn`.
    pub name: String,
    pub line: usize,
    /// What it is given; 0 where it is not called.
    pub arguments: usize,
}

/// A file of source.
pub struct File {
    /// From the root of the repository.
    pub name: String,
    /// Its module; empty for the root of a crate.
    pub module: Vec<String>,
    pub paths: Vec<NamedPath>,
    /// What spawns tasks or threads.
    pub spawns: Vec<Spawn>,
    /// Names that its imports bring in from this crate.
    pub imports: BTreeSet<String>,
}

/// All files of the product, but for its `main.rs` and for modules of tests.
pub fn files() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| read_all(&crate::root().join("src")));
    &FILES
}

fn read_all(directory: &Path) -> Vec<File> {
    let mut read: Vec<(File, Vec<Vec<String>>)> = sources(directory)
        .into_iter()
        .filter(|path| *path != directory.join("main.rs"))
        .map(|path| file(directory, &path))
        .collect();
    let tests: Vec<_> = read.iter().flat_map(|(_, tests)| tests.clone()).collect();
    read.retain(|(file, _)| !tests.iter().any(|test| file.module.starts_with(test)));
    read.into_iter().map(|(file, _)| file).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The file, and the modules of tests that it declares.
fn file(root: &Path, path: &Path) -> (File, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let inside = path.strip_prefix(root).unwrap().with_extension("");
    let mut module: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    let mut reader = Reader::default();
    reader.read(&tokens.into_iter().collect::<Vec<_>>());
    let tests = reader.tests.iter().map(|test| module.iter().chain([test]).cloned().collect()).collect();
    let name = path.strip_prefix(crate::root()).unwrap().display().to_string();
    (File { name, module, paths: reader.paths, spawns: reader.spawns, imports: reader.imports }, tests)
}

#[derive(Default)]
struct Reader {
    paths: Vec<NamedPath>,
    spawns: Vec<Spawn>,
    imports: BTreeSet<String>,
    tests: Vec<String>,
}

impl Reader {
    fn read(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_for_tests(tokens.get(at + 1)) => {
                    self.skip_item(tokens, at)
                }
                // A path goes on behind `::`, and begins elsewhere.
                TokenTree::Ident(_) if !follows_a_path(tokens, at) => {
                    let is_import = at > 0 && is_word(&tokens[at - 1], "use");
                    self.path(tokens, at, Vec::new(), is_import)
                }
                TokenTree::Group(group) => {
                    self.read(&group.stream().into_iter().collect::<Vec<_>>());
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// Takes the path that begins at `at` behind `before`. The place behind it.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, before: Vec<String>, is_import: bool) -> usize {
        let mut names = before;
        let begin = at;
        let line = tokens[at].span().start().line;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) => names.push(ident.to_string()),
                Some(TokenTree::Group(group)) if is_import && group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    let mut part = 0;
                    while part < inner.len() {
                        let end = self.path(&inner, part, names.clone(), true);
                        let rest = inner[end..].iter().position(|token| is_mark(token, ','));
                        part = rest.map_or(inner.len(), |comma| end + comma + 1);
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            let goes_on = tokens.get(at).is_some_and(|token| is_mark(token, ':'))
                && tokens.get(at + 1).is_some_and(|token| is_mark(token, ':'));
            if !goes_on {
                break;
            }
            at += 2;
        }
        let is_declared = begin > 0 && is_word(&tokens[begin - 1], "fn");
        if !is_declared && names.last().is_some_and(|name| name == "spawn" || name.starts_with("spawn_")) {
            let name = format!("{}{}", called_on(tokens, begin), names.join("::"));
            self.spawns.push(Spawn { name, line, arguments: arguments(tokens.get(at)) });
        }
        if is_import && matches!(names[0].as_str(), "crate" | "super" | "self") {
            let last = names.iter().rfind(|name| *name != "self");
            self.imports.extend(last.cloned());
        }
        if names.len() > 1 || is_import {
            self.paths.push(NamedPath { names, line });
        }
        at
    }

    /// Leaves out an item that is compiled for tests only; if it declares a module in a file, notes which. The place behind it.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        let mut is_module = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(ident) if is_module => self.tests.push(ident.to_string()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at,
                token if is_mark(token, ';') => return at,
                _ => {}
            }
            is_module = is_word(token, "mod");
        }
        at
    }
}

/// Whether this is the inside of `#[cfg(test)]`.
fn is_for_tests(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test")
}

fn follows_a_path(tokens: &[TokenTree], at: usize) -> bool {
    // `::` behind a name or `>`, not one that begins a path.
    at > 2
        && is_mark(&tokens[at - 1], ':')
        && is_mark(&tokens[at - 2], ':')
        && (matches!(&tokens[at - 3], TokenTree::Ident(_)) || is_mark(&tokens[at - 3], '>'))
}

/// Of a method: the last name of what it is called on, and the dot.
fn called_on(tokens: &[TokenTree], at: usize) -> String {
    if at < 2 || !is_mark(&tokens[at - 1], '.') {
        return String::new();
    }
    match &tokens[at - 2] {
        TokenTree::Ident(ident) => format!("{ident}."),
        // What another method gave.
        TokenTree::Group(_) if at > 2 => format!("{}().", tokens[at - 3]),
        other => format!("{other}."),
    }
}

/// How many arguments stand in these parentheses.
fn arguments(token: Option<&TokenTree>) -> usize {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            let inner: Vec<_> = group.stream().into_iter().collect();
            inner.split(|token| is_mark(token, ',')).filter(|argument| !argument.is_empty()).count()
        }
        _ => 0,
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}
