"""The model card: one Markdown page per model, rendered from the records of its run.

    python training/cards.py FOLDER...        render README.md anew, after a new evaluation for example

The template is `model_cards/template.md`. What a person has to say about a model (what it is, what it is for,
what it cannot do) stands in `model_cards/NAME.md`; it is used where the model of that name was trained on the
data that the text is about. Every number comes from a record: nothing is computed or assumed here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCardData

from genhub.hub import PIPELINE, read_config

MODEL_CARDS = Path(__file__).resolve().parent.parent / "model_cards"
MARK = "<!-- rendered from the records of the run; an edited card is left as it is: {} -->"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

PIPELINE_TAGS = {
    "GenHubAE": "image-feature-extraction",
    "GenHubVAE": "unconditional-image-generation",
    "GenHubGAN": "unconditional-image-generation",
    "GenHubCGAN": "unconditional-image-generation",
    "GenHubDiffusion": "unconditional-image-generation",
    "GenHubStableDiffusion": "text-to-image",
    "GenHubClassifier": "image-classification",
    "GenHubDiscriminator": "image-classification",
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
}
MIXIN_TAGS = ("pytorch_model_hub_mixin", "model_hub_mixin")
SHORT_NAMES = {"cifar10": "CIFAR-10", "mnist": "MNIST", "cifar10+mnist": "CIFAR-10 + MNIST"}
# What a reader needs to read a figure; a metric without a row here is shown under its own name.
METRIC_NAMES = {
    "accuracy": "Accuracy on held-out images (higher is better)",
    "anomaly_auc": "Area under the ROC curve of telling the anomalies named below by reconstruction error (1 is best)",
    "bernoulli_elbo": "Lower bound of the log-likelihood, pixels as probabilities, nats per image (higher is better)",
    "cas_both": "Accuracy on held-out images of a small classifier trained on samples and real images together",
    "cas_generated": "Accuracy on held-out images of a small classifier trained on samples (higher is better)",
    "cas_real": "Accuracy on held-out images of a small classifier trained on as many real images",
    "class_accuracy": "Share of samples that the judge assigns to the class asked for (higher is better)",
    "class_diversity": "Variance of the features within a class over that of real images (1 is as varied)",
    "class_entropy": "Entropy of the classes that the judge sees, in bits (as many as equal shares have is best)",
    "classifier_score": "Inception-style score with the judge in Inception's place (higher is better)",
    "coverage": "Share of held-out images with a sample among their neighbours (higher is better)",
    "density": "How crowded with held-out images the places are where samples lie (about 1 for real images)",
    "elbo": "Lower bound of the log-likelihood, Gaussian pixels in [0, 1], nats per image (higher is better)",
    "fid": "FID to held-out images (lower is better)",
    "frechet_distance": "Fréchet distance to held-out images in the features named below (lower is better)",
    "high_frequency_ratio": "Share of high spatial frequencies over that of held-out images (1 is as sharp)",
    "inception_score": "Inception score (higher is better)",
    "kernel_distance": "Kernel distance to held-out images in the features named below (lower is better)",
    "kid": "KID to held-out images (lower is better)",
    "kl": "Divergence of the posterior from the prior, nats per image",
    "laplacian_ratio": "Variance of the Laplacian over that of held-out images (1 is as sharp)",
    "largest_class_share": "Share of samples in the class that the judge sees most (an even share is best)",
    "memorization_ratio": "Distance to the nearest training image over that of held-out images (far below 1: copies)",
    "memorized_share": "Share of samples nearer to a training image than 99 % of held-out images (0.01 is expected)",
    "precision": "Share of samples that lie among held-out images (higher is better)",
    "recall": "Share of held-out images that lie among samples (higher is better)",
    "reconstruction_mse": "Mean squared error of rebuilt held-out images, pixels in [0, 1] (lower is better)",
}
COST_NAMES = {
    "compression_ratio": "Numbers in an image over numbers in its latent",
    "latent_size": "Numbers in a latent",
    "seconds_per_image": "Seconds per image, in a batch of 16, on the hardware named below",
}


@dataclass(frozen=True)
class Records:
    """What a model folder says about its model, and the hand-written part that belongs to it."""

    config: dict[str, Any]
    summary: dict[str, Any]
    protocol: dict[str, Any]
    metrics: dict[str, float | int | str]
    spread: dict[str, float]
    cost: dict[str, float]
    hand: dict[str, Any]
    hand_text: str

    @property
    def name(self) -> str:
        return self.summary.get("name") or self.config.get("metadata", {}).get("name") or "model"

    @property
    def class_name(self) -> str:
        return self.config["class"]


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
        sheet=sheet_caption(records) if (folder / "samples.png").is_file() else "",
        facts=training_facts(records),
        metrics=metric_rows(records),
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


def read_records(folder: Path) -> Records:
    """The records of a model folder. Raises ValueError naming the file that is missing or malformed."""
    config = read_config(folder, folder.name) if (folder / PIPELINE).is_file() else read_json(folder / "config.json")
    config.setdefault("class", config.get("_class_name"))  # a single network of diffusers
    if not isinstance(config.get("class"), str):
        raise ValueError(f'{folder / "config.json"}: no "class" in it; save the model with save_pretrained')
    summary = read_json(folder / "training_summary.json", default={})
    metrics, spread, cost, protocol = read_measured(folder)
    records = Records(config, summary, protocol, metrics, spread, cost, {}, "")
    hand, text = hand_written(records.name)
    if hand and same_data(recorded_dataset(records), hand["dataset"]):
        records = replace(records, hand=hand, hand_text=text)
    return records


def read_measured(folder: Path) -> tuple[dict, dict, dict, dict]:
    """Metrics, spread, cost and protocol of ``metrics.json``; of a model of several datasets, those of each."""
    metrics, spread, protocols = {}, {}, []
    for path in sorted(folder.glob("metrics-*.json")) or [folder / "metrics.json"]:
        measured = read_json(path, default={"protocol": {}, "metrics": {}})
        if not all(isinstance(measured.get(part), dict) for part in ("protocol", "metrics")):
            raise ValueError(f'{path}: needs "protocol" and "metrics"; run training/evaluate.py again')
        _, several, dataset = path.stem.partition("-")
        on = f" on {SHORT_NAMES.get(dataset, dataset)}" if several else ""
        figures = {key: value for key, value in measured["metrics"].items() if isinstance(value, int | float | str)}
        metrics |= {f"{key}{on}": value for key, value in figures.items()}
        spread |= {f"{key}{on}": value for key, value in measured.get("spread", {}).items()}
        protocols.append({key: v for key, v in measured["protocol"].items() if not several or key != "dataset"})
    protocol = {}
    for key in dict.fromkeys(key for each in protocols for key in each):
        values = [each[key] for each in protocols if key in each]
        protocol[key] = values[0] if values.count(values[0]) == len(values) else values
    return metrics, spread, measured.get("cost", {}), protocol


def read_json(path: Path, default: dict | None = None) -> dict[str, Any]:
    if not path.is_file():
        if default is not None:
            return default
        raise ValueError(f"{path}: no such file; save the model with save_pretrained")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must hold a JSON object, got {type(value).__name__}")
    return value


def hand_written(name: str) -> tuple[dict[str, Any], str]:
    """The front matter and the text of `model_cards/NAME.md`; both empty where there is none."""
    path = MODEL_CARDS / f"{name}.md"
    if name == "template" or not re.fullmatch(r"[\w.-]+", name) or not path.is_file():
        return {}, ""
    _, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text.strip()


def recorded_dataset(records: Records) -> str:
    """What the records call the data; the evaluation's name for it first, because figures stand beside it."""
    places = (records.protocol, records.summary, records.config.get("metadata", {}))
    return next((str(place["dataset"]) for place in places if place.get("dataset")), "")


