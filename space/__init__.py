"""The Space: pages over a Gradio-free inference layer. Imports genhub, never training."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported: no request may leave the machine
# Read when torch is imported: threads that spin while they wait are slow wherever others share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
