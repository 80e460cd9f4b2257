"""Recognizes files of other kinds that users may pass, so that errors name what reads them."""

from __future__ import annotations

__all__ = ["other_kind"]

_ZIP = b"PK\x03\x04"
# The offsets of the first member's name in a zip file, and of its length.
_NAME_LENGTH, _NAME = 26, 30

_BY_START = {
    b"\x89HDF\r\n\x1a\n": (
        "an HDF5 file (weights of Keras, say): Keras loads it, and cp.Checkpoint saves what it "
        "has loaded"
    ),
    b"\x93NUMPY": "an array that numpy.save wrote: numpy.load reads it, cp.Variable keeps it",
    b'{\n "statement": {\n  "kind": "checkpointable manifest"': (
        "the manifest of a checkpoint, not the checkpoint: its name without .manifest-… is that"
    ),
    b"GGUF": "a GGUF file: what made it converts it to .safetensors, which can be read here",
}
_ARCHIVES = {
    "metadata.json": (
        "an archive of Keras: keras.saving.load_model reads it, and cp.Checkpoint saves what it "
        "has loaded"
    ),
    ".npy": "an archive of numpy.savez: numpy.load reads its arrays, cp.Variable keeps each",
}


def other_kind(start: bytes) -> str | None:
    """Returns what a file is and what reads it, by its first 512 bytes; None if not known."""
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