def same_data(recorded: str, written: str) -> bool:
    """Whether a text about `written` fits: the same name, or a folder or short name that ends in it.

    Neither another Hub id nor another copy fits: `cifar10` is not "CIFAR-10 (JPEG copy)".
    """

    def key(name: str) -> str:
        return re.sub(r"[^a-z0-9(]", "", name.rstrip("/").rpartition("/")[2].lower())

    return recorded == written or (not HUB_ID.fullmatch(recorded) and key(recorded) == key(written))


def dataset_label(records: Records) -> str:
    """What to call the data in the card; never a path of the machine that trained."""
    if records.hand:
        return records.hand["dataset"]
    short, space, copy = recorded_dataset(records).partition(" (")
    return (words(SHORT_NAMES.get(short, short)) or "unnamed data") + space + copy


def card_data(records: Records) -> ModelCardData:
    """The metadata block; every metric becomes a model-index entry, with the data it was measured on."""
    family = FAMILIES.get(records.class_name)
    label = dataset_label(records)
    hub_ids = records.hand.get("hub_datasets") or ([label] if HUB_ID.fullmatch(label) else None)
    task = PIPELINE_TAGS.get(records.class_name, "unconditional-image-generation")
    results = [
        EvalResult(
            task_type=task,
            dataset_type=label if HUB_ID.fullmatch(label) else slug(label),
            dataset_name=label,
            dataset_split=records.protocol.get("split"),
            metric_type=key,
            metric_name=meaning(key).partition(" (")[0],
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
        datasets=hub_ids,
        model_name=records.name,
        eval_results=results or None,
    )


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
        case "GenHubDiscriminator":
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
        (key, meaning(key), f"{number(value)}{spread(records.spread.get(key))}")
        for key, value in records.metrics.items()
    ]
    return rows + [(key, COST_NAMES[key], number(value)) for key, value in records.cost.items() if key in COST_NAMES]


