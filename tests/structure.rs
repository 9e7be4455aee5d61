//! The rules of the house that no compiler checks: which room may know which, where `unsafe` may stand, how long a
//! file may be. The rooms are the directories (or files) directly under `src`; `lib.rs` is the map and is free to
//! name them all.

use std::fs;
use std::path::{Path, PathBuf};

/// A room and what it may import besides itself. `net::sys` admits only what that path begins.
const ROOMS: &[(&str, &[&str])] = &[
    ("ffi", &["client", "pool", "queue", "net", "proto", "mem", "diag", "error"]),
    ("client", &["pool", "queue", "net", "proto", "mem", "diag", "error", "sync"]),
    ("queue", &["mem", "net::sys", "net::descriptors", "net::backend::Notify", "diag", "error", "sync"]),
    ("pool", &["net", "proto", "mem", "diag", "error"]),
    ("net", &["proto", "mem", "diag", "error", "sync"]),
    ("proto", &[]),
    ("mem", &["diag"]),
    ("diag", &["error"]),
    ("error", &[]),
    ("sync", &[]),
];

const UNSAFE_ALLOWED: &[&str] = &["mem/", "net/sys/", "ffi/"];
const LINES_WARN: usize = 600;
const LINES_MAX: usize = 800;

#[test]
fn dependencies_run_one_way() {
    verdict(&sources(), |file, text| import_faults(file, &tokens(text)));
}

#[test]
fn unsafe_stays_in_its_rooms() {
    verdict(&sources(), |file, text| {
        let allowed = UNSAFE_ALLOWED.iter().any(|place| file.starts_with(place));
        let found = tokens(text).into_iter().filter(|t| !allowed && t.text == "unsafe");
        found.map(|t| format!("{}: `unsafe` is allowed in {UNSAFE_ALLOWED:?} only", t.line)).collect()
    });
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    verdict(&sources(), |file, text| {
        let mut faults = Vec::new();
        if !text.starts_with("//!") {
            faults.push("1: a file opens with `//!`: what it is".to_owned());
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{LINES_MAX}: {lines} lines; one concept to a file"));
        } else if lines > LINES_WARN {
            println!("warning: src/{file} has {lines} lines; look hard at it");
        }
        faults
    });
}

#[test]
fn nothing_unfinished() {
    verdict(&sources(), |_, text| unfinished(text));
}

fn unfinished(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let macros = tokens
        .windows(2)
        .filter(|pair| pair[1].text == "!" && ["todo", "unimplemented", "dbg"].contains(&pair[0].text.as_str()));
    let mut faults: Vec<String> = macros.map(|pair| format!("{}: `{}!`", pair[0].line, pair[0].text)).collect();
    for (i, line) in text.lines().enumerate() {
        let notes = line.split(|c: char| !c.is_alphanumeric()).filter(|w| ["TODO", "FIXME"].contains(w));
        faults.extend(notes.map(|word| format!("{}: {word}", i + 1)));
    }
    faults
}

/// What a file imports against the rules. `file` is relative to `src`.
fn import_faults(file: &str, tokens: &[Token]) -> Vec<String> {
    let mut module: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if module.last() == Some(&"mod") {
        module.pop();
    }
    let room = module[0];
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("1: `{room}` is not one of the rooms")];
    };

    let mut faults = Vec::new();
    for (line, path) in absolute_paths(tokens, module.len()) {
        let path = path.join("::");
        let within =
            |place: &str| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        if !within(room) && !allowed.iter().any(|place| within(place)) {
            faults.push(format!("{line}: `{room}` must not know `crate::{path}`"));
        }
    }
    faults
}

