"""Report: a store and its runs, gathered into the blocks of one page.

`contents` opens what there is, a module each gathers the sections of `ledger`, `splits`, `places`,
`climate`, `curves`, `gallery`, `runs` and `provenance`, `gather` puts them in order, and `write`
makes a file of them.
"""

from minkgen.workflows.report.gather import gather_report
from minkgen.workflows.report.write import write_report

__all__ = ["gather_report", "write_report"]
