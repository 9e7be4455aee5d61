//! The library as it is delivered: the header is fresh and compiles everywhere, and the exports are the ones that were
//! agreed on.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
#[allow(dead_code)] // Shared with other test binaries.
mod support;

use programs::{Server, run_with};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use support::{built, compiler, root, succeed};

#[test]
fn header_is_fresh() {
    let mut generator = Command::new(env!("CARGO"));
    generator.args([
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--manifest-path",
        "tools/header/Cargo.toml",
        "--",
        ".",
    ]);
    let fresh = succeed(generator.current_dir(root()).env("CARGO_TARGET_DIR", "build/tools"));
    assert!(fresh == header(), "include/chttpcore.h is not what the sources say; run `make header`");
}

#[test]
fn header_compiles_in_every_standard() {
    let scratch = built().join("obj");
    for (standard, source) in [("c99", "c"), ("c11", "c"), ("c2x", "c"), ("c++11", "cpp"), ("c++20", "cpp")] {
        // Twice, because that is what the guard is for.
        let file = scratch.join(format!("header-{standard}.{source}"));
        fs::write(&file, "#include <chttpcore.h>\n#include <chttpcore.h>\n").expect("build/obj can be written");
        let mut command = compiler(source == "cpp");
        command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]);
        succeed(command.arg("-Ibuild/include").arg(file));
    }
}

#[test]
fn header_defines_only_names_of_ours() {
    let header = header();
    for line in header.lines() {
        if let Some(name) = line.strip_prefix("#define ") {
            assert!(name.starts_with("CHTTP_") || name == "CHTTPCORE_H", "{line}");
        } else if let Some(tail) = line.strip_prefix("typedef struct ").or_else(|| line.strip_prefix("} ")) {
            assert!(tail.starts_with("chttp_") || tail.contains("extern \"C\""), "{line}");
        }
    }
}

/// An export that goes, or comes unseen, is a break of the ABI. `BLESS=1 cargo test --test abi` accepts the list.
#[test]
fn exports_are_the_golden_ones() {
    let golden = root().join("tests/abi/symbols.golden");
    let exports: String = exports().iter().map(|name| format!("{name}\n")).collect();
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(root().join("tests/abi")).and_then(|()| fs::write(&golden, &exports)).expect("writable");
    }
    let agreed = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(exports, agreed, "the exports changed; `BLESS=1 cargo test --test abi` accepts them");
}

