"""How a script ends: with the exit status of its ``main``, also where its user interrupts it."""

from __future__ import annotations

import sys
from collections.abc import Callable


def exit_status(main: Callable[[], int], advice: str = "") -> int:
    """What ``main`` returns; where Ctrl-C ends it, 130 and one line, with the interrupt's own advice if it has some."""
    try:
        return main()
    except KeyboardInterrupt as interrupt:
        print("; ".join(filter(None, ("interrupted", str(interrupt) or advice))), file=sys.stderr)
        return 130
