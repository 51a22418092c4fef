"""Report: a store and its runs, gathered into the blocks of one page.

`contents` opens what there is, a module each gathers the sections of `ledger`, `splits`, `places`,
`climate`, `curves`, `gallery`, `runs` and `provenance`, and `gather` puts them in order.
"""

from minkgen.workflows.report.gather import gather_report

__all__ = ["gather_report"]
