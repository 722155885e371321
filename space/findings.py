"""What the study found, out of its own document."""

from __future__ import annotations

import functools
import re

from markupsafe import Markup

from space.board import ROOT
from space.manuals import to_html

DOCUMENT = ROOT / "docs" / "study.md"
ELSEWHERE = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)")  # a link to a file that the pages do not serve


@functools.cache
def findings(title: str) -> Markup:
    """The section "What is found on TITLE" as HTML; empty where there is none."""
    text = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.is_file() else ""
    found = re.search(rf"^## What is found on {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return to_html(ELSEWHERE.sub(r"\1", found[1])) if found else Markup("")
