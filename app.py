"""Entry of the Space: builds the server and launches it."""

from space.server import build

demo = build()

if __name__ == "__main__":
    demo.launch(run_history=False, footer_links=[], enable_monitoring=False, pwa=False, ssr_mode=False)
