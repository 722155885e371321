"""docs/zoo.md says what the records of the bundled models say, today."""

import dataclasses
import json
import shutil

import genhub
from training import zoo


def test_the_page_is_up_to_date():
    written = (zoo.ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert written == zoo.page(), "run python training/zoo.py"


def test_every_model_stands_in_the_table_of_each_of_its_datasets_with_its_sheet():
    for info in genhub.list_models():
        for dataset in info.datasets:
            parts = zoo.section(dataset, genhub.list_models(dataset=dataset))
            if info.model_class == "GenHubClassifier":
                title = "The judge" if info.is_judge else "The guide"
                assert any(part.startswith(title) and info.name in part for part in parts)
                continue
            _, table, *others = parts
            assert table.count(f"| [{info.name}](") == 1
            assert any(part.endswith(f"{info.name}/samples.png)") for part in others)
            assert (info.folder / "samples.png").is_file()


def test_rows_are_ranked_by_distance_between_floor_and_ceiling():
    _, table, *_ = zoo.section("mnist", genhub.list_models(dataset="mnist"))
    names = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert names[0] == "floor"
    distances = [line.split("|")[2].split("±")[0].strip() for line in table.splitlines()[2:]]
    measured = [float(value) for value in distances if value != "–"]
    assert measured == sorted(measured)
    assert distances[len(measured) :] == ["–"] * (len(distances) - len(measured))


def test_a_row_on_fewer_samples_says_so(tmp_path):
    infos = with_protocol("mnist", "cgan-mnist", tmp_path, samples=2000)
    _, table, counts, *_ = zoo.section("mnist", infos)
    assert counts.startswith("10,000 samples of each")
    (row,) = (line for line in table.splitlines() if "[cgan-mnist]" in line)
    assert row.startswith("| [cgan-mnist](../genhub/pretrained/cgan-mnist/README.md) (2,000 samples) |")
    assert "[projected-gan-mnist](../genhub/pretrained/projected-gan-mnist/README.md) |" in table


def with_protocol(dataset, name, folder, **changes):
    """The bundled models of a dataset, one of them with a record that says something else of its measurement."""
    infos = genhub.list_models(dataset=dataset)
    other = next(info for info in infos if info.name == name)
    copy = shutil.copytree(other.folder, folder / name)
    record = json.loads((copy / "metrics.json").read_text())
    record["protocol"] |= changes
    (copy / "metrics.json").write_text(json.dumps(record))
    return [dataclasses.replace(info, folder=copy) if info is other else info for info in infos]


def test_figures_of_another_judge_are_refused_and_the_page_is_kept(tmp_path, monkeypatch, capsys):
    changed = with_protocol("cifar10", "cgan-cifar10", tmp_path, extractor_sha256="0" * 64)
    monkeypatch.setattr(genhub, "list_models", lambda **_: changed)
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    assert zoo.main([]) == 2
    assert "measured with different protocols" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
