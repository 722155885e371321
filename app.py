"""Entry of the Space: builds the server and launches it."""

from space.server import build

server = build()

if __name__ == "__main__":
    server.launch(run_history=False, footer_links=[], enable_monitoring=False, pwa=False, ssr_mode=False)
