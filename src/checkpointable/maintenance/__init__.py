"""Changes stored checkpoints without the objects of a program.

rename.py           other paths for the same values; rename_names.py without an object graph
reencode.py         an object graph for a name-based checkpoint
convert.py          from and to files of tensors
sign.py             manifests: write and verify; manifest_checks.py returns the result as data
inspection.py       all checkpoints of a directory, verified; strays.py finds left-over files
repair.py           a state file that names a whole checkpoint
"""
