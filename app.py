"""Entry of the Space: builds the server and launches it."""

from importlib.util import find_spec

import torch
from joblib import cpu_count

from space.server import build

demo = build()

if __name__ == "__main__":
    # In a container that is granted fewer cores than its machine has, torch would start a thread for each of those.
    torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))
    tools = find_spec("mcp") is not None  # with the extra gradio[mcp] the public API is offered as MCP tools too
    demo.launch(
        run_history=False, footer_links=[], enable_monitoring=False, pwa=False, ssr_mode=False, mcp_server=tools
    )
