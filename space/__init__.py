"""The Space: pages over a Gradio-free inference layer. Imports genhub, never training."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported: no request may leave the machine
