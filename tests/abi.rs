//! The library as it is delivered: the header is fresh and compiles everywhere, the exports are the ones that were
//! agreed on, and an installed tree serves pkg-config.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use support::{built, compiler, make, root, succeed};

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

#[test]
fn installed_tree_serves_pkg_config() {
    let stage = built().join("stage");
    drop(fs::remove_dir_all(&stage));
    succeed(make().args(["install", "PREFIX=/opt/chttp"]).arg(format!("DESTDIR={}", stage.display())));

    let mut flags = Command::new("pkg-config");
    flags.args(["--cflags", "--libs", "chttpcore"]).env("PKG_CONFIG_SYSROOT_DIR", &stage);
    flags.env("PKG_CONFIG_LIBDIR", stage.join("opt/chttp/lib/pkgconfig"));
    let flags = succeed(&mut flags);

    let name = exports().first().expect("there are exports").split('@').next().unwrap_or("").to_owned();
    let source = stage.join("use.c");
    let program = stage.join("use");
    let text = format!("#include <chttpcore.h>\nint main(void) {{ return (void (*)(void)){name} == 0; }}\n");
    fs::write(&source, text).expect("build/stage can be written");
    succeed(compiler(false).arg(&source).args(flags.split_whitespace()).arg("-o").arg(&program));
    succeed(Command::new(program).env("LD_LIBRARY_PATH", stage.join("opt/chttp/lib")));
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
