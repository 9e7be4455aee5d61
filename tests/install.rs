//! What `make install` leaves behind serves strangers: programs in C and C++ that know nothing but the installed tree are
//! built through pkg-config and CMake, shared and static, and fetch something.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{Server, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use support::{built, compiler, make, root, succeed};

#[test]
fn the_tree_is_complete() {
    let tree = tree();
    let version = env!("CARGO_PKG_VERSION");
    for file in [
        "include/chttpcore.h",
        "include/chttpcore.hpp",
        "include/chttpcore_mock.hpp",
        "lib/libchttpcore.a",
        &format!("lib/libchttpcore.so.{version}"),
        "lib/pkgconfig/chttpcore.pc",
        "lib/cmake/chttpcore/chttpcore-config.cmake",
        "lib/cmake/chttpcore/chttpcore-config-version.cmake",
        "share/man/man3/chttpcore.3",
    ] {
        let path = tree.join(file);
        let text = fs::read(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        let text = String::from_utf8_lossy(&text);
        // The placeholders of the templates are filled in.
        assert!(path.extension().is_some_and(|e| e == "a") || !text.contains("@VERSION@"), "{file}");
    }
    for (link, target) in
        [("libchttpcore.so", "libchttpcore.so.0"), ("libchttpcore.so.0", &format!("libchttpcore.so.{version}"))]
    {
        let found = fs::read_link(tree.join("lib").join(link)).expect("a symbolic link");
        assert_eq!(found, Path::new(target), "{link}");
    }
}

#[test]
fn pkg_config_serves_shared_and_static_programs() {
    let tree = tree();
    let [shared, all] = [&["--cflags", "--libs"][..], &["--cflags", "--libs", "--static"]].map(|arguments| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("chttpcore").env("PKG_CONFIG_SYSROOT_DIR", stage());
        succeed(command.env("PKG_CONFIG_LIBDIR", tree.join("lib/pkgconfig")))
    });
    let rpath = format!("-Wl,-rpath,{}", tree.join("lib").display());
    fetches(
        "pkg_config",
        &[
            ("shared", consumer(false, "shared", &shared, &[&rpath])),
            ("cpp", consumer(true, "cpp", &shared, &[&rpath])),
            // Without any shared library, and with those of the system.
            ("static", consumer(false, "static", &all, &["-static"])),
            ("half", consumer(false, "half", &all.replace("-lchttpcore", "-l:libchttpcore.a"), &[])),
        ],
    );
}

#[test]
fn cmake_serves_shared_and_static_programs() {
    fetches("cmake", &cmake_programs(&prefix(), "cmake"));
}

/// The package asks no more than that its files lie as `make install` laid them, wherever that is.
#[test]
fn the_cmake_package_may_be_moved_and_have_another_layout() {
    let stage = built().join("stage-layout");
    drop(fs::remove_dir_all(&stage));
    let mut install = make();
    install.args(["install", "PREFIX=/opt/chttp", "LIBDIR=/opt/chttp/lib/some-linux-gnu"]);
    install.arg("INCLUDEDIR=/opt/chttp/include/http");
    succeed(install.arg(format!("DESTDIR={}", stage.display())));
    let moved = stage.join("moved");
    fs::rename(stage.join("opt/chttp"), &moved).expect("build can be written");
    let package = moved.join("lib/some-linux-gnu/cmake/chttpcore");
    fetches("layout", &cmake_programs(&format!("-Dchttpcore_DIR={}", package.display()), "cmake-layout"));
}

/// Before 1.0 the minor version counts.
#[test]
fn cmake_gets_the_version_that_it_asks_for_or_none() {
    for (wanted, found) in
        [("0.1", true), ("0.1.0", true), ("0.0.9", false), ("0.1.999", false), ("0.2", false), ("1", false)]
    {
        let output = configure(&prefix(), &format!("cmake-{wanted}"), wanted).output().expect("cmake (tests/deps.sh)");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), found, "{wanted}: {errors}");
        assert!(found || errors.contains("version"), "{wanted}: {errors}");
    }
}

#[test]
fn the_library_survives_being_loaded_and_unloaded() {
    let server = Server::start("install_reload");
    let reload = compiled(false, "reload.c", "reload", "-Ibuild/include", &["-ldl"]);
    let library = tree().join("lib/libchttpcore.so.0");
    let (ok, text) = run(reload, &[library.to_str().expect("UTF-8"), &server.url("/")], Stdio::null());
    assert!(ok && text.ends_with("rounds\n"), "{text}");
}

#[test]
fn the_manual_page_is_well_formed_and_of_this_version() {
    let page = tree().join("share/man/man3/chttpcore.3");
    let mut man = Command::new("man");
    man.args(["--warnings", "--encoding=UTF-8", "--troff-device=utf8", "--ditroff", "--local-file"]).arg(&page);
    let output = man.output().expect("man is installed (tests/deps.sh)");
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warnings.is_empty(), "{warnings}");
    let title = format!("\"libchttpcore {}\"", env!("CARGO_PKG_VERSION"));
    assert!(manual().lines().next().is_some_and(|line| line.contains(&title)), "its title does not say {title}");
}

