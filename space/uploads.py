"""Pictures that visitors draw or upload: whatever the bytes are, an image of the asked size or one sentence."""

from __future__ import annotations

import base64
import binascii
import io

import torch
from PIL import Image

from genhub.images import from_pil

MAX_BYTES = 6_000_000
MAX_PIXELS = 24_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")  # no format whose decoder takes more than pixels from a file
INK = 40  # of 255: what counts as drawn
FITTED = 20 / 28  # MNIST's digits fill so much of their side (LeCun et al., 1998)


def read_upload(text: object) -> Image.Image:
    """The picture in a data URI or in base64. Raises ValueError in a sentence for a visitor."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("Expected a picture as data URI or base64 text.")
    if len(text) > MAX_BYTES * 4 // 3 + 100:
        raise ValueError(f"The file is larger than {MAX_BYTES // 1_000_000} MB; please use a smaller one.")
    try:
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("This is no base64 text; expected a picture as data URI or base64.") from None
    return decode(data)


def decode(data: bytes) -> Image.Image:
    """The first frame of a picture file, loaded. Raises ValueError in a sentence for a visitor."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except Exception:  # a hostile file makes PIL raise nearly anything
        raise ValueError(f"This is no picture that can be read here ({', '.join(FORMATS)}).") from None
    if pixels > MAX_PIXELS:
        raise ValueError(f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels.")
    try:
        if image.format == "JPEG":
            image.draft("RGB", (512, 512))  # decodes no more than will be looked at
        image.load()
    except Exception:
        raise ValueError("The file is damaged or cut off.") from None
    return image


def fit(image: Image.Image, shape: tuple[int, int, int]) -> tuple[torch.Tensor, list[str]]:
    """A picture as a model sees it, uint8 (C, H, W), with a sentence for each thing that was done to it.

    Grey shapes mean digits: light on dark, and placed as MNIST's are. Raises ValueError for pixels of no known range.
    """
    channels, size, _ = shape
    if channels == 3:
        return from_pil(image, channels, size), []
    for background in ("white", "black"):  # what is transparent may be drawn on in black, or in white
        grey, notes = from_pil(image, 1, background=background), []
        if edge_mean(grey) > 127:
            grey = 255 - grey
            notes.append("It was dark on light, so it was inverted.")
        if (placed := place(grey, size)) is not None:
            return placed, [*notes, "It was scaled and centred as the training digits are."]
    return torch.zeros(shape, dtype=torch.uint8), ["It is empty."]


def edge_mean(image: torch.Tensor) -> float:
    """Mean of the outermost pixels of (C, H, W)."""
    edges = (image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1])
    return torch.cat([edge.flatten() for edge in edges]).float().mean().item()


def place(grey: torch.Tensor, size: int) -> torch.Tensor | None:
    """The drawn part of (1, H, W), scaled to fill as much as MNIST's digits do, its centre of mass in the middle."""
    ink = grey[0] > INK
    rows, columns = ink.any(dim=1).nonzero().flatten(), ink.any(dim=0).nonzero().flatten()
    if not len(rows):
        return None
    box = (columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1)
    cut = Image.fromarray(grey[0].numpy()).crop(box)
    scale = FITTED * size / max(cut.size)
    width, height = (max(1, round(side * scale)) for side in cut.size)
    small = cut.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    values = from_pil(small, 1)[0].float()
    total = values.sum().clamp_min(1)
    x = ((values.sum(dim=0) * torch.arange(width)).sum() / total).item()
    y = ((values.sum(dim=1) * torch.arange(height)).sum() / total).item()
    middle = (size - 1) / 2
    left = min(max(round(middle - x), 0), size - width)
    top = min(max(round(middle - y), 0), size - height)
    sheet = Image.new("L", (size, size))
    sheet.paste(small, (left, top))
    return from_pil(sheet, 1)
