"""How long importing this library takes beside ``import torch``, in fresh interpreters.

``import genhub`` alone imports names on first use and waits for nothing; the ratio is therefore of importing a model
class, which every program does that makes an image.
"""

from __future__ import annotations

import argparse

import measuring

ALLOWED = 1.3
TORCH, PACKAGE, MODEL = "import torch", "import genhub", "from genhub import GenHubCGAN"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    sides = {code: lambda code=code: measuring.python_seconds(code) for code in (TORCH, PACKAGE, MODEL)}
    for side in sides.values():  # fill the disk cache, and write bytecode
        side()
    medians = measuring.alternate(sides, repeats)
    for code, elapsed in medians.items():
        print(f"{elapsed:6.2f} s  {code}")
    ratio = medians[MODEL] / medians[TORCH]
    measuring.report(
        "import_time",
        ratio,
        f"<= {ALLOWED}",
        ratio <= ALLOWED,
        torch_seconds=medians[TORCH],
        genhub_seconds=medians[PACKAGE],
        model_seconds=medians[MODEL],
        repeats=repeats,
    )


if __name__ == "__main__":
    main()
