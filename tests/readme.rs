//! The README keeps its word: its quick start compiles and runs, its commands exist, and its links lead somewhere.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{Server, compile, run};
use std::fs;
use std::process::Stdio;
use support::{built, root};

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/c-guide.md",
    "docs/contract.md",
    "docs/errors.md",
    "docs/limits.md",
    "docs/options.md",
    "docs/python-guide.md",
];

#[test]
fn quick_start_runs() {
    let blocks = c_blocks("README.md");
    let program = blocks.iter().find(|b| b.contains("int main")).expect("README.md has a C program");
    assert!(program.lines().count() <= 15, "a quick start is short");
    const ADDRESS: &str = "\"https://example.com/\"";
    assert!(program.contains(ADDRESS), "the address that the test replaces");
    let server = Server::start("quick_start");
    for (path, printed) in [("/", "status 200\n"), ("/reset", "failed: CHTTP_E_")] {
        let source = built().join("examples/quick_start.c");
        let text = program.replace(ADDRESS, &format!("\"{}\"", server.url(path)));
        fs::write(&source, text).expect("build can be written");
        let (ok, text) = run(compile(&[&source], "examples/quick_start"), &[], Stdio::null());
        assert!(ok && text.starts_with(printed), "{path}: {text}");
    }
}

/// A piece of C in the guide is part of a function; what it needs is declared around it.
#[test]
fn pieces_of_c_in_the_guide_compile() {
    let blocks = c_blocks("docs/c-guide.md");
    assert!(!blocks.is_empty());
    let mut text =
        String::from("#include <chttpcore.h>\n#include <poll.h>\n#include <stdio.h>\n#include <sys/epoll.h>\n");
    text += "void handle(const chttp_event *event);\nint more_input(char *buffer, size_t size);\n";
    text += "void app_retry(uint64_t token);\nvoid app_failed(uint64_t token, int32_t code);\n";
    for (i, block) in blocks.iter().enumerate() {
        text += &format!("void piece_{i}(chttp_engine *engine, chttp_queue *queue, chttp_xid xid, int epoll_fd);\n");
        text += &format!("void piece_{i}(chttp_engine *engine, chttp_queue *queue, chttp_xid xid, int epoll_fd)\n{{\n");
        text += &format!("(void)engine; (void)queue; (void)xid; (void)epoll_fd;\n{block}}}\n");
    }
    text += "int main(void) { return 0; }\n";
    let source = built().join("examples/guide.c");
    fs::create_dir_all(source.parent().expect("in a directory")).expect("build can be written");
    // Compiled to an object only: the application's functions do not exist.
    fs::write(&source, text).expect("build can be written");
    let mut command = support::compiler(false);
    command.args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-Ibuild/include"]);
    support::succeed(command.arg(&source));
}

#[test]
fn make_has_the_verbs_that_are_named() {
    let makefile = read("Makefile");
    for document in DOCUMENTS {
        let text = read(document);
        for rest in text.split("`make ").skip(1) {
            let verb: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            assert!(makefile.contains(&format!("\n{verb}:")), "{document}: `make {verb}` does not exist");
        }
    }
    let readme = read("README.md");
    for line in makefile.lines().filter(|line| line.contains(": ## ") && !line.starts_with("help:")) {
        let verb = line.split(':').next().unwrap_or(line);
        assert!(readme.contains(&format!("| `make {verb}` |")), "README.md does not list `make {verb}`");
    }
}

#[test]
fn links_lead_to_files() {
    for document in DOCUMENTS {
        let text = read(document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.contains("://") && !t.starts_with('#')) {
            let file = target.split('#').next().unwrap_or(target);
            let place = root().join(document);
            let place = place.parent().expect("a file is in a directory").join(file);
            assert!(place.exists(), "{document}: {target} is not there");
        }
    }
}

/// Names of the interface that the documents use exist in the header.
#[test]
fn names_of_the_interface_exist() {
    let header = read("include/chttpcore.h");
    for document in DOCUMENTS {
        let text = read(document);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|w| w.starts_with("chttp_") || w.starts_with("CHTTP_")) {
            // `CHTTP_E_` and the like stand for a family; variables of the environment are no part of the interface.
            let known = word.ends_with('_') || word.starts_with("CHTTP_DEMO_") || word.starts_with("CHTTP_BENCH_");
            let named = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|h| h == word);
            assert!(known || named, "{document}: {word} is not in the header");
        }
    }
}

/// docs/limits.md has every option but the drive, with the default that the library itself names. A text has none, and is
/// named together with its other forms; so have objects and functions.
#[test]
fn limits_are_those_of_the_library() {
    const LIST: &str = "#include <chttpcore.h>\n#include <stdio.h>\nint main(void) { chttp_option o; \
        for (uint32_t i = 0; chttp_option_describe(i, &o, sizeof o) == 0; i++) \
        printf(\"%s %s%lld\\n\", o.name, o.kind == CHTTP_OPTION_INT64 ? \"\" : o.max > 0 ? \"text\" : \"handle\", \
        (long long)o.default_value); \
        return 0; }\n";
    let source = built().join("examples/options.c");
    fs::create_dir_all(source.parent().expect("in a directory")).expect("build can be written");
    fs::write(&source, LIST).expect("build can be written");
    let (ok, options) = run(compile(&[&source], "examples/options"), &[], Stdio::null());
    assert!(ok, "{options}");

    let text = read("docs/limits.md");
    for (name, value) in options.lines().filter_map(|line| line.split_once(' ')).filter(|o| o.0 != "io_threads") {
        let constant = format!("`CHTTP_OPT_{}`", name.to_uppercase());
        if value == "text0" {
            let row = text.lines().find(|line| line.starts_with("| `CHTTP_OPT_") && line.contains(&constant));
            assert!(row.is_some_and(|row| row.contains(" | empty | ")), "{name} is missing, or is not empty");
            continue;
        }
        if value == "handle0" {
            assert!(text.contains(&format!("| {constant} | none | ")), "{name} is missing, or is not none");
            continue;
        }
        let row = format!("| {constant} | ");
        let row = text.lines().find_map(|line| line.strip_prefix(&row)).unwrap_or_else(|| panic!("{name} is missing"));
        let documented = row.split(" |").next().unwrap_or(row);
        assert_eq!(meaning(documented), value.parse::<i64>().expect("a number"), "{name}");
    }
}

/// docs/options.md and docs/errors.md are what the library's tables say.
#[test]
fn generated_pages_are_fresh() {
    let tables = compile(&[&root().join("tools/docs/tables.c")], "examples/tables");
    for table in ["options", "errors"] {
        let (ok, fresh) = run(&tables, &[table], Stdio::null());
        assert!(ok, "{fresh}");
        let page = format!("docs/{table}.md");
        assert!(fresh == read(&page), "{page} is not what the library says; run `make docs`");
    }
}

/// "300 KiB" as 307,200; "60 s" as nanoseconds; "none" as -1.
fn meaning(text: &str) -> i64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number = number.replace(',', "");
    let scale = match unit {
        "" => 1,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => panic!("unknown unit in \"{text}\""),
    };
    match number.as_str() {
        "none" => -1,
        "off" => 0,
        "on" => 1,
        number => number.parse::<i64>().unwrap_or_else(|_| panic!("no number: \"{text}\"")) * scale,
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The blocks of C in a document.
fn c_blocks(file: &str) -> Vec<String> {
    read(file).split("```c\n").skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_owned())).collect()
}