def meaning(key: str) -> str:
    """What a metric says, such as ``class_accuracy`` or ``class_accuracy on MNIST``."""
    name, on, dataset = key.partition(" on ")
    return f"{METRIC_NAMES[name]}{on}{dataset}" if name in METRIC_NAMES else key


def spread(value: float | None) -> str:
    """One significant digit: a spread is itself known no better."""
    return "" if value is None else f" ± {value:.1g}"


def protocol_rows(records: Records) -> list[tuple[str, str]]:
    """Rows (what, value) for everything that the evaluation recorded about itself."""
    recorded = {**records.protocol, "dataset": dataset_label(records)}
    verbatim = ("seed", "extractor_sha256")  # to be typed or compared, not read as amounts
    return [
        (key.replace("_", " "), str(value if key in verbatim else words(value)))
        for key, value in recorded.items()
        if value is not None
    ]


def words(value: Any) -> str | None:
    """A recorded value as one line: `generator 1,234, discriminator 567` for a mapping."""
    if isinstance(value, str) and (value.startswith(("/", ".", "~")) or value.count("/") > 1):
        return f"{Path(value).name} (local)"  # paths of a machine are not published
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(words(item)) for item in value)
    return whole(value) if isinstance(value, int) else number(value)


def whole(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None if value is None else str(value)


def number(value: Any) -> str | None:
    """Four significant digits, which is more than any of the figures deserves."""
    return f"{value:.4g}" if isinstance(value, float) else None if value is None else str(value)


def duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def table_cell(text: str) -> str:
    """A value that cannot break out of its cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def main(folders: list[str]) -> int:
    """Write the README.md of each model folder. Exit status: 0, or 2 with one line on stderr."""
    if not folders:
        print("cards.py: give the model folders whose README.md to render", file=sys.stderr)
        return 2
    for readme in (Path(folder) / "README.md" for folder in folders):
        try:
            card = render_card(readme.parent)
            if readme.is_file() and not is_rendered(readme.read_text(encoding="utf-8")):
                print(f"{readme}: edited by hand, left as it is; delete it to have it rendered")
                continue
            readme.write_text(card, encoding="utf-8")
        except ValueError as error:
            print(f"cards.py: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
