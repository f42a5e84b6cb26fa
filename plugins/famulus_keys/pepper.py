"""The server's secret that keys are hashed with: a stolen database alone proves no key."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from famulus.failpoints import failpoint
from famulus.mistakes import ConfigError

FILE = "pepper"
_BYTES = 32
_LENGTH_MIN = 16


def pepper_from(text: str) -> bytes:
    """The pepper that a setting gives. Raises ConfigError where it is too short to be one."""
    if len(text) < _LENGTH_MIN:
        raise ConfigError(f"the pepper of keys must have at least {_LENGTH_MIN} characters")
    return text.encode()


def load_pepper(path: Path) -> bytes:
    """The pepper in a file, which is made where there is none. Raises ConfigError."""
    if not path.exists():
        _make(path)
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{path} can be read by others than its owner; chmod 600 it")
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) != 2 * _BYTES:
        raise ConfigError(
            f"{path} does not hold a pepper; restore it from a backup. Without it the stored keys "
            "are of no use: remove the file to have a new one made, and make new keys"
        )
    return text.encode()


def digest(pepper: bytes, token: bytes) -> bytes:
    """What is kept of a key, and what it is found by."""
    return hmac.digest(pepper, token, "sha256")


def _make(path: Path) -> None:
    """Write a new pepper whole, or leave the one that another process has just written."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        failpoint("pepper_written")
        with contextlib.suppress(FileExistsError):
            # Unlike a rename, a link does not replace what is there.
            os.link(draft, path)
        draft.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
