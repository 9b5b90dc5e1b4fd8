"""A store lies in a folder that is itself durable, on a file system whose locks and syncs can be trusted."""

import os
from pathlib import Path
from typing import Final

from firmcast.errors import StartError

_NETWORK_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "afs"})


def make_store_folder(folder: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Make `folder`, with what is missing above it, so that it survives power loss; only its owner may look into it.

    Raises:
        StartError: it is on a network file system.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = _file_system_of(folder, mounts)
    if kind in _NETWORK_FILE_SYSTEMS:
        message = f"{folder} is on a network file system ({kind}), whose locks and syncs a store cannot be trusted with"
        raise StartError(message)
    for one in new:
        sync_folder(one.parent)


def make_store_file(store: Path) -> None:
    """Make the file of a store, still empty, if it is not there; only its owner may read it.

    What SQLite puts beside it gets the same rights.
    """
    os.close(os.open(store, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a new file survives power loss only when its folder has been synced too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_system_of(folder: Path, mounts: Path) -> str:
    """Return the type of the file system that holds `folder`; empty where the system does not tell."""
    if not mounts.exists():
        return ""
    here = folder.resolve()
    best, kind = Path(), ""
    for line in mounts.read_text(errors="replace").splitlines():
        _device, point, file_system = line.split()[:3]
        mounted_at = Path(point.replace("\\040", " "))
        # Of two at one point the later hides the earlier.
        if here.is_relative_to(mounted_at) and len(mounted_at.parts) >= len(best.parts):
            best, kind = mounted_at, file_system
    return kind
