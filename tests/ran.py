"""Whether every test that docs/contract.md names was run and passed: `ran.py OUTPUT`, where OUTPUT is what `cargo test`
printed, errors included. Each line of a failure names a rule and a test.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# `Running tests/abi.rs (target/...)`, and `Running unittests src/lib.rs (target/...)`.
BINARY = re.compile(r"^\s*Running (?:unittests )?(\S+\.rs) \(")
PASSED = re.compile(r"^test (.+) \.\.\. ok$")
C_TEST = re.compile(r"^(c_tests/\S+) \((\w+)\)$")
# The ctypes tests are one test of Rust's, which looks at each of them itself.
CTYPES = "tests/python_abi.rs::the_interface_needs_no_compiler"


def passed(output: str) -> set[str]:
    """Names of the tests that passed, as the contract writes them."""
    names, binary = set[str](), ""
    for line in output.splitlines():
        if begins := BINARY.match(line):
            binary = begins[1]
        elif test := PASSED.match(line):
            if c_test := C_TEST.match(test[1]):
                names.add(c_test[1])
            elif binary == "src/lib.rs":
                # `queue::tests::name` stands in src/queue.rs or src/queue/mod.rs.
                *module, name = test[1].split("::")
                place = "/".join(part for part in module if part != "tests")
                names |= {f"src/{place}.rs::{name}", f"src/{place}/mod.rs::{name}"}
            else:
                names.add(f"{binary}::{test[1].rsplit('::', 1)[-1]}")
    return names


def named(contract: str) -> list[tuple[str, str]]:
    """Rule and test, for each test that is named."""
    pairs = []
    for rule in contract.split("\n- **")[1:]:
        number, text = rule.split("**", 1)
        words = re.findall(r"`([^`\s]+)`", text.split("\n\n")[0])
        pairs += [(number, word) for word in words if word.startswith("c_tests/") or "::" in word]
    return pairs


def main() -> int:
    output = Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace")
    ran = passed(output)
    tests = named((ROOT / "docs/contract.md").read_text(encoding="utf-8"))
    missing = [
        (rule, test)
        for rule, test in tests
        if (CTYPES if test.startswith("tests/ctypes/") else test) not in ran
    ]
    for rule, test in missing:
        print(f"contract {rule}: {test} did not run, or did not pass", file=sys.stderr)
    return 1 if missing or len(tests) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
