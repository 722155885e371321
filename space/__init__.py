"""The Space: pages over a Gradio-free inference layer. Imports genhub, never training."""

import ctypes
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported: no request may leave the machine
# Read when Gradio starts. After each event it would sum up the last ten thousand, in 8 to 29 ms, for a closed page.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
# Read when torch is imported: threads that spin for milliseconds while they wait crawl where others share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# glibc gives threads heaps of their own and hardly returns what they free. Visitors come on dozens of threads, and what
# allocates much waits in one lane anyway: one heap is as quick and stays small.
M_ARENA_MAX = -8
if os.name == "posix" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
    libc.mallopt(M_ARENA_MAX, 1)