#[test]
fn the_manual_page_has_a_program_that_runs_and_names_that_exist() {
    let page = manual();
    let program =
        page.split(".EX\n").filter_map(|rest| rest.split(".EE").next()).find(|text| text.contains("int main"));
    let program = program.expect("an example").replace("\\e", "\\").replace("\\-", "-");
    let source = built().join("install/manual.c");
    fs::create_dir_all(source.parent().expect("in a directory")).expect("build can be written");
    fs::write(&source, program).expect("build can be written");
    fetches("manual", &[("example", programs::compile(&[&source], "install/manual"))]);

    let header = fs::read_to_string(root().join("include/chttpcore.h")).expect("the header");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known: Vec<&str> = header.split(|c| !is_word(c)).collect();
    let named = page.split(|c| !is_word(c)).filter(|word| word.starts_with("chttp_") || word.starts_with("CHTTP_"));
    for word in named.filter(|word| !word.ends_with('_')) {
        assert!(known.contains(&word), "{word} is not in the header");
    }
    let exports = fs::read_to_string(root().join("tests/abi/symbols.golden")).expect("the exports");
    for function in exports.lines().filter_map(|line| line.split('@').next()) {
        assert!(page.contains(&format!("chttp_{} ()", &function[6..])), "{function} is not in the manual page");
    }
    // The synopsis says what the header says, but for white space, fonts and `struct`.
    let plain = |text: &str| text.replace("struct ", "").split_whitespace().collect::<String>();
    let header = plain(&header);
    let synopsis = page.split(".SH SYNOPSIS").nth(1).and_then(|rest| rest.split(".fi").next()).expect("a synopsis");
    let text = synopsis.lines().filter_map(|line| line.strip_prefix(".BI "));
    let text = plain(&text.flat_map(str::chars).filter(|c| *c != '"').collect::<String>());
    for declaration in text.split_inclusive(';') {
        assert!(header.contains(declaration), "{declaration} is not in the header");
    }
}

fn manual() -> String {
    fs::read_to_string(root().join("docs/chttpcore.3")).expect("docs/chttpcore.3")
}

/// Each of the programs gets its answer.
fn fetches(name: &str, programs: &[(&str, PathBuf)]) {
    let server = Server::start(&format!("install_{name}"));
    for (form, program) in programs {
        let (ok, text) = run(program, &[&server.url("/")], Stdio::null());
        assert!(ok && text == "status 200\n", "{form}: {text}");
    }
}

fn consumer(cpp: bool, name: &str, flags: &str, more: &[&str]) -> PathBuf {
    compiled(cpp, if cpp { "consumer.cpp" } else { "consumer.c" }, name, flags, more)
}

fn compiled(cpp: bool, source: &str, name: &str, flags: &str, more: &[&str]) -> PathBuf {
    let program = built().join("install").join(name);
    fs::create_dir_all(program.parent().expect("in a directory")).expect("build can be written");
    let mut command = compiler(cpp);
    command.args([if cpp { "-std=c++11" } else { "-std=c11" }, "-Wall", "-Wextra", "-pedantic", "-Werror"]);
    command.arg(root().join("tests/install").join(source)).args(flags.split_whitespace()).args(more);
    succeed(command.arg("-o").arg(&program));
    program
}

/// Configures and builds the programs of tests/install; `place` tells CMake where to look.
fn cmake_programs(place: &str, name: &str) -> Vec<(&'static str, PathBuf)> {
    succeed(&mut configure(place, name, "0.1"));
    let build = built().join("install").join(name);
    succeed(Command::new("cmake").arg("--build").arg(&build).env_remove("MAKEFLAGS").env_remove("MAKELEVEL"));
    ["c_shared", "c_static", "cpp_shared", "cpp_static"].map(|program| (program, build.join(program))).to_vec()
}

fn configure(place: &str, name: &str, wanted: &str) -> Command {
    let build = built().join("install").join(name);
    // What an earlier run has found would be believed.
    drop(fs::remove_dir_all(&build));
    let mut command = Command::new("cmake");
    command.arg("-S").arg(root().join("tests/install")).arg("-B").arg(build).arg(format!("-DWANTED={wanted}"));
    command.arg(place).arg("-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF");
    command
}

fn prefix() -> String {
    format!("-DCMAKE_PREFIX_PATH={}", tree().display())
}

fn stage() -> PathBuf {
    built().join("stage")
}

/// The installed tree; it lies elsewhere than its prefix says.
fn tree() -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        drop(fs::remove_dir_all(stage()));
        succeed(make().args(["install", "PREFIX=/opt/chttp"]).arg(format!("DESTDIR={}", stage().display())));
    });
    stage().join("opt/chttp")
}
