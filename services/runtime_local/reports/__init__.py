"""The reports of test runners: how many tests a check's output says to have passed, failed and not been run.

Pure: text in, counts out. `ReportReader` takes an output line by line, however long it is, and keeps counts only.
"""

from __future__ import annotations

from services.runtime_local.reports.reader import Report, ReportReader, read_report
from services.runtime_local.reports.tally import Tally

__all__ = ["Report", "ReportReader", "Tally", "read_report"]
