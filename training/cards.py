"""The model card: one Markdown page per model, rendered from the records of its run.

    python training/cards.py FOLDER...        render README.md anew, after a new evaluation for example

The template is `model_cards/template.md`. What a person has to say about a model (what it is, what it is for,
what it cannot do) stands in `model_cards/NAME.md`; it is used where the model of that name was trained on the
data that the text is about. Every number comes from a record: nothing is computed or assumed here.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from pathlib import Path

import jinja2
from huggingface_hub import EvalResult, ModelCardData

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.checkpoints import write_text
from training.metric_names import COST_NAMES, meaning
from training.model_records import HUB_ID, MODEL_CARDS, Records, dataset_label, read_records
from training.wording import duration, measurement, number, slug, table_cell, whole, words

MARK = "<!-- rendered from the records of the run; an edited card is left as it is: {} -->"

PIPELINE_TAGS = {
    "GenHubAE": "image-feature-extraction",
    "GenHubVAE": "unconditional-image-generation",
    "GenHubGAN": "unconditional-image-generation",
    "GenHubCGAN": "unconditional-image-generation",
    "GenHubDiffusion": "unconditional-image-generation",
    "GenHubStableDiffusion": "text-to-image",
    "GenHubClassifier": "image-classification",
    "GenHubDiscriminator": "image-classification",
    "GenHubProjectedDiscriminator": "image-classification",
}
FAMILIES = {
    "GenHubAE": "autoencoder",
    "GenHubVAE": "vae",
    "GenHubGAN": "gan",
    "GenHubCGAN": "conditional-gan",
    "GenHubDiffusion": "diffusion",
    "GenHubStableDiffusion": "stable-diffusion",
    "GenHubClassifier": "classifier",
    "GenHubDiscriminator": "discriminator",
    "GenHubProjectedDiscriminator": "discriminator",
}
MIXIN_TAGS = ("pytorch_model_hub_mixin", "model_hub_mixin")


def render_card(folder: str | Path, repo_id: str | None = None) -> str:
    """The README.md of a model folder, as text; the same records always give the same text.

    Args:
        folder: holds config.json, and where they exist training_summary.json, metrics.json and samples.png.
        repo_id: the repository that the usage example loads. Without it the example loads the model's name if
            the model has a hand-written part, else the path of a folder.

    Raises:
        ValueError: config.json is missing, or one of the records is not what it should be.
    """
    folder = Path(folder)
    records = read_records(folder)
    source = repo_id or (records.name if records.hand else "path/to/the/folder")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(MODEL_CARDS, encoding="utf-8"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML: values in table cells go through the filter below
    )
    environment.filters["cell"] = table_cell
    text = environment.get_template("template.md").render(
        metadata=card_data(records).to_yaml(),
        title=records.hand.get("title", records.name),
        hand_text=records.hand_text,
        description=records.summary.get("description") or "",
        class_name=records.class_name,
        usage=usage(records, source),
        sheet=measured_on(records, sheet_caption(records)) if (folder / "samples.png").is_file() else "",
        facts=training_facts(records),
        metrics=metric_rows(records),
        held_out=records.held_out,
        protocol=protocol_rows(records),
        dataset=dataset_label(records),
        jpeg_copy="jpeg" in dataset_label(records).lower(),
        chosen_on_test=bool(records.summary.get("best")),
    )
    return f"{text.rstrip()}\n\n{MARK.format(checksum(text))}\n"


def is_rendered(card: str) -> bool:
    """True if the text is what `render_card` or the Hub mixin wrote, with nothing changed by hand."""
    text, _, mark = card.rstrip().rpartition("\n\n")
    return mark == MARK.format(checksum(text)) or "[PytorchModelHubMixin]" in card


def checksum(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def card_data(records: Records) -> ModelCardData:
    """The metadata block; every metric becomes a model-index entry, with the data it was measured on."""
    family = FAMILIES.get(records.class_name)
    label = dataset_label(records)
    sources = records.config.get("metadata", {}).get("source", "").split("+")
    hub_ids = records.hand.get("hub_datasets") or [source for source in sources if HUB_ID.fullmatch(source)]
    task = PIPELINE_TAGS.get(records.class_name, "unconditional-image-generation")
    results = [
        EvalResult(
            task_type=task,
            dataset_type=label if HUB_ID.fullmatch(label) else slug(label),
            dataset_name=label,
            dataset_split=records.protocol.get("split"),
            metric_type=key,
            metric_name=measured_on(records, meaning(key)).partition(" (")[0],
            metric_value=value,
        )
        for key, value in records.metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    ours = records.class_name != "GenHubStableDiffusion"
    return ModelCardData(
        license="mit",
        library_name="genhub" if ours else "diffusers",
        pipeline_tag=task,
        tags=[tag for tag in ("genhub", family, *(MIXIN_TAGS if ours else ())) if tag],
        datasets=hub_ids or None,
        model_name=records.name,
        eval_results=results or None,
    )


def measured_on(records: Records, text: str) -> str:
    """A text about held-out images, where the images are some: else about training images."""
    return text if records.held_out else text.replace("held-out", "training")


def usage(records: Records, source: str) -> str:
    """Five lines or fewer from the import to a result, with the shapes that they give."""
    name, classes = records.class_name, records.config.get("class_names") or []
    channels, size = records.config.get("channels"), records.config.get("image_size")
    lines = [f"from genhub import {name}, images", f'model = {name}.from_pretrained("{source}")']
    opened = f'images.from_pil(Image.open("image.png"), {channels}, {size})[None]'
    match name:
        case "GenHubClassifier":
            lines = ["from PIL import Image", *lines]
            lines.append(f"probabilities = model.predict({opened})  # (1, {len(classes)})")
            lines.append("print(dict(zip(model.class_names, probabilities[0].tolist())))")
        case "GenHubAE":
            lines = ["from PIL import Image", *lines]
            lines.append(f"image = images.to_signed({opened})  # (1, {channels}, {size}, {size}) in [-1, 1]")
            rebuilt = f"model.reconstruct(image{', labels=0' if classes else ''})"
            lines.append(f'images.save_png(images.to_uint8({rebuilt})[0], "rebuilt.png", scale=4)')
        case "GenHubDiscriminator" | "GenHubProjectedDiscriminator":
            lines.append(f"print(model.image_shape)  # ({channels}, {size}, {size}): it takes such images in [-1, 1]")
        case "GenHubStableDiffusion":
            shape = f"(8, {channels}, {size}, {size})"
            lines.append(f'samples = model.generate(8, prompt="a photo of a ship", seed=0)  # {shape} in [-1, 1]')
            lines.append('images.save_png(images.grid(images.to_uint8(samples)), "samples.png", scale=4)')
        case _:
            count = len(classes) or 16
            labels = f"labels=list(range({count})), " if classes else ""
            shape = f"({count}, {channels}, {size}, {size})"
            lines.append(f"samples = model.generate({count}, {labels}seed=0)  # {shape} in [-1, 1]")
            lines.append('images.save_png(images.grid(images.to_uint8(samples)), "samples.png", scale=4)')
    return "\n".join(lines)


def sheet_caption(records: Records) -> str:
    """What samples.png shows, which differs by what a model does."""
    match records.class_name:
        case "GenHubAE":
            return "Reconstructions of held-out images. The images themselves belong to the dataset and are not shown."
        case "GenHubClassifier":
            return (
                "Confusion matrix on held-out images: rows are the true classes, columns what the classifier reads, "
                "both in the order of the labels; the brighter, the larger the share of the row."
            )
    columns = ", one class per column" if records.config.get("class_names") else ""
    return f"Drawn from a fixed seed{columns}, and shown as they came out, without selection."


def training_facts(records: Records) -> list[tuple[str, str]]:
    """Rows (what, value) of the run's summary; a fact that was not recorded has no row."""
    summary = records.summary
    best, precision, processes = (summary.get(key) for key in ("best", "mixed_precision", "processes"))
    rows = [
        ("Data", dataset_label(records)),
        ("Recipe", words(summary.get("recipe"))),
        ("Built on", ", ".join(records.built_on)),
        ("Steps", whole(summary.get("steps"))),
        ("Images seen", whole(summary.get("images_seen"))),
        ("Training time", duration(summary.get("train_seconds"))),
        ("Images per second", number(summary.get("images_per_second"))),
        ("Hardware", words(summary.get("hardware"))),
        ("Processes", whole(processes) if processes != 1 else None),
        ("Mixed precision", words(precision) if precision != "no" else None),
        ("Parameters", words(summary.get("parameters"))),
        ("Weights", {"ema": "averaged (EMA)"}.get(summary.get("weights"), summary.get("weights"))),
        ("Chosen", f"step {whole(best['step'])}, the best by {best['measure']}" if best else None),
        ("Versions", words(summary.get("versions"))),
        ("Status", summary.get("status")),
        ("Date", summary.get("date")),
    ]
    return [(what, str(value)) for what, value in rows if value not in (None, "")] if summary else []


