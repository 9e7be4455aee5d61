//! docs/contract.md keeps its word: each rule names tests that exist, or says that it is not built, and no C test is left
//! out of it. Whether they ran is for tests/ran.py to say, after the last of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_rule_is_proved_or_says_that_it_is_not() {
    let rules = rules();
    assert!(rules.len() > 50, "{} rules", rules.len());
    for rule in &rules {
        let number = number(rule);
        assert!(rule.contains(" Not yet: ") || rule.contains(" Tests: "), "{number} says neither");
        assert_eq!(rule.contains(" Tests: "), !tests(rule).is_empty(), "{number} names no test");
    }
}

#[test]
fn rules_are_numbered_in_their_order() {
    let mut last = (2, 0);
    for rule in rules() {
        let number = number(&rule).to_owned();
        let (section, place) = number.split_once('.').expect("section.place");
        let next: (u32, u32) = (section.parse().expect("a number"), place.parse().expect("a number"));
        let expected = [(last.0, last.1 + 1), (last.0 + 1, 1)];
        assert!(expected.contains(&next), "{number} follows {}.{}", last.0, last.1);
        last = next;
    }
    assert_eq!(last.0, 12);
}

#[test]
fn every_named_test_exists() {
    for rule in rules() {
        for test in tests(&rule) {
            let exists = match test.split_once("::") {
                None => root().join(test).with_extension("c").exists(),
                Some((file, name)) if file.ends_with(".py") => read(file).contains(&format!("    def {name}(self)")),
                Some((file, name)) => is_test(&read(file), name),
            };
            assert!(exists, "{}: there is no test {test}", number(&rule));
        }
    }
}

#[test]
fn every_c_test_proves_a_rule() {
    let contract = read("docs/contract.md");
    for entry in fs::read_dir(root().join("c_tests")).expect("c_tests can be read") {
        let path = entry.expect("c_tests can be read").path();
        if path.extension().is_some_and(|e| e == "c") {
            let stem = path.file_stem().expect("a file").to_string_lossy().into_owned();
            assert!(contract.contains(&format!("`c_tests/{stem}`")), "docs/contract.md has no c_tests/{stem}");
        }
    }
}

/// tests/ran.py finds each named test in what `cargo test` prints, and misses one that is not there, or has failed.
#[test]
fn what_did_not_run_is_told() {
    let mut named: BTreeSet<(String, String)> = BTreeSet::new();
    for rule in rules() {
        for test in tests(&rule) {
            named.insert(match test.split_once("::") {
                None => ("tests/c_api.rs".into(), format!("{test} (valgrind)")),
                Some((file, _)) if file.ends_with(".py") => {
                    ("tests/python_abi.rs".into(), "the_interface_needs_no_compiler".into())
                }
                Some((file, name)) => match file.strip_prefix("src/") {
                    None => (file.into(), name.into()),
                    Some(file) => {
                        let module = file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
                        ("unittests src/lib.rs".into(), format!("{module}::tests::{name}"))
                    }
                },
            });
        }
    }
    let named: Vec<_> = named.into_iter().collect();
    let verdict = |lost: Option<usize>, instead: &str| {
        let line = |(i, (binary, test)): (usize, &(String, String))| {
            let how = if lost == Some(i) { instead } else { "... ok" };
            format!("     Running {binary} (target/debug/deps/x)\nrunning 1 test\ntest {test} {how}\n")
        };
        let output: String = named.iter().enumerate().map(line).collect();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test.log");
        fs::write(&file, output).expect("it can be written");
        let ran = Command::new("python3").arg(root().join("tests/ran.py")).arg(&file).output().expect("python3");
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    assert_eq!(verdict(None, ""), (true, String::new()));
    for (i, instead) in [(0, "... FAILED"), (named.len() / 2, "... ignored"), (named.len() - 1, "...")] {
        let (ok, text) = verdict(Some(i), instead);
        let name = named[i].1.rsplit("::").next().unwrap_or("").trim_end_matches(" (valgrind)");
        assert!(!ok && text.contains(name), "{}: {text}", named[i].1);
    }
}

/// Each exported function has its row in the tables of c_tests/hostile_*.c, and the attempts behind it call it.
#[test]
fn no_function_is_without_a_hostile_caller() {
    let mut abused = BTreeSet::new();
    for entry in fs::read_dir(root().join("c_tests")).expect("c_tests can be read") {
        let path = entry.expect("c_tests can be read").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with("hostile_") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a C test is UTF-8");
        for row in text.split("    TRY(").skip(1) {
            let function = row.split(')').next().unwrap_or(row);
            let body = text.split(&format!("HOSTILE({function})\n{{")).nth(1).and_then(|rest| rest.split("\n}").next());
            let calls = match body {
                Some(body) => body.contains(&format!("{function}(")),
                // One of a family, which a macro writes.
                None => text.lines().any(|line| {
                    let family = line.split_once(&format!("({function}, ")).map(|(family, _)| family);
                    family.is_some_and(|family| family.ends_with("_NUMBER") || family.ends_with("_TEXT"))
                }),
            };
            assert!(calls, "{name}: nothing calls {function}");
            abused.insert(function.to_owned());
        }
    }
    let exports = read("tests/abi/symbols.golden");
    for function in exports.lines().filter_map(|line| line.split('@').next()) {
        assert!(abused.remove(function), "{function} has no row in c_tests/hostile_*.c");
    }
    assert!(abused.is_empty(), "{abused:?} are not exported");
}

/// The comment above each declaration has a line `Context:`, with a tag in brackets.
#[test]
fn every_function_says_where_it_may_be_called() {
    let header = read("include/chttpcore.h");
    let mut comment = String::new();
    let mut functions = 0;
    for line in header.lines() {
        match line {
            "/**" => comment.clear(),
            line if line.starts_with(" *") => comment.push_str(line),
            line if is_declaration(line) => {
                functions += 1;
                let context = comment.split_once("Context:").map_or("", |(_, rest)| rest.trim_start());
                assert!(context.starts_with('['), "{line} has no tag");
            }
            _ => {}
        }
    }
    assert!(functions > 50, "{functions} functions");
}

/// The first line of a function's declaration, which begins at the margin.
fn is_declaration(line: &str) -> bool {
    let head = line.split('(').next().unwrap_or("");
    let name = head.rsplit([' ', '*']).next().unwrap_or("");
    line.contains('(') && line.starts_with(|c: char| c.is_ascii_lowercase()) && name.starts_with("chttp_")
}

/// Whether the source has a function of that name with `#[test]` above it.
fn is_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    source.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(&head)).any(|(at, _)| {
        let above = source.lines().take(at).collect::<Vec<_>>();
        above.iter().rev().take_while(|line| line.trim_start().starts_with("#[")).any(|line| line.trim() == "#[test]")
    })
}

/// The rules of the document, each on one line.
fn rules() -> Vec<String> {
    let contract = read("docs/contract.md");
    let parts = contract.split("\n- **").skip(1).map(|part| part.split("\n\n").next().unwrap_or(part));
    parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn number(rule: &str) -> &str {
    rule.split("**").next().unwrap_or(rule)
}

/// The words in backquotes that name a test.
fn tests(rule: &str) -> Vec<&str> {
    let words = rule.split('`').skip(1).step_by(2);
    words.filter(|word| word.starts_with("c_tests/") || word.contains("::")).collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
