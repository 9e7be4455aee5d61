"""The package's build backend (PEP 517, PEP 660): a wheel is the Python files and the library beside them.

In a checkout the library is built by `make`, which needs the Rust toolchain; a source distribution brings it along.
`CHTTPCORE_LIBRARY` names one that is to be taken instead. No compiler sees Python's headers, so one wheel serves every
Python from 3.9 on.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Union

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PACKAGE = "c_http_core"
LIBRARY = "libchttpcore.so.0"  # No name that Python would take for an extension module's.
Settings = Union[dict[str, Any], None]


def project() -> dict[str, Any]:
    with (HERE / "pyproject.toml").open("rb") as file:
        fields: dict[str, Any] = tomllib.load(file)["project"]
        return fields


def library() -> Path:
    """The library that goes into the package, made if need be."""
    chosen = os.environ.get("CHTTPCORE_LIBRARY")
    if chosen:
        return Path(chosen)
    if (CHECKOUT / "Cargo.toml").exists() and (CHECKOUT / "Makefile").exists():
        # What it prints must not get into what a frontend reads.
        made = Path("build", "lib", "libchttpcore.so")
        subprocess.run(["make", made], cwd=CHECKOUT, check=True, stdout=sys.stderr)
        return CHECKOUT / made
    packaged = HERE / PACKAGE / LIBRARY
    if not packaged.exists():
        raise FileNotFoundError(f"there is no {packaged}, and no checkout around it to build it from")
    return packaged


def platform_tag(binary: bytes) -> str:
    """PEP 600: the library needs glibc alone, of the newest version that any of its symbols is bound to."""
    minor = max((int(number) for number in re.findall(rb"GLIBC_2\.(\d+)", binary)), default=0)
    machine = sysconfig.get_platform().split("-", 1)[1].replace("-", "_").replace(".", "_")
    return f"manylinux_2_{minor}_{machine}" if minor else f"linux_{machine}"


def metadata() -> bytes:
    fields = project()
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {fields['name']}",
        f"Version: {fields['version']}",
        f"Summary: {fields['description']}",
        f"Keywords: {','.join(fields['keywords'])}",
        *(f"Classifier: {classifier}" for classifier in fields["classifiers"]),
        f"License-Expression: {fields['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {fields['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in fields["dependencies"]),
        "Description-Content-Type: text/markdown",
        "",
        (HERE / fields["readme"]).read_text(),
    ]
    return "\n".join(lines).encode()


def license_text() -> bytes:
    """That of the whole project, which a source distribution has beside this file."""
    own = HERE / "LICENSE"
    return (own if own.exists() else CHECKOUT / "LICENSE").read_bytes()


def sources() -> dict[str, bytes]:
    """The package's Python files."""
    found = (path for path in sorted((HERE / PACKAGE).rglob("*")) if path.suffix in (".py", ".pyi", ".typed"))
    return {str(path.relative_to(HERE)): path.read_bytes() for path in [*found, HERE / PACKAGE / "py.typed"]}


def write_wheel(directory: str, files: dict[str, bytes], tag: str) -> str:
    name = f"{PACKAGE}-{project()['version']}"
    info = f"{name}.dist-info"
    files[f"{info}/METADATA"] = metadata()
    files[f"{info}/licenses/LICENSE"] = license_text()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: {PACKAGE}\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    record = ""
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = f"{name}-{tag}.whl"
    with zipfile.ZipFile(Path(directory) / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            # The same files make the same wheel, whenever it is made.
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if path.endswith(LIBRARY) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return wheel


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    binary = library().read_bytes()
    files = {**sources(), f"{PACKAGE}/{LIBRARY}": binary}
    return write_wheel(wheel_directory, files, f"py3-none-{platform_tag(binary)}")


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """The package is used where it stands, with a copy of the library."""
    made, place = library(), HERE / PACKAGE / LIBRARY
    if made != place:
        shutil.copyfile(made, place)
    files = {f"{PACKAGE}.pth": f"{HERE}\n".encode()}
    return write_wheel(wheel_directory, files, f"py3-none-{platform_tag(place.read_bytes())}")


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """The package with the library of this machine's kind: the library's own sources are another project."""
    name = f"{PACKAGE}-{project()['version']}"
    files = {**sources(), f"{PACKAGE}/{LIBRARY}": library().read_bytes(), "PKG-INFO": metadata()}
    for path in ("pyproject.toml", "README.md", "build_backend.py"):
        files[path] = (HERE / path).read_bytes()
    files["LICENSE"] = license_text()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    (Path(sdist_directory) / f"{name}.tar.gz").write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return f"{name}.tar.gz"