#[test]
fn every_export_has_the_prefix_the_version_and_a_declaration() {
    let header = header();
    for export in exports() {
        let name = export.strip_suffix("@@CHTTPCORE_0").unwrap_or_else(|| panic!("{export} has no version"));
        let rest = name.strip_prefix("chttp_").unwrap_or_else(|| panic!("{export} has another prefix"));
        assert!(rest.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')), "{export}");
        assert!(header.contains(&format!("{name}(")), "{name} is exported and not in the header");
    }
}

#[test]
fn shared_library_has_its_name_and_stays_loaded() {
    let dynamic =
        succeed(Command::new("readelf").args(["--dynamic", "--wide"]).arg(built().join("lib/libchttpcore.so")));
    for fact in ["[libchttpcore.so.0]", "NODELETE", "BIND_NOW"] {
        assert!(dynamic.contains(fact), "{fact} is missing:\n{dynamic}");
    }
}

#[test]
fn static_library_shows_only_the_interface() {
    let archive = built().join("lib/libchttpcore.a");
    let symbols = succeed(Command::new("nm").args(["--defined-only", "--extern-only"]).arg(archive));
    let shown: BTreeSet<&str> = symbols.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let exports = exports();
    assert_eq!(shown, exports.iter().map(|name| name.split('@').next().unwrap_or("")).collect());
}

/// tests/abi/first has the first header, and a program of that time. It is linked with a library that has the functions of then
/// and nothing more, as it was, and runs with today's.
#[test]
fn a_program_of_the_first_header_runs() {
    let (source, place) = (root().join("tests/abi/first"), built().join("first"));
    fs::create_dir_all(&place).expect("build can be written");
    let first = fs::read_to_string(source.join("chttpcore.h")).expect("the first header");
    let functions: Vec<&str> = functions(&first).collect();
    assert!(functions.len() > 40, "{} functions", functions.len());
    let stub: String = functions.iter().map(|name| format!("void {name}(void);\nvoid {name}(void) {{}}\n")).collect();
    fs::write(place.join("stub.c"), stub).expect("build can be written");
    let mut link = compiler(false);
    link.args(["-shared", "-Wl,-soname,libchttpcore.so.0"])
        .arg(format!("-Wl,--version-script={}", root().join("libchttpcore.map").display()));
    succeed(link.arg(place.join("stub.c")).arg("-o").arg(place.join("libchttpcore.so")));
    let program = place.join("program");
    let mut compile = compiler(false);
    compile.args(["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]).arg(source.join("program.c"));
    succeed(compile.arg("-L").arg(&place).arg("-lchttpcore").arg("-o").arg(&program));

    let symbols = succeed(Command::new("nm").args(["--dynamic", "--undefined-only"]).arg(&program));
    let used: Vec<&str> = symbols.split_whitespace().filter(|word| word.starts_with("chttp_")).collect();
    assert!(used.len() > 20 && used.iter().all(|name| name.ends_with("@CHTTPCORE_0")), "{symbols}");

    let server = Server::start("abi_first");
    let libraries = built().join("lib");
    let variables = [("LD_LIBRARY_PATH", libraries.to_str().expect("UTF-8")), ("LD_BIND_NOW", "1")];
    let (ok, text) = run_with(&variables, &program, &[&server.url("/")], Stdio::null());
    assert!(ok && text == "as ever\n", "{text}");
}

/// What was promised once holds: every constant has the value that it had, and every function the arguments.
#[test]
fn the_first_header_is_a_part_of_today_s() {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let today = plain(&header());
    let first = fs::read_to_string(root().join("tests/abi/first/chttpcore.h")).expect("the first header");
    let header = header();
    let constants = first.lines().filter(|line| line.starts_with("#define "));
    for constant in constants.filter(|line| !line.starts_with("#define CHTTP_VERSION ")) {
        assert!(header.lines().any(|line| line == constant), "{constant}");
    }
    for declaration in first.split(";\n").filter(|text| text.contains('(')) {
        let declaration = plain(declaration.rsplit("\n\n").next().unwrap_or(declaration));
        // What gave nothing back may give a code: who does not look at it sees no difference.
        let widened = declaration.strip_prefix("void ").map(|rest| format!("int32_t {rest};"));
        let kept = today.contains(&format!("{declaration};")) || widened.is_some_and(|form| today.contains(&form));
        assert!(kept, "{declaration}");
    }
}

/// The functions that a header declares, which begin at the margin.
fn functions(header: &str) -> impl Iterator<Item = &str> {
    let lines = header.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let heads = lines.filter_map(|line| line.split_once('(')).map(|(head, _)| head);
    heads.map(|head| head.rsplit([' ', '*']).next().unwrap_or(head)).filter(|name| name.starts_with("chttp_"))
}

fn header() -> String {
    fs::read_to_string(root().join("include/chttpcore.h")).expect("include/chttpcore.h is there")
}

/// What the dynamic symbol table defines, without the version's own name, sorted.
fn exports() -> BTreeSet<String> {
    let library = built().join("lib/libchttpcore.so");
    let symbols = succeed(Command::new("nm").args(["--dynamic", "--defined-only"]).arg(library));
    let named = symbols.lines().filter_map(|line| line.split_once(' ')?.1.split_once(' '));
    named.filter(|(kind, _)| *kind != "A").map(|(_, name)| name.to_owned()).collect()
}
