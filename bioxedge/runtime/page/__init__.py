"""A page to look at a run: the signal, the label, what is wrong; and the same for programs.

::

    page ── server (bounded threads) ── handler (who may ask, what is answered)
      │                                    │
      ├─ state (a run as it is now) ───────┤  /state /metrics /healthz
      │    └─ columns (the signal, as a screen can show it)
      └─ feed (what happens, in order) ────┘  /events
"""

from bioxedge.runtime.page.page import FORMAT, Page, PageSink, make_page

__all__ = ["FORMAT", "Page", "PageSink", "make_page"]
