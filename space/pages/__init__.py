"""The pages. A page is one module here: ``register(server, engine)`` adds its routes and its API."""

from space.pages import compare

PAGES = (compare,)
