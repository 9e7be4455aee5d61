//! The C interface from Python's ctypes, which is `tests/ctypes`, here so that `cargo test` counts it.

#[allow(dead_code, reason = "the compiler is for others")]
mod support;

use std::process::Command;
use support::{built, root, succeed};

#[test]
fn the_interface_needs_no_compiler() {
    let library = built().join("lib/libchttpcore.so");
    let mut python = Command::new("python3");
    python.args(["-m", "unittest", "discover", "--start-directory", "tests/ctypes"]).current_dir(root());
    succeed(python.env("CHTTPCORE_LIBRARY", library).env("PYTHONDONTWRITEBYTECODE", "1"));
}
