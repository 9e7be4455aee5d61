//! The C interface from Python's ctypes, which is `tests/ctypes`, here so that `cargo test` counts it.

#[allow(dead_code, reason = "the compiler is for others")]
mod support;

use std::fs;
use std::process::Command;
use support::{built, root, succeed};

#[test]
fn the_interface_needs_no_compiler() {
    let library = built().join("lib/libchttpcore.so");
    // One of them is about gunicorn.
    succeed(Command::new("tests/python.sh").arg("venv").current_dir(root()));
    let mut python = Command::new(built().join("venv/bin/python"));
    python.args(["-m", "unittest", "discover", "--start-directory", "tests/ctypes"]).current_dir(root());
    python.env("CHTTPCORE_LIBRARY", library).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = python.output().expect("it was made above");
    let report = String::from_utf8_lossy(&output.stderr);
    // All of them ran: none was skipped, and none was overlooked.
    let count: usize = ["test_ctypes.py", "test_ctypes_fork.py"]
        .iter()
        .map(|file| fs::read_to_string(root().join("tests/ctypes").join(file)).expect("it is there"))
        .map(|source| source.matches("\n    def test_").count())
        .sum();
    assert!(output.status.success() && count > 5, "{report}");
    assert!(report.contains(&format!("Ran {count} tests")) && report.trim_end().ends_with("OK"), "{report}");
}
