"""What all tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# The caches, ours and those of the Hub's clients, are never those of the person who runs the tests. The variable of the
# Hub is read when huggingface_hub and datasets are imported, hence before anything else.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="genhub-tests-")
os.environ["GENHUB_CACHE"] = os.environ["HF_HOME"]
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

import torch  # noqa: E402

# The networks of the tests are too small to share: a second thread only waits for the first, badly on a busy machine.
torch.set_num_threads(1)
