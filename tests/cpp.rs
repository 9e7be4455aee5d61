//! The header for C++: it compiles without a warning in every standard, and what it promises holds, under the
//! sanitizers too.

#[allow(dead_code)] // Shared with other test binaries.
mod programs;
mod support;

use programs::{Server, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{built, compiler, root, succeed};

const STANDARDS: [&str; 4] = ["c++11", "c++14", "c++17", "c++20"];
const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-pedantic", "-Werror"];
const SANITIZE: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

#[test]
fn the_header_compiles_in_every_standard() {
    for standard in STANDARDS {
        // Twice, because that is what the guard is for; and from two sources, which are linked.
        let place = built().join("cpp");
        fs::create_dir_all(&place).expect("build can be written");
        let [one, two] = ["one", "two"].map(|name| place.join(format!("{standard}-{name}.cpp")));
        const TWICE: &str = "#include <chttpcore_mock.hpp>\n#include <chttpcore.hpp>\n#include <chttpcore_mock.hpp>\n";
        fs::write(&one, format!("{TWICE}chttpcore::view other();\nint main() {{ return other().size != 0; }}\n"))
            .and_then(|()| fs::write(&two, format!("{TWICE}chttpcore::view other() {{ return {{nullptr, 0}}; }}\n")))
            .expect("build can be written");
        link(standard, &[], &[&one, &two], &format!("header-{standard}"));
    }
}

/// What main() of these prints, and nothing else.
const VERDICT: &str = "as in C\n";
const SOURCES: [&str; 2] = ["wrapper", "network"];

#[test]
fn handles_failures_and_lambdas_do_what_they_promise() {
    let server = Server::start("cpp");
    for source in SOURCES {
        let path = root().join("tests/cpp").join(source).with_extension("cpp");
        for (standard, extra) in STANDARDS.map(|standard| (standard, &[][..])).into_iter().chain([("c++11", SANITIZE)])
        {
            let name = format!("{source}-{standard}{}", if extra.is_empty() { "" } else { "-asan" });
            let (ok, text) = run(link(standard, extra, &[&path], &name), &[&server.base], Stdio::null());
            assert!(ok && text == VERDICT, "{name}: {text}");
        }
    }
}

#[test]
fn nothing_leaks_and_no_descriptor_is_left() {
    let server = Server::start("cpp_valgrind");
    for source in SOURCES {
        let path = root().join("tests/cpp").join(source).with_extension("cpp");
        let program = link("c++11", &[], &[&path], &format!("{source}-valgrind"));
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]);
        valgrind.arg("--error-exitcode=9");
        assert_eq!(succeed(valgrind.arg(program).arg(&server.base)), VERDICT);
    }
}

#[test]
fn the_example_fetches_many_and_says_why_one_failed() {
    let server = Server::start("cpp_get");
    let program = link("c++11", &[], &[&root().join("examples/cpp_get.cpp")], "cpp_get");
    let [hello, large, cut] = ["/", "/bytes/2000000", "/cut/100/40"].map(|path| server.url(path));
    let (ok, text) = run(&program, &[&hello, &large], Stdio::null());
    assert!(ok && text.contains(&format!("{hello}: 200, 6 bytes\n")), "{text}");
    assert!(text.contains(&format!("{large}: 200, 2000000 bytes\n")) && text.lines().count() == 2, "{text}");
    let (ok, text) = run(&program, &[&cut], Stdio::null());
    assert!(!ok && text.starts_with(&format!("{cut}: CHTTP_E_TRUNCATED_BODY: ")), "{text}");
    let (ok, text) = run(&program, &["no url"], Stdio::null());
    assert!(!ok && text.starts_with("CHTTP_E_INVALID_URL: "), "{text}");
}

fn link(standard: &str, extra: &[&str], sources: &[&Path], name: &str) -> PathBuf {
    let (build, program) = (built(), built().join("cpp").join(name));
    fs::create_dir_all(program.parent().expect("in a directory")).expect("build can be written");
    let library = build.join("lib");
    let mut command = compiler(true);
    command.arg(format!("-std={standard}")).args(WARNINGS).args(extra);
    command.arg("-I").arg(build.join("include")).args(sources).arg("-o").arg(&program);
    command.arg("-L").arg(&library).args(["-lchttpcore", "-pthread"]);
    succeed(command.arg(format!("-Wl,-rpath,{}", library.display())));
    program
}
