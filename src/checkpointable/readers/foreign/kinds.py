"""Recognizes files of other kinds that users may pass, so that errors can name their readers."""

from __future__ import annotations

__all__ = ["other_kind"]

_ZIP = b"PK\x03\x04"
# The offsets of the first member's name in a zip file, and of its length.
_NAME_LENGTH, _NAME = 26, 30

_BY_START = {
    b"\x89HDF\r\n\x1a\n": (
        "an HDF5 file (Keras weights, for example): load it with Keras, then save the loaded "
        "objects with cp.Checkpoint"
    ),
    b"\x93NUMPY": "an array of numpy.save: read it with numpy.load, and keep it in a cp.Variable",
    b'{\n "statement": {\n  "kind": "checkpointable manifest"': (
        "the manifest of a checkpoint: to open the checkpoint, omit .manifest-… from the path"
    ),
    b"GGUF": "a GGUF file: convert it to .safetensors, which can be read here",
}
_ARCHIVES = {
    "metadata.json": (
        "an archive of Keras: load it with keras.saving.load_model, then save the loaded "
        "objects with cp.Checkpoint"
    ),
    ".npy": (
        "an archive of numpy.savez: read it with numpy.load, and keep each array in a cp.Variable"
    ),
}


def other_kind(start: bytes) -> str | None:
    """Returns the kind of a file and how to read it, by its first 512 bytes; None if unknown."""
    for magic, what in _BY_START.items():
        if start.startswith(magic):
            return what
    if start.startswith(_ZIP) and len(start) > _NAME:
        length = int.from_bytes(start[_NAME_LENGTH : _NAME_LENGTH + 2], "little")
        name = start[_NAME : _NAME + length].decode(errors="replace")
        for ending, what in _ARCHIVES.items():
            if name.endswith(ending):
                return what
    return None
