"""What programs ask that belongs to no page: which models there are and what each can do."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from space.abilities import abilities
from space.families import family_of
from space.inference import Engine
from space.shell import QUICK


def register(server: gr.Server, engine: Engine) -> None:
    """Add ``/models``."""

    @server.api(name="models", **QUICK)
    def models() -> list[dict[str, Any]]:
        """The models of this Space, with what each can be asked for.

        Returns:
            For each model and dataset its "name", "dataset", "family" in words, "class" in the library, "class_names"
            (empty if it is not told a class), "image_shape" (channels, height, width), and its abilities: "generates"
            (/compare), "truncates", "walks" (/interpolate), "reconstructs" (/reconstruct), "steps" of denoising, and
            "slow", which means seconds rather than milliseconds.
        """
        return [
            {
                "name": info.name,
                "dataset": dataset.name,
                "family": family_of(info).title,
                "class": info.model_class,
                "class_names": list(info.class_names),
                "image_shape": list(info.image_shape),
                **dataclasses.asdict(abilities(info)),
            }
            for dataset in engine.catalog.values()
            for info in dataset.models
        ]
