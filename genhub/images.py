"""The only place where pixels are scaled, quantised or converted.

Three representations exist in GenHub, and each function says which one it takes:

* *signed*: float tensors in [-1, 1], what models consume and produce;
* *unit*: float tensors in [0, 1], what a sigmoid decoder produces inside an autoencoder;
* *bytes*: uint8 tensors in 0…255, what is stored, shown and measured.
"""

from __future__ import annotations

import math
import numbers
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageOps

TOLERANCE = 1e-3  # float round-off that still counts as inside the range (half precision included)


def to_signed(images: torch.Tensor) -> torch.Tensor:
    """uint8 images of any shape to floats in [-1, 1]. Raises ValueError for anything that is not uint8."""
    require_uint8(images, "images")
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Signed float images to uint8, rounding to the nearest level.

    Raises ValueError for integer input, NaN, or values outside [-1, 1]: a range mistake must never pass in silence.
    """
    require_signed(images, "images")
    return images.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def signed_to_unit(images: torch.Tensor) -> torch.Tensor:
    """[-1, 1] to [0, 1], differentiable."""
    return (images + 1.0) * 0.5


def unit_to_signed(images: torch.Tensor) -> torch.Tensor:
    """[0, 1] to [-1, 1], differentiable."""
    return images * 2.0 - 1.0


def resized(images: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Signed float images (n, 1 or 3, H, W) in another shape (channels, height, width), antialiased (bicubic)."""
    channels, *size = shape
    if images.shape[1] == 3 and channels == 1:
        weights = images.new_tensor([0.299, 0.587, 0.114])  # ITU-R 601, as PIL makes grey
        images = torch.einsum("nchw,c->nhw", images, weights)[:, None]
    elif images.shape[1] == 1 and channels == 3:
        images = images.repeat(1, 3, 1, 1)
    if list(images.shape[2:]) != size:
        images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(-1, 1)
    return images


def require_uint8(images: torch.Tensor, name: str) -> None:
    """Raise ValueError unless ``images`` is a uint8 tensor, the only type that anything which measures accepts."""
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"{name}: expected a tensor of uint8 values 0…255, got {type(images).__name__}")
    if images.dtype != torch.uint8:
        raise ValueError(
            f"{name}: expected uint8 values 0…255, got {images.dtype}; convert with genhub.images.to_uint8"
        )


def require_signed(images: torch.Tensor, name: str) -> None:
    """Raise ValueError unless ``images`` is a float tensor with all its values in [-1, 1]."""
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"{name}: expected a tensor of floats in [-1, 1], got {type(images).__name__}")
    if not images.is_floating_point():
        raise ValueError(
            f"{name}: expected floats in [-1, 1], got {images.dtype}; convert bytes with genhub.images.to_signed"
        )
    if images.numel():
        low, high = (value.item() for value in images.aminmax())
        if not (low >= -1 - TOLERANCE and high <= 1 + TOLERANCE):  # written so that NaN fails too
            raise ValueError(
                f"{name}: expected floats in [-1, 1], got values from {low:.4g} to {high:.4g}; "
                "make bytes of them and use genhub.images.to_signed"
            )


def to_pil(image: torch.Tensor) -> Image.Image:
    """One uint8 image (C, H, W), C = 1 or 3, to a PIL image of mode L or RGB."""
    require_uint8(image, "image")
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"image: expected shape (1 or 3, H, W), got {tuple(image.shape)}")
    array = image.cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def from_pil(image: Image.Image, channels: int, size: int | None = None, background: str = "black") -> torch.Tensor:
    """A PIL image to uint8 (channels, H, W), channels 1 or 3; with ``size``, centre-cropped to a square and resized.

    Photos are turned as their camera says, 16-bit grey is scaled to 8 bits, and what is transparent is laid over
    ``background``. Resizing is antialiased (bicubic). Raises ValueError for 32-bit pixels, whose range nothing tells.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels: expected 1 (grey) or 3 (colour), got {channels!r}")
    if size is not None:
        size = at_least_one(size, "size")
    if image.mode in ("I", "F"):
        raise ValueError(f"expected 8 or 16 bits per channel, got 32-bit mode {image.mode!r}; save it with 8 bits")
    if orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # PIL's own conversion clips at 255
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert("RGB").convert(mode)  # PIL has no direct way from some modes to grey
    if size is not None and image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))  # as resize's box, what is cut off would leak in
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    array = np.array(image, dtype=np.uint8)
    return torch.from_numpy(array).reshape(image.height, image.width, channels).permute(2, 0, 1).contiguous()


def at_least_one(value: object, name: str) -> int:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    return int(value)


def orientation(image: Image.Image) -> int:
    """How a camera was held, 1 for upright; upright too where the file's remarks cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # its pixels are fine, and PIL raises nearly anything over damaged remarks
        return 1


def grid(images: torch.Tensor, columns: int | None = None, padding: int = 2, background: int = 255) -> torch.Tensor:
    """Tile uint8 images (n, C, H, W) row by row into one uint8 sheet (C, H', W')."""
    require_uint8(images, "images")
    if images.dim() != 4 or len(images) == 0:
        raise ValueError(f"images: expected shape (n, C, H, W) with n of at least 1, got {tuple(images.shape)}")
    if columns is not None:
        columns = at_least_one(columns, "columns")
    for name, value in (("padding", padding), ("background", background)):
        if not isinstance(value, numbers.Integral) or not 0 <= value <= 255:
            raise ValueError(f"{name}: expected a whole number from 0 to 255, got {value!r}")
    n, channels, height, width = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    cell_height, cell_width = height + padding, width + padding
    sheet = images.new_full((channels, rows * cell_height + padding, columns * cell_width + padding), background)
    for i, image in enumerate(images):
        top, left = padding + (i // columns) * cell_height, padding + (i % columns) * cell_width
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def save_png(image: torch.Tensor, path: str | Path, scale: int = 1) -> None:
    """Write one uint8 image (C, H, W) as PNG, enlarged ``scale`` times with crisp pixels."""
    picture, scale = to_pil(image), at_least_one(scale, "scale")
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    picture.save(path, format="PNG", optimize=True)
