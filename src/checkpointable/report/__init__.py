"""Why something did not match: the outcome of a restore as data, as a table, as a tree (S31).

report.py         the data: one entry a value, its outcome, what is likely its counterpart
text.py           the table and the tree
build.py          what a restore and the program say, put together, of
  snapshot.py            how far the restore has come
  counterparts.py        which missing value a renamed one probably is
  suggested_renames.py   the renames that follow from that
  shifts.py              lists that were matched by position and differ in length
"""

from __future__ import annotations

from checkpointable.report.build import build_report as build_report
from checkpointable.report.report import Outcome as Outcome
from checkpointable.report.report import Report as Report
from checkpointable.report.report import ReportEntry as ReportEntry
from checkpointable.report.report import ValueInfo as ValueInfo

__all__ = ["Outcome", "Report", "ReportEntry", "ValueInfo", "build_report"]
