"""Wheel and source distribution: what is in them, and that they can be used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import c_http_core
from c_http_core._ffi import locate
from conftest import ROOT, python

BUILD = "import build_backend, sys; print(getattr(build_backend, sys.argv[1])(sys.argv[2]))"


def build(what: str, source: Path, into: Path) -> Path:
    """Have a source tree built as a frontend would, with the library that is tested; the result lies in `into`."""
    into.mkdir(exist_ok=True)
    library = locate()
    if not os.path.exists(library):
        pytest.skip("the library is the system's")
    environment = dict(os.environ)
    if (source / "pyproject.toml") == ROOT / "bindings" / "python" / "pyproject.toml":
        environment["CHTTPCORE_LIBRARY"] = library
    else:
        environment.pop("CHTTPCORE_LIBRARY", None)
    command = [sys.executable, "-c", BUILD, what, str(into)]
    result = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=True)
    return into / result.stdout.strip()


def unpack(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as opened:
        # Our own files; what the parameter is called depends on the version.
        opened.extraction_filter = staticmethod(lambda member, _: member)
        opened.extractall(into)


def test_from_the_checkout_by_way_of_a_source_distribution(tmp_path: Path) -> None:
    checkout = ROOT / "bindings" / "python"
    direct = build("build_wheel", checkout, tmp_path / "direct")
    source = build("build_sdist", checkout, tmp_path / "sdist")
    unpack(source, tmp_path / "source")
    unpacked = tmp_path / "source" / source.name.removesuffix(".tar.gz")
    indirect = build("build_wheel", unpacked, tmp_path / "indirect")
    assert direct.name == indirect.name
    assert direct.read_bytes() == indirect.read_bytes(), "a wheel depends on its contents alone"

    version = c_http_core.__version__
    assert re.fullmatch(rf"c_http_core-{version}-py3-none-(manylinux_2_\d+|linux)_\w+\.whl", direct.name)
    with zipfile.ZipFile(direct) as wheel:
        names = set(wheel.namelist())
        info = f"c_http_core-{version}.dist-info"
        assert {"c_http_core/libchttpcore.so.0", "c_http_core/py.typed", f"{info}/licenses/LICENSE"} <= names
        assert {f"c_http_core/{path.name}" for path in (checkout / "c_http_core").glob("*.py")} <= names
        recorded = {line.split(",")[0] for line in wheel.read(f"{info}/RECORD").decode().splitlines()}
        assert recorded == names
        wheel.extractall(tmp_path / "installed")
    environment = {name: value for name, value in os.environ.items() if name != "CHTTPCORE_LIBRARY"}
    environment["PYTHONPATH"] = str(tmp_path / "installed")
    result = python("import c_http_core; print(c_http_core.__file__)", env=environment, cwd=tmp_path)
    assert result.stdout == f"{tmp_path}/installed/c_http_core/__init__.py\n", result.stderr


def test_editable(tmp_path: Path) -> None:
    source = build("build_sdist", ROOT / "bindings" / "python", tmp_path / "sdist")
    unpack(source, tmp_path)
    unpacked = tmp_path / source.name.removesuffix(".tar.gz")
    with zipfile.ZipFile(build("build_editable", unpacked, tmp_path / "wheel")) as wheel:
        assert wheel.read("c_http_core.pth").decode() == f"{unpacked}\n"


def test_back_end_that_is_not_there() -> None:
    environment = {**os.environ, "C_HTTP_CORE_FFI": "other"}
    result = python("import c_http_core", env=environment)
    assert result.returncode == 1 and "'cffi' or 'ctypes'" in result.stderr
    environment = {**os.environ, "CHTTPCORE_LIBRARY": "/nowhere/libchttpcore.so"}
    result = python("import c_http_core", env=environment)
    assert result.returncode == 1 and "ImportError" in result.stderr and "/nowhere/" in result.stderr