def metric_rows(records: Records) -> list[tuple[str, str, str]]:
    """Rows (key, meaning, value ± spread), one per recorded metric, then those of its cost that training has not."""
    rows = [
        (key, measured_on(records, meaning(key)), measurement(value, records.spread.get(key)))
        for key, value in records.metrics.items()
    ]
    return rows + [(key, COST_NAMES[key], number(value)) for key, value in records.cost.items() if key in COST_NAMES]


def protocol_rows(records: Records) -> list[tuple[str, str]]:
    """Rows (what, value) for everything that the evaluation recorded about itself."""
    recorded = {**records.protocol, "dataset": dataset_label(records)}
    verbatim = ("seed", "extractor_sha256")  # to be typed or compared, not read as amounts
    return [
        (key.replace("_", " "), str(value if key in verbatim else words(value)))
        for key, value in recorded.items()
        if value is not None
    ]


def main(argv: list[str] | None = None) -> int:
    """Write the README.md of each model folder. Exit status: 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="model folders whose README.md to render")
    for readme in (folder / "README.md" for folder in parser.parse_args(argv).folders):
        try:
            card = render_card(readme.parent)
            if readme.is_file() and not is_rendered(readme.read_text(encoding="utf-8")):
                print(f"{readme}: edited by hand, left as it is; delete it to have it rendered")
                continue
            write_text(readme, card)
        except ValueError as error:
            print(f"cards.py: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
