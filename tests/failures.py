"""Says once more, in a few lines at the very end, which tests failed and why: `failures.py LOG...`, where each LOG is what
`cargo test` or `pytest` printed. Whoever sees only the end of a long run sees what matters.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Lines of a report: how it begins says what was awaited, how it ends says where it stood.
FIRST, LAST = 4, 12
# `---- name stdout ----` of libtest, `---- name ----` of the C tests.
REPORT = re.compile(r"^---- (.+?)(?: stdout)? ----$")
END = re.compile(r"^(failures:|test result: .*|\s+Running .*)$")
PYTEST = re.compile(r"^(?:FAILED|ERROR) \S.*$")


def failures(log: str) -> list[str]:
    lines, found = log.splitlines(), list[str]()
    for at, line in enumerate(lines):
        if PYTEST.match(line):
            found.append(line)
        elif begins := REPORT.match(line):
            report = []
            for text in lines[at + 1 :]:
                if REPORT.match(text) or END.match(text):
                    break
                report += [text] if text.strip() else []
            cut = len(report) > FIRST + LAST
            found.append(f"FAILED {begins[1]}")
            shown = [*report[:FIRST], "[...]", *report[-LAST:]] if cut else report
            found += [f"    {text[:160]}" for text in shown]
    return found


def main() -> None:
    for log in map(Path, sys.argv[1:]):
        if log.exists():
            for line in failures(log.read_text(encoding="utf-8", errors="replace")):
                print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
