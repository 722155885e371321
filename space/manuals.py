"""Model cards and documents as safe HTML: whatever they say, they cannot bring markup, scripts or pictures."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from genhub import ModelInfo

FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
HEADLESS = re.compile(r"<thead>\s*<tr>\s*(<th></th>\s*)+</tr>\s*</thead>\s*")  # Markdown has no table without a head
SHEET = "samples.png"  # the one picture that a card may show: the model's own


@functools.cache
def reader() -> MarkdownIt:
    """CommonMark with tables and without HTML. Its own check refuses links to anything but the web."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("image", draw_image)
    markdown.add_render_rule("heading_open", lower_heading)
    markdown.add_render_rule("heading_close", lower_heading)
    markdown.add_render_rule("table_open", open_table)
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    markdown.add_render_rule("fence", draw_code)
    return markdown


def card_html(info: ModelInfo) -> Markup:
    """The card of a bundled model, without its metadata block; empty where it has none."""
    path = info.folder / "README.md"
    return to_html(path.read_text(encoding="utf-8"), info.name) if path.is_file() else Markup("")


def to_html(text: str, name: str = "") -> Markup:
    """Markdown to HTML for a page. ``name`` is the model whose sheet may be shown, if any."""
    body = COMMENT.sub("", FRONT.sub("", text, count=1))
    return Markup(HEADLESS.sub("", reader().render(body, {"model": name})))


def draw_image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: dict[str, str]) -> str:
    token = tokens[index]
    said = escape(token.content)
    if token.attrs.get("src") != SHEET:
        return str(said)
    alt = f"Samples of {escape(env['model'])}" if said == "samples" else said
    return f'<img class="sheet" src="sheet?model={escape(env["model"])}" alt="{alt}" loading="lazy">'


def lower_heading(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: dict[str, str]) -> str:
    """Headings two levels down: the page has the first two."""
    level = min(6, int(tokens[index].tag[1]) + 2)
    return f"<{'/' if tokens[index].nesting < 0 else ''}h{level}>"


def open_table(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: dict[str, str]) -> str:
    """A table that may scroll, named by its number and the heading above it."""
    number = sum(token.type == "table_open" for token in tokens[: index + 1])
    headings = [tokens[i + 1].content for i in range(index) if tokens[i].type == "heading_open"]
    name = escape(": ".join([f"Table {number}", *headings[-1:]]))
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'


def draw_code(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: dict[str, str]) -> str:
    return f'<pre tabindex="0"><code>{escape(tokens[index].content)}</code></pre>'
