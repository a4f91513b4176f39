"""What Ray needs of a machine before it starts: a folder, the machine's own address, and a token nobody else reads.

Where one of them is lacking Ray tells it in words of its own, or not at all for minutes; so they are looked at first.
"""

import os
import platform
import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from numerai_ray.errors import EnvironmentFault

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
# What Ray puts below its folder, and what the system allows for all of it: a socket's path.
LONGEST_BELOW = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
LONGEST_PATH = {"Darwin": 103}
TOKEN_ADVICE = (
    f"put the token of the cluster's head, which `ray get-auth-token` prints there, into ~/.ray/auth_token here, or "
    f"into {TOKEN}, and set {MODE}=token; on Kubernetes the secret with the cluster's name holds it"
)
WITHOUT = "or train without Ray: --in-process"


def check_machine() -> None:
    """Find what would keep Ray from starting here.

    Raises:
        EnvironmentFault: names what is lacking and the variable that helps.

    """
    _check_folder(_ray_folder())
    _check_own_address()
    own_token()


def _ray_folder() -> Path:
    """Where Ray puts sockets and logs, as it chooses it."""
    named = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if platform.system() == "Linux" else None)
    return Path(named or "/tmp") / "ray"


def _check_folder(folder: Path) -> None:
    instead = f"set RAY_TMPDIR to a folder of your own with a short path, such as /var/tmp/{os.getuid()}, {WITHOUT}"
    longest = LONGEST_PATH.get(platform.system(), 107) - LONGEST_BELOW
    if len(os.fsencode(folder)) > longest:
        raise EnvironmentFault(
            f"Ray's folder {folder} must be at most {longest} characters long, as sockets lie in it, but has "
            f"{len(os.fsencode(folder))}; {instead}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):
            folder.chmod(0o777)  # as Ray makes it, for all users of the machine
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EnvironmentFault(f"Ray's folder {folder} cannot be written ({error.strerror}); {instead}") from None


def _check_own_address() -> None:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5.0).close()
    except OSError as error:
        raise EnvironmentFault(
            f"127.0.0.1, by which Ray's processes reach each other, does not answer ({error}); bring the loopback "
            f"device up (`ip link set lo up`), {WITHOUT}"
        ) from None


def token_file() -> Path:
    """Where Ray's token is kept, unless it is in a variable."""
    named = os.environ.get(TOKEN_PATH)
    return Path(named) if named else Path.home() / ".ray" / "auth_token"


def own_token() -> None:
    """Make Ray's token where there is none, and let nobody else read it: Ray's own file is open to all users.

    Raises:
        EnvironmentFault: it cannot be kept.

    """
    if os.environ.get(TOKEN) or os.environ.get(MODE, "token").lower() != "token":
        return
    file = token_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _make(file)
        found = file.stat()
        if found.st_mode & 0o077 and found.st_uid == os.getuid():
            file.chmod(0o600)
    except OSError as error:
        raise EnvironmentFault(
            f"Ray's token cannot be kept in {file} ({error.strerror}); set {TOKEN_PATH} to a file of your own, which "
            f"is made where it is missing, {WITHOUT}"
        ) from None


def _make(file: Path) -> None:
    """Whole and private from its first moment; of two who make it at once, the first one's stays."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".partial", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        Path(name).unlink()


def use_token() -> None:
    """Have what talks to a cluster show the token, where there is one; call it before Ray is imported."""
    if os.environ.get(TOKEN) or token_file().exists():
        os.environ.setdefault(MODE, "token")


def token_hint() -> str:
    """What to say behind the address of a dashboard that asks for a token."""
    if os.environ.get(MODE, "").lower() != "token":
        return ""
    return f" (asks for the token in {'$' + TOKEN if os.environ.get(TOKEN) else token_file()})"
