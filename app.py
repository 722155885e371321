"""Entry of the Space: builds the server and launches it."""

from importlib.util import find_spec

from space.server import build

demo = build()

if __name__ == "__main__":
    tools = find_spec("mcp") is not None  # with the extra gradio[mcp] the public API is offered as MCP tools too
    demo.launch(
        run_history=False, footer_links=[], enable_monitoring=False, pwa=False, ssr_mode=False, mcp_server=tools
    )
