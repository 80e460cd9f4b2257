"""`python -m checkpointable.cli`."""

from __future__ import annotations

from checkpointable.cli import main

if __name__ == "__main__":
    main()
