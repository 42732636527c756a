"""One file of tensors with a JSON header, whose every byte is accounted for.

The file is plain safetensors: any safetensors reader opens it. Its metadata has one key, "rfs", a JSON object
with the caller's header and two digests: `tensors_sha256` over names, types, shapes and bytes of all tensors,
and `header_sha256` over the header including the first. A change of any value is found when it is read.
Files appear whole or not at all: written beside the target, flushed to disk, then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rfs_core.errors import RfsError

_METADATA_KEY = "rfs"
_DIGESTS = ("tensors_sha256", "header_sha256")
_SMALLEST_FILE = 10  # bytes: the length field of safetensors and "{}"


class CheckpointError(RfsError):
    """A checkpoint or training state that cannot be used, with the reason and what to do."""


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: after a crash at any moment the file is the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value that digests are taken of. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Digest over the name, type, shape and bytes of every tensor, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def with_digests(header: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """`header` with both digests filled in."""
    bare = {key: value for key, value in header.items() if key not in _DIGESTS}
    signed = {**bare, "tensors_sha256": tensors_sha256(tensors)}
    return {**signed, "header_sha256": hashlib.sha256(canonical_json(signed)).hexdigest()}


def write(path: Path, header: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Write the file atomically and return the header as stored, digests included."""
    stored = with_digests(header, tensors)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {_METADATA_KEY: canonical_json(stored).decode()}
    write_atomic(path, safetensors.torch.save(contiguous, metadata))
    return stored


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file that `write` wrote, proved intact.

    Raises:
        CheckpointError: the file is missing, a directory, of another format, truncated or altered.
    """
    _refuse_what_is_not_safetensors(path)
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors ({error}): it is truncated or damaged; copy it again "
            f"or train it anew"
        ) from error
    if _METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path}: is safetensors, but its metadata has the keys {sorted(metadata)} where "
            f"'{_METADATA_KEY}' is needed: it was not written by this project, or its header is damaged"
        )
    try:
        header = json.loads(metadata[_METADATA_KEY])
        spelled = canonical_json({key: value for key, value in header.items() if key != "header_sha256"})
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its header is not a JSON object ({error}): copy the file again"
        ) from error
    computed = {
        "header_sha256": hashlib.sha256(spelled).hexdigest(),
        "tensors_sha256": tensors_sha256(tensors),
    }
    for key, got in computed.items():
        if header.get(key) != got:
            raise CheckpointError(
                f"{path}: damaged: its content has {key} {got[:12]}..., its header says "
                f"{str(header.get(key))[:12]}...: copy it again or train it anew"
            )
    return header, tensors


def _refuse_what_is_not_safetensors(path: Path) -> None:
    """Say what a wrong file is, before a parser that could only say what it is not."""
    if path.is_dir():
        raise CheckpointError(f"{path}: is a directory; name a .safetensors file in it")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the path of a .safetensors checkpoint")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    announced = int.from_bytes(start, "little")  # safetensors starts with the length of its header
    if start.startswith((b"PK\x03\x04", b"\x80")) and announced > size:
        raise CheckpointError(
            f"{path}: is a pickle or torch.save file; those can run code and are never loaded: "
            f"export it as safetensors with this project's trainer"
        )
    if size < _SMALLEST_FILE or announced + 8 > size:
        raise CheckpointError(
            f"{path}: has {size} bytes, which is less than its own header announces: it is truncated or not "
            f"safetensors; copy it again or train it anew"
        )
