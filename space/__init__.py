"""The Space: pages over a Gradio-free inference layer. Imports genhub, never training."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported: no request may leave the machine
# Read when torch is imported: threads that spin for milliseconds while they wait crawl where others share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