/// Every path that starts at the crate's root, by `crate::` or by enough `super::`, without that start. `depth` is
/// how many modules deep the file is; modules written inside it add to that.
fn absolute_paths(tokens: &[Token], depth: usize) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut braces: Vec<bool> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let text = tokens[i].text.as_str();
        let starts_path = tokens.get(i + 1).is_some_and(|t| t.text == "::") && (i == 0 || tokens[i - 1].text != "::");
        match text {
            "{" => braces.push(i >= 2 && tokens[i - 2].text == "mod"),
            "}" => drop(braces.pop()),
            "crate" | "super" if starts_path => {
                let depth = depth + braces.iter().filter(|is_module| **is_module).count();
                let mut paths = Vec::new();
                i = path_tree(tokens, i, &[], &mut paths);
                for path in paths {
                    let ups = path.iter().take_while(|segment| *segment == "super").count();
                    if path[0] == "crate" {
                        found.push((tokens[i - 1].line, path[1..].to_vec()));
                    } else if ups >= depth {
                        found.push((tokens[i - 1].line, path[ups..].to_vec()));
                    }
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Reads `a::b::{c, d::e}` from token `i`, appends each leaf's path, and returns the index after it.
fn path_tree(tokens: &[Token], mut i: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(i).map(|t| t.text.as_str()) {
            Some("{") => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t.text != "}") {
                    i = path_tree(tokens, i, &path, paths);
                    while tokens.get(i).is_some_and(|t| !["}", ","].contains(&t.text.as_str())) {
                        i += 1;
                    }
                    if tokens.get(i).is_some_and(|t| t.text == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            Some(segment) => path.push(segment.to_owned()),
            None => {}
        }
        i += 1;
        if tokens.get(i).is_none_or(|t| t.text != "::") {
            paths.push(path);
            return i;
        }
        i += 1;
    }
}

/// A word, `::`, or one character of punctuation, outside comments and literals.
#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let mut keep = false;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut nesting = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (nesting, i) = (nesting + 1, i + 2),
                        ('*', '/') => (nesting, i) = (nesting - 1, i + 2),
                        _ => i += 1,
                    }
                    if nesting == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => i = after_quoted(&chars, i, '"'),
            // A quote is a lifetime unless a second one follows the next character.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => i = after_quoted(&chars, i, '\''),
            c if is_word(c) => {
                while is_word(at(i)) {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(i + hashes) == '"' {
                    i = after_raw(&chars, i + hashes + 1, hashes);
                } else {
                    keep = true;
                }
            }
            ':' if at(i + 1) == ':' => (keep, i) = (true, i + 2),
            c => (keep, i) = (!c.is_whitespace(), i + 1),
        }
        i = i.min(chars.len());
        if keep {
            tokens.push(Token { text: chars[start..i].iter().collect(), line });
        }
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn after_quoted(chars: &[char], open: usize, quote: char) -> usize {
    let mut i = open + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn after_raw(chars: &[char], body: usize, hashes: usize) -> usize {
    let closes = |i: usize| chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (body..chars.len()).find(|i| closes(*i)).map_or(chars.len(), |i| i + 1 + hashes)
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources under {}", root().display());
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Runs a rule over all files and fails with every fault that it found, as `src/file:line: what`.
fn verdict(files: &[PathBuf], rule: impl Fn(&str, &str) -> Vec<String>) {
    let mut faults = Vec::new();
    for path in files {
        let file = path.strip_prefix(root()).expect("under src").to_str().expect("UTF-8").to_owned();
        let text = fs::read_to_string(path).expect("readable UTF-8");
        faults.extend(rule(&file, &text).into_iter().map(|fault| format!("src/{file}:{fault}")));
    }
    assert!(faults.is_empty(), "{} fault(s):\n{}", faults.len(), faults.join("\n"));
}

/// The rules above hold on the sources; here they are shown to fail where they must.
mod rules {
    use super::*;

    fn imports(file: &str, source: &str) -> usize {
        import_faults(file, &tokens(source)).len()
    }

    #[test]
    fn an_upward_import_is_a_fault() {
        assert_eq!(imports("net/mod.rs", "use crate::proto::Tick;\nuse crate::mem;"), 0);
        assert_eq!(imports("net/mod.rs", "use crate::pool::Pool;"), 1);
        assert_eq!(imports("proto/h1/head.rs", "use crate::{proto::Tick, mem::Buffer, net::{sys, dial}};"), 3);
        assert_eq!(imports("proto/h1/head.rs", "fn f() { let x: crate::error::Code = g(); }"), 1);
        assert_eq!(
            imports("mem/slab.rs", "pub(crate) fn f() {} // use crate::net;\nconst S: &str = \"crate::net\";"),
            0
        );
        assert_eq!(imports("cellar/mod.rs", ""), 1);
    }

    #[test]
    fn a_room_may_be_open_in_part() {
        assert_eq!(imports("queue/notify.rs", "use crate::net::sys; use crate::net::backend::Notify;"), 0);
        assert_eq!(imports("queue/notify.rs", "use crate::net::Reactor;"), 1);
        assert_eq!(imports("queue/notify.rs", "use crate::net::{sys::write, backend::Backend};"), 1);
        assert_eq!(imports("queue/notify.rs", "use crate::net::system;"), 1);
    }

    #[test]
    fn super_is_followed_to_the_root() {
        assert_eq!(imports("proto/mod.rs", "use super::mem::Buffer;"), 1);
        assert_eq!(imports("proto/h1/mod.rs", "use super::mem::Buffer;"), 0);
        assert_eq!(imports("proto/h1/head.rs", "use super::super::super::mem::Buffer;"), 1);
        assert_eq!(imports("proto/mod.rs", "mod tests { use super::mem; }"), 0);
        assert_eq!(imports("proto/mod.rs", "mod tests { use super::super::mem; }"), 1);
    }

    #[test]
    fn words_in_literals_and_comments_are_not_code() {
        let hidden = r##"// unsafe
            /* unsafe /* unsafe */ unsafe */ const A: &str = "unsafe \" unsafe"; const B: &str = r#"" unsafe"#;
            const C: char = '"'; fn f<'a>(x: &'a str) {} #![deny(unsafe_code)]"##;
        assert!(tokens(hidden).iter().all(|t| t.text != "unsafe"));
        let shown = tokens("fn f<'a>() {\n unsafe {} }");
        assert_eq!(shown.iter().find(|t| t.text == "unsafe").map(|t| t.line), Some(2));
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(unfinished("fn f() { todo!() }\nfn g() { dbg!(1); unimplemented!() }").len(), 3);
        assert_eq!(unfinished("// TODO: later\n// FIXME").len(), 2);
        assert_eq!(unfinished("fn todo() {}\n// methods").len(), 0);
    }
}
