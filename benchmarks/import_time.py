"""How long ``import genhub`` takes beside ``import torch``, in fresh interpreters."""

from __future__ import annotations

import argparse

import measuring

ALLOWED = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    codes = ("import torch", "import genhub")
    for code in codes:  # fill the disk cache, and write bytecode
        measuring.python_seconds(code)
    medians = measuring.alternate({code: lambda code=code: measuring.python_seconds(code) for code in codes}, repeats)
    torch_seconds, genhub_seconds = (medians[code] for code in codes)
    ratio = genhub_seconds / torch_seconds
    figures = {"torch_seconds": torch_seconds, "genhub_seconds": genhub_seconds, "repeats": repeats}
    measuring.report("import_time", ratio, f"<= {ALLOWED}", ratio <= ALLOWED, **figures)


if __name__ == "__main__":
    main()
