//! What the tests of the built library share: they see it as a C program does, as files in `build/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `make build`, once for each test binary; make and cargo know whether there is anything to do. Returns `build`.
pub fn built() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| drop(succeed(make().arg("build"))));
    root().join("build")
}

/// `make` in the root, as if called by hand: a `make test` around us has its own flags and jobs.
pub fn make() -> Command {
    let mut make = Command::new("make");
    make.arg("--silent").current_dir(root()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    make
}

/// The C or C++ compiler as the `cc` crate finds it (`CC`, `CXX`, `CFLAGS` …), without optimization.
pub fn compiler(cpp: bool) -> Command {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = cc::Build::new();
    build.cpp(cpp).target(&target).host(&target).opt_level(0).debug(true).cargo_metadata(false);
    let mut command = build.get_compiler().to_command();
    command.current_dir(root());
    command
}

/// Runs a command that has to succeed and returns what it wrote to standard output.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e} (tests/deps.sh installs the tools)"));
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out
}
