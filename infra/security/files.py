"""Write secrets so that nobody else can read them."""

import os
import secrets
from pathlib import Path

PASSWORD_BYTES = 32


def private_folder(path: Path) -> Path:
    """Return the folder, made where absent, that its owner alone may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place at once that its owner alone may read, never readable by others on the way."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    os.replace(fresh, path)


def kept_password(path: Path) -> str:
    """Return the password in the file, which is made with a random one where absent."""
    if not path.exists():
        write_private(path, f"{secrets.token_urlsafe(PASSWORD_BYTES)}\n".encode())
    return path.read_text().strip()
