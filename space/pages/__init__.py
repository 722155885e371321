"""The pages, in the order of the navigation.

A page is one module here with two names: ``PAGE`` says what it is called and where it lies, and
``register(server, engine)`` adds its routes and its API. Its templates, and a style sheet and a script named after it,
lie in ``space/templates`` and ``space/assets``. What it computes, it computes through the engine.
"""

from space.pages import compare, data, latent, leaderboard, learn, play, reconstruct

PAGES = (compare, latent, reconstruct, play, leaderboard, data, learn)
