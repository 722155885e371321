"""Inside a generator: how an image comes out of noise, row by row or step by step, as pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from genhub import GenHubDiffusion
from genhub.images import grid, to_uint8
from genhub.latents import sample_latents
from genhub.models import GenHubModel
from genhub.models.latent import evaluating
from genhub.stages import Stack
from space.inference import Engine
from space.result import data_uri, png

SHOWN = 16  # maps of each row, the liveliest ones
MOMENTS = 5  # of a denoising


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing on the way from noise to image. ``src`` is its picture as data URI, of ``width`` × ``height``."""

    title: str
    text: str
    src: str
    alt: str
    width: int
    height: int


def look_inside(engine: Engine, dataset: str, name: str, label: int | None, seed: int) -> tuple[Step, ...]:
    """The steps of a bundled model for one image: the first that it makes of a seed."""
    model = engine.load(dataset, name)
    if isinstance(model, GenHubDiffusion):
        return denoising_of(model, label, seed, engine.lane.give_way)
    return steps_of(model, label, seed)


@torch.no_grad()
def steps_of(model: GenHubModel, label: int | None, seed: int) -> tuple[Step, ...]:
    """Noise, the maps of each row that changes their size, and the image."""
    latents = sample_latents(1, model.latent_dim, seed).to(model.device, model.dtype)
    made: list[torch.Tensor] = []
    hooks = [block.register_forward_hook(lambda *seen: made.append(seen[2].cpu())) for block in rows_of(model).blocks]
    try:
        with evaluating(model):
            image = to_uint8(model.decode(latents, model.condition(label, 1)).float().cpu())
    finally:
        for hook in hooks:
            hook.remove()
    steps = [noise_step(latents[0], model.class_names[label] if label is not None else None)]
    maps = [map_ for map_ in made[:-1] if map_.dim() == 4]
    last_of_size = {map_.shape[2]: map_ for map_ in maps}  # several rows may work at one size: the last word counts
    steps += [maps_step(map_[0]) for map_ in last_of_size.values()]
    return (*steps, image_step(image[0]))


def denoising_of(
    model: GenHubDiffusion, label: int | None, seed: int, between: Callable[[], object]
) -> tuple[Step, ...]:
    """Moments of a denoising: the image so far above the expected one. ``between`` is called after every step."""
    seen: list[torch.Tensor] = []

    def note(step: int, noisy: torch.Tensor, guess: torch.Tensor) -> None:
        seen.append(torch.cat([noisy, guess]).clamp(-1, 1).cpu())
        between()

    image = to_uint8(model.generate(1, labels=label, seed=seed, callback=note).cpu())
    places = torch.linspace(0, len(seen) - 1, min(MOMENTS, len(seen))).round().int().tolist()
    steps = []
    for place in dict.fromkeys(places):
        picture = grid(to_uint8(seen[place]), columns=1, padding=1, background=40)
        text = "Above, the image so far. Below, what the network takes it for."
        alt = f"After step {place + 1}: the noisy image, and the clean one that the network expects"
        steps.append(Step(f"Step {place + 1}", text, data_uri(png(picture)), alt, picture.shape[2], picture.shape[1]))
    return (*steps, image_step(image[0]))


def image_step(image: torch.Tensor) -> Step:
    size = image.shape[1]
    text = f"{size}×{size} pixels {'in colour' if len(image) == 3 else 'in grey'}, as the model makes it."
    return Step("The image", text, data_uri(png(image)), "The finished image", size, size)


def rows_of(model: GenHubModel) -> Stack:
    """The network that turns latents into an image."""
    return model.decoder if hasattr(model, "decoder") else model.stages


def noise_step(latents: torch.Tensor, class_name: str | None) -> Step:
    columns = next(side for side in (16, 10, 8, 5, 4, 2, 1) if len(latents) % side == 0)
    picture = to_uint8(stretched(latents.float().cpu())).reshape(1, -1, columns)
    text = f"{len(latents)} random numbers out of the seed"
    text += f", and the class: {class_name}." if class_name is not None else "."
    return Step(
        "Noise", text, data_uri(png(picture)), f"{len(latents)} grey squares without order", columns, picture.shape[1]
    )


def maps_step(maps: torch.Tensor) -> Step:
    """The liveliest of some maps (C, H, W), each stretched to the whole range of grey."""
    count, side = maps.shape[:2]
    maps = maps.float()
    chosen = maps.flatten(1).std(dim=1).topk(min(SHOWN, count)).indices.sort().values
    tiles = torch.stack([to_uint8(stretched(maps[i]))[None] for i in chosen])
    sheet = grid(tiles, columns=4, padding=1, background=40)
    text = f"{count} maps of {side}×{side}; the {len(tiles)} liveliest are shown."
    alt = f"{len(tiles)} grey maps of {side} by {side} cells"
    return Step(f"{side}×{side}", text, data_uri(png(sheet)), alt, sheet.shape[2], sheet.shape[1])


def stretched(values: torch.Tensor) -> torch.Tensor:
    """Values moved and scaled to [-1, 1]; all the same becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low).clamp_min(1e-12) * 2 - 1 if high > low else torch.zeros_like(values)
