"""Reports of restores: the outcome for each value, as data, a table or a tree (S31).

report.py         the data: one entry per value, with its outcome and likely counterpart
text.py           the table and the tree
build.py          builds a report from a restore and the program, with
  snapshot.py            how far the restore has come
  counterparts.py        likely counterparts of values without a match
  suggested_renames.py   the renames that follow from them
  shifts.py              lists that were matched by position and differ in length
by_name.py        builds a report of a restore by global names
"""

from __future__ import annotations

from checkpointable.report.build import build_report as build_report
from checkpointable.report.by_name import build_report_by_name as build_report_by_name
from checkpointable.report.report import Outcome as Outcome
from checkpointable.report.report import Report as Report
from checkpointable.report.report import ReportEntry as ReportEntry
from checkpointable.report.report import ValueInfo as ValueInfo

__all__ = ["Outcome", "Report", "ReportEntry", "ValueInfo", "build_report", "build_report_by_name"]
