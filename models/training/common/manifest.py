"""What a model was made from, so that it can be made again: packages, hashes, seeds, commands, tool versions."""
import hashlib
import importlib.metadata
import platform
import subprocess


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def debian_version(package: str) -> str:
    """The installed version, or "unknown" where dpkg is not there or does not know the package."""
    try:
        return subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def tools(*names: str) -> dict:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}
