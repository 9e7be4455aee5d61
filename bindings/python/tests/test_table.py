"""The generated modules against the header and the library."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import c_http_core
from c_http_core import _codes, _table, errors
from c_http_core._ffi import backend, lib, text_at
from c_http_core._records import layout
from conftest import ROOT

HEADER = ROOT / "include" / "chttpcore.h"
PACKAGE = Path(c_http_core.__file__).parent


def test_generated_from_this_header() -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "tools" / "python" / "table.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    modules = generator.modules(HEADER)
    assert modules.keys() == {"_table.py", "_codes.py"}
    for name, text in modules.items():
        assert (PACKAGE / name).read_text() == text, "`make header` brings them together"


def test_nothing_of_the_header_is_missing() -> None:
    text = HEADER.read_text()
    symbols = re.findall(r"\bchttp_\w+", (ROOT / "tests" / "abi" / "symbols.golden").read_text())
    assert {f"chttp_{name}" for name in _table.FUNCTIONS} == set(symbols)
    defined = set(re.findall(r"^#define CHTTP_(\w+) -?\d", text, flags=re.M))
    assert defined == {name for name in vars(_table) if name.isupper()} - {"STRUCTS", "FUNCTIONS"}
    assert set(re.findall(r"^typedef struct chttp_(\w+) \{", text, flags=re.M)) == set(_table.STRUCTS)


def test_layouts() -> None:
    for name in ("event", "field", "request", "timing", "stats", "option", "tls_info"):
        assert lib.struct_size(getattr(_table, f"STRUCT_{name.upper()}")) == layout(name).size


def test_an_exception_for_each_code() -> None:
    codes: list[int] = []
    while code := lib.error_at(len(codes)):
        codes.append(code)
    assert set(codes) == set(_codes.BY_CODE)
    bases = {
        "argument": errors.ArgumentError,
        "state": errors.StateError,
        "resolve": errors.ResolveError,
        "connect": errors.ConnectError,
        "tls": errors.TLSError,
        "protocol": errors.ProtocolError,
        "timeout": errors.TimeoutException,
        "closed": errors.NetworkError,
        "resource": errors.ResourceError,
    }
    for code, exception in _codes.BY_CODE.items():
        assert (exception.code, exception.name) == (code, text_at(lib.error_name(code)).decode())
        assert issubclass(exception, bases[text_at(lib.error_category(code)).decode()])
        assert getattr(errors, exception.__name__) is exception


def test_version() -> None:
    assert f'version = "{c_http_core.__version__}"' in (ROOT / "Cargo.toml").read_text()
    assert f'version = "{c_http_core.__version__}"' in (ROOT / "bindings" / "python" / "pyproject.toml").read_text()


def test_back_end() -> None:
    wanted = os.environ.get("C_HTTP_CORE_FFI")
    assert backend.name == (wanted or "cffi")
