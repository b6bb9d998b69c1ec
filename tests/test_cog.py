"""ImageNet-CoG: concepts and levels against NLTK and the counts of real lists, the classifier against PyTorch and
scikit-learn, and the protocol from end to end."""
from __future__ import annotations

import json
import math
import os
import pickle
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import stemma
from engine_help import carried_in_pieces
from learning import Learned
from stemma.core import interrupts
from stemma.core import paper as cards
from stemma.core.part import edit
from stemma.core.types import DataError, StemmaError
from stemma.data import drawn_concepts
from stemma.data.concepts import choose, read_counts, read_levels, read_split, read_wordnet, unpacked
from stemma.data.labelled import open_sets
from stemma.engine.transfer import course, heads, measure
from stemma.skeletons.protocol import Search
from stemma.studies import concepts as study
from stemma.studies import splitting

WORDNET = Path(os.environ.get("STEMMA_WORDNET", "/usr/share/wordnet"))
real = pytest.mark.skipif(not (WORDNET / "index.sense").is_file(),
                          reason="WordNet 3.0's files are not here (Debian: wordnet-base, wordnet-sense-index)")
TREE = {  # name -> (parents, times met)
    "entity": ((), 0), "animal": (("entity",), 3), "carnivore": (("animal",), 1), "dog": (("carnivore",), 42),
    "wolf": (("carnivore",), 4), "cat": (("carnivore",), 18), "pet": (("animal",), 2), "lapdog": (("dog", "pet"), 1),
    "artifact": (("entity",), 9), "car": (("artifact",), 71), "bicycle": (("artifact",), 5), "person": (("entity",), 30),
    "driver": (("person",), 6),
}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))


def dictionary(folder: Path) -> dict[str, str]:
    """Write TREE as WordNet's dictionary files, offsets and all; {name: concept}."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "  1 a licence\n"
    line = lambda name, at, parents: (f"{at[name]:08d} 03 n 01 {name} 0 {len(parents):03d} "  # noqa: E731
                                      + "".join(f"@ {at[p]:08d} n 0000 " for p in parents) + "| what it is  \n")
    at = dict.fromkeys(TREE, 0)
    for _ in range(2):
        begin = len(head)
        for name, (parents, _met) in TREE.items():
            at[name] = begin
            begin += len(line(name, at, parents))
    (folder / "data.noun").write_text(head + "".join(line(n, at, p) for n, (p, _) in TREE.items()))
    (folder / "index.sense").write_text("".join(f"{n}%1:03:00:: {at[n]:08d} 1 {met}\n" for n, (_, met) in TREE.items())
                                        + "run%2:38:00:: 01926311 1 106\n")
    (folder / "index.noun").write_text(head + "".join(f"{n} n 1 1 @ 1 0 {at[n]:08d}  \n" for n in TREE))
    for pos in ("verb", "adj", "adv"):
        (folder / f"data.{pos}").write_text(head)
        (folder / f"index.{pos}").write_text(head)
    for pos in ("noun", "verb", "adj", "adv"):
        (folder / f"{pos}.exc").write_text("")
    (folder / "lexnames").write_text("".join(f"{i:02d}\tnoun.x{i}\t1\n" for i in range(45)))
    return {n: f"n{v:08d}" for n, v in at.items()}


# ---------------------------------------------------------------- concepts


@pytest.mark.oracle("NLTK's lin_similarity", "imagenet_cog", how="Lin on the same counts")
def test_lins_similarity_is_nltks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    monkeypatch.setattr(nltk.data, "path", [*nltk.data.path, str(tmp_path)])  # it reads from folders that it knows alone
    ident = dictionary(tmp_path / "corpora" / "wordnet")
    graph = read_wordnet(tmp_path / "corpora" / "wordnet")
    assert len(graph) == len(TREE) and graph.names[ident["dog"]] == "dog" and graph.counts[ident["dog"]] == 42
    content = graph.content("counts", 1.0)
    theirs = WordNetCorpusReader(str(tmp_path / "corpora" / "wordnet"), None)
    total = sum(met + 1 for _, met in TREE.values())
    mass: dict[int, float] = defaultdict(float)
    for name in TREE:
        for above in graph.ancestors[ident[name]]:
            mass[int(above[1:])] += TREE[name][1] + 1
    mass[0] = total
    for a in TREE:
        for b in TREE:
            if a == b:
                continue
            one, other = (theirs.synset_from_pos_and_offset("n", int(ident[x][1:])) for x in (a, b))
            if "entity" in (a, b):
                continue  # 0 / 0 there
            said = one.lin_similarity(other, {"n": mass})
            assert graph.lin(ident[a], ident[b], content) == pytest.approx(said, abs=1e-9), (a, b)


def test_similarity_and_information_are_what_they_must(tmp_path: Path) -> None:
    ident = dictionary(tmp_path / "wn")
    graph = read_wordnet(tmp_path / "wn")
    every = list(graph.parents)
    for by in ("counts", "descendants"):
        content = graph.content(by)
        near = graph.nearness(every, every, content)
        assert np.allclose(near, near.T) and np.allclose(np.diag(near), 1) and near.min() >= 0 and near.max() <= 1 + 1e-12
        assert near[every.index(ident["dog"]), every.index(ident["car"])] == 0  # only the root is common
        slow = [[graph.lin(a, b, content) for b in every] for a in every]
        np.testing.assert_allclose(near, slow, atol=1e-12)
        assert all(content[p] <= content[c] + 1e-12 for c, ps in graph.parents.items() for p in ps)
        assert content[ident["entity"]] == pytest.approx(0)
    # a lapdog is met as a dog and as a pet, and once as an animal
    plain = graph.content("counts", 0.0)
    animals = sum(TREE[n][1] for n in ("animal", "carnivore", "dog", "wolf", "cat", "pet", "lapdog"))
    assert plain[ident["animal"]] == pytest.approx(-math.log(animals / sum(m for _, m in TREE.values())))
    more = graph.nearness(every, [ident["cat"], ident["car"]], content).max(1)
    assert (more >= graph.nearness(every, [ident["cat"]], content).max(1)).all()


def test_a_selection_leaves_out_what_was_seen_what_is_above_it_and_persons(tmp_path: Path) -> None:
    ident = dictionary(tmp_path / "wn")
    graph = read_wordnet(tmp_path / "wn")
    found = choose(graph, [*graph.parents, "n99999999"], [ident["cat"]], graph.content(), levels=2,
                   without=ident["person"])
    assert [n for _, n in found.steps] == [14, 13, 12, 9, 7]
    chosen = [graph.names[c] for level in found.levels for c in level]
    assert set(chosen[:3]) <= {"wolf", "dog", "lapdog", "pet"} and {"car", "bicycle"} <= set(chosen[4:])
    means = found.means()
    assert means[0] > means[1] and len(found.levels[0]) + len(found.levels[1]) == 7
    with pytest.raises(DataError, match="leaves 0 concepts"):
        choose(graph, [ident["cat"]], [ident["cat"]], graph.content())


def test_concepts_with_few_pictures_are_left_out_and_counts_tell_information(tmp_path: Path) -> None:
    """732 pictures to learn from and 50 to measure on, as the authors' loader asks."""
    ident = dictionary(tmp_path / "wn")
    graph = read_wordnet(tmp_path / "wn")
    file, pool = tmp_path / "pictures.txt", tmp_path / "pool.txt"
    file.write_text("".join(f"{ident[n]} {k}\n" for n, k in (("dog", 782), ("wolf", 781), ("car", 1300), ("pet", 9000))))
    counts = read_counts(file)
    assert counts[ident["wolf"]] == 781
    found = choose(graph, graph.parents, [ident["cat"]], graph.content(), levels=2, without=ident["person"],
                   pictures=counts)
    assert found.steps[-1] == ("of 782 pictures or more", 3)
    assert {graph.names[c] for level in found.levels for c in level} == {"dog", "car", "pet"}
    pool.write_text("\n".join(ident[n] for n in ("dog", "car", "pet", "bicycle", "wolf")))
    (tmp_path / "seen.txt").write_text(ident["cat"])
    asked = {"pool": pool, "seen": tmp_path / "seen.txt", "pictures": file}
    said = study.selected(tmp_path / "wn", content="pictures", least=0, **asked)
    content = replace(graph, counts=counts).content("counts")
    assert said.scores[ident["dog"]] == pytest.approx(graph.lin(ident["dog"], ident["cat"], content))
    with pytest.raises(StemmaError, match="--pictures"):
        study.selected(tmp_path / "wn", content="pictures", pool=pool, seen=tmp_path / "seen.txt")
    file.write_text("dog many\n")
    with pytest.raises(DataError, match="n02084071 1603"):
        read_counts(file)


def test_features_that_the_authors_code_extracted_are_carried_over(tmp_path: Path) -> None:
    """extract_features.py: {"X": float32 (N, D), "Y": long (N,), "name"} a split."""
    rng = np.random.default_rng(0)
    y = {s: np.repeat([4, 7, 9], n) for s, n in (("train", 20), ("test", 8))}
    x = {s: (rng.normal(0, 0.3, (len(v), 6)) + np.eye(6)[v % 6]).astype(np.float32) for s, v in y.items()}
    for s in y:
        (tmp_path / "cog_l5" / f"features_{s}").mkdir(parents=True)
        torch.save({"X": torch.from_numpy(x[s]), "Y": torch.from_numpy(y[s]), "name": "cog_l5"},
                   tmp_path / "cog_l5" / f"features_{s}" / "X_Y.pth")
    (one,) = open_sets(tmp_path / "cog_l5")
    assert one.name == "cog_l5" and one.features == 6 and one.classes == ("4", "7", "9")
    assert {s: len(p) for s, p in one.parts.items()} == {"train": 48, "val": 12, "test": 24}
    np.testing.assert_array_equal(one.parts["test"].read(9), x["test"][9])
    run = course.train("imagenet-cog", str(tmp_path / "cog_l5"), "3steps", "small", tmp_path / "run", 0, {
        "probe.trials": 2, "probe.epochs": 20, "probe.shots": (1,), "source": None}, progress=False, device="cpu")
    assert measure.evaluate(run, device="cpu")["accuracy"] > 0.8
    assert run.load("last").heads[0].in_features == 6
    with pytest.raises(StemmaError, match="extracted before"):
        measure.predict(run, np.zeros((32, 32, 3), np.uint8), device="cpu")
    np.savez(tmp_path / "rows.npz", x_train=x["train"], y_train=y["train"], x_test=x["test"], y_test=y["test"])
    other = course.train("imagenet-transfer", f"{tmp_path / 'rows.npz'},{tmp_path / 'cog_l5'}", "3steps", "small",
                         tmp_path / "other", 0, {"probe.count": 3, "source": None}, progress=False, device="cpu")
    found = measure.evaluate(other, device="cpu")["sets"]
    assert found["rows"]["value"] == found["cog_l5"]["value"] > 0.8

    class Runs:
        def __reduce__(self) -> Any:
            return print, ("never",)

    torch.save({"X": Runs()}, tmp_path / "cog_l5" / "features_test" / "X_Y.pth")
    with pytest.raises(DataError, match="no tensors X and Y"):
        open_sets(tmp_path / "cog_l5")


@real
@pytest.mark.parametrize(("by", "agg", "means"), [
    ("counts", "max", (0.850, 0.717, 0.613, 0.490, 0.280)), ("counts", "mean", (0.197, 0.179, 0.160, 0.113, 0.071)),
    ("descendants", "max", (0.852, 0.717, 0.610, 0.472, 0.245)),
])
def test_golden_levels_of_wordnet(by: str, agg: str, means: tuple[float, ...]) -> None:
    found = study.selected(WORDNET, agg=agg, content=by)
    assert [n for _, n in found.steps] == [10_450, 10_450, 9_459, 8_853, 8_753]
    np.testing.assert_allclose(found.means(), means, atol=0.002)
    if (by, agg) == ("counts", "max"):
        low = [min(found.scores[c] for c in level) for level in found.levels]
        np.testing.assert_allclose(low, (0.766, 0.668, 0.570, 0.358, 0.060), atol=0.002)


@real
def test_golden_similarities_and_the_larger_pool() -> None:
    import timm

    graph = read_wordnet(WORDNET)
    assert len(graph) == 82_115
    content, of = graph.content("counts", 0.0), {v: k for k, v in graph.names.items() if k in (
        "n02084071", "n02121620", "n02114100", "n02129165", "n02958343", "n02834778")}
    for a, b, value in (("dog", "cat", 0.8822), ("dog", "wolf", 0.8062), ("cat", "lion", 0.8518),
                        ("car", "bicycle", 0.7301)):
        assert graph.lin(of[a], of[b], content) == pytest.approx(value, abs=5e-5)
    info = Path(timm.__file__).parent / "data" / "_info"
    found = study.selected(WORDNET, info / "imagenet21k_goog_synsets.txt", size=1000)
    assert [n for _, n in found.steps][:3] == [21_843, 21_843, 20_844], "999 of the thousand are among them"
    assert found.steps[-1][1] == 17_255 and [len(level) for level in found.levels] == [1000] * 5
    eligible = [c for level in study.selected(WORDNET).levels for c in level]
    above = frozenset().union(*(graph.ancestors[c] - {c} for c in eligible))
    assert (len(eligible), len(set(eligible) - above)) == (8_753, 7_310)


def test_the_study_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ident = dictionary(tmp_path / "wn")
    (tmp_path / "pool.txt").write_text("\n".join(ident.values()))
    (tmp_path / "seen.txt").write_text(ident["bicycle"])
    study.main([str(tmp_path / "wn"), "--pool", str(tmp_path / "pool.txt"), "--seen", str(tmp_path / "seen.txt"),
                "--out", str(tmp_path / "levels.json")])
    said = capsys.readouterr().out
    assert "13  in the pool" in said and "L5" in said and len(read_levels(tmp_path / "levels.json")) == 5
    (tmp_path / "wn" / "data.noun").write_text("00000000 no dictionary\n")
    with pytest.raises(SystemExit) as stop:
        interrupts.command(lambda: study.main([str(tmp_path / "wn")]))
    assert stop.value.code == 2 and "line 1" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "change", "why"), [
    ("data.noun", lambda s: s.replace("entity 0 000 |", "entity 0 001 @ 00000053 n 0000 |"), "kind of itself"),
    ("index.sense", lambda s: s + "dog%1:03:00:: 02086723 1 42\n", "n02086723, which data.noun does not hold"),
    ("seen.txt", lambda s: "n02086723", "not in .*WordNet 3.0"), ("seen.txt", lambda s: "\n", "holds no concept"),
    ("pool.txt", lambda s: "", "0 concepts for 5 levels"), ("data.noun", lambda s: s + "\n", "record line 15"),
    ("index.sense", lambda s: "dog%1:03:00:: 00000015 1 -3\n", "record line 1"), ("data.noun", lambda s: "", "names nothing"),
])
def test_dictionaries_of_another_kind_get_one_line(tmp_path: Path, file: str, change: Any, why: str) -> None:
    ident = dictionary(tmp_path)
    (tmp_path / "pool.txt").write_text("\n".join(ident.values()))
    (tmp_path / "seen.txt").write_text(ident["bicycle"])
    before = (tmp_path / file).read_text()
    (tmp_path / file).write_text(change(before).replace("00000053", ident["animal"][1:]))
    assert change(before) != before
    with pytest.raises(StemmaError, match=why) as said:
        study.selected(tmp_path, tmp_path / "pool.txt", tmp_path / "seen.txt")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_released_files_are_read_and_nothing_in_them_is_run(tmp_path: Path, protocol: int) -> None:
    levels = [[f"n{i:08d}" for i in range(k * 300, k * 300 + 300)] for k in range(5)]
    split = {c: {"train": [f"{c}_{i}.JPEG" for i in range(3)], "test": [f"{c}_9.JPEG"]} for c in levels[0][:4]}
    for name, said in (("levels", levels), ("split", split)):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(said, protocol))
        (tmp_path / f"{name}.json").write_text(json.dumps(said))
    for kind in ("pkl", "json"):
        assert read_levels(tmp_path / f"levels.{kind}") == levels and read_split(tmp_path / f"split.{kind}") == split
    mixed = {"a": (1, 2.5, None, True), "b": [(), (1,), (1, 2), "é" * 300], 3: -(2**40)}
    assert unpacked(pickle.dumps(mixed, protocol)) == mixed

    class Evil:
        def __reduce__(self) -> Any:
            return (os.system, ("touch " + str(tmp_path / "run"),))

    held = {"n1": {"train": np.array(["n1/a.JPEG", "n1/bé.JPEG"]), "test": np.array(["x", "yy"], object)},
            "n2": np.arange(6, dtype=np.int64).reshape(2, 3), "n3": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "n4": np.array([], "U3"), "n5": np.array([b"a", b"bc"])}  # the release's names are arrays
    said = unpacked(pickle.dumps(held, protocol))
    assert said == {"n1": {k: v.tolist() for k, v in held["n1"].items()},
                    **{k: held[k].tolist() for k in ("n2", "n3", "n4", "n5")}}

    class Odd:
        def __reduce__(self) -> Any:
            return (np.dtype, ("O8",), {"shape": 1})

    for bad in ([Evil()], [np.zeros(3, "M8[s]")], [np.float64], [Odd()], np.random.default_rng, {"a": {1, 2}} if protocol > 3 else [Evil()]):
        with pytest.raises(DataError, match="more than lists"):
            unpacked(pickle.dumps(bad, protocol))
    with pytest.raises(DataError, match="more than lists"):
        unpacked(pickle.dumps(mixed, protocol)[:-30])
    assert not (tmp_path / "run").exists()
    (tmp_path / "levels.json").write_text('[["a", "b"], ["b"]]')
    with pytest.raises(DataError, match="two levels"):
        read_levels(tmp_path / "levels.json")
    for said in ([], {}, [[]], [[1]], ["a"]):
        (tmp_path / "levels.json").write_text(json.dumps(said))
        with pytest.raises(DataError, match="no list of lists"):
            read_levels(tmp_path / "levels.json")
    for halves in (3, {"train": ["a"]}, {"train": 3, "test": 4}, {"train": "a", "test": "b"}):
        (tmp_path / "split.json").write_text(json.dumps({"n1": halves}))
        with pytest.raises(DataError, match="no object of concepts"):
            read_split(tmp_path / "split.json")


def test_levels_in_a_folder_are_data_sets(tmp_path: Path) -> None:
    from PIL import Image

    levels = [["n00000009", "n00000002"], ["n00000005", "n00000007"]]
    split: dict[str, dict[str, list[str]]] = {}
    for c in (c for level in levels for c in level):
        (tmp_path / c).mkdir()
        for i in range(8):
            Image.new("RGB", (20, 16), (int(c[-1]) * 20, i * 9, 0)).save(tmp_path / c / f"{c}_{i}.png")
        split[c] = {"train": [f"{c}_{i}.png" for i in range(6)], "test": [f"{c}_{i}.png" for i in (6, 7)]}
    (tmp_path / "levels.json").write_text(json.dumps(levels))
    one, other = open_sets(f"levels:{tmp_path}")
    assert (one.name, one.classes) == ("L1", ("n00000002", "n00000009")) and other.classes[0] == "n00000005"
    (tmp_path / "levels.json").write_text(json.dumps([levels[0], levels[1][:1]]))
    with pytest.raises(DataError, match="L2: has labels of 1 class"):
        open_sets(f"levels:{tmp_path}")
    (tmp_path / "levels.json").write_text(json.dumps(levels))
    (tmp_path / "split.pkl").write_bytes(pickle.dumps(split))
    one, _ = open_sets(f"levels:{tmp_path}")
    assert {s: len(p) for s, p in one.parts.items()} == {"train": 10, "val": 2, "test": 4}
    assert one.parts["test"].labels.tolist() == [0, 0, 1, 1]  # by rank of the name
    assert one.parts["test"].read(0)[0, 0].tolist() == [40, 54, 0]
    # as released: names of arrays, which begin with their concept, and files by other names
    (tmp_path / "split.pkl").unlink()
    (tmp_path / "levels.json").unlink()
    (tmp_path / "cog_levels_mapping_file.pkl").write_bytes(pickle.dumps(levels))
    arrays = {c: {s: np.array([f"{c}/{n}" for n in names]) for s, names in of.items()} for c, of in split.items()}
    (tmp_path / "cog_concepts_split_file.pkl").write_bytes(pickle.dumps(arrays))
    again, _ = open_sets(f"levels:{tmp_path}")
    assert {s: p.digest for s, p in again.parts.items()} == {s: p.digest for s, p in one.parts.items()}
    (tmp_path / "n00000009" / "n00000009_7.png").unlink()
    with pytest.warns(UserWarning, match="1 of 4 pictures of L1, test"):
        fewer, _ = open_sets(f"levels:{tmp_path}")
    assert fewer.parts["test"].labels.tolist() == [0, 0, 1]
    (tmp_path / "cog_concepts_split_file.pkl").unlink()
    (tmp_path / "cog_levels_mapping_file.pkl").unlink()
    (tmp_path / "levels.json").write_text(json.dumps(levels))
    del split["n00000005"]
    (tmp_path / "split.pkl").write_bytes(pickle.dumps(split))
    with pytest.raises(DataError, match="n00000005"):
        open_sets(f"levels:{tmp_path}")
    with pytest.raises(DataError, match="levels.json"):
        open_sets(f"levels:{tmp_path / 'n00000002'}")


def test_drawn_concepts_lie_as_far_as_their_level_says() -> None:
    found = drawn_concepts.levels()
    means = found.means()
    assert len(found.levels) == 5 and all(len(x) == 12 for x in found.levels) and means == sorted(means, reverse=True)
    graph, seen = drawn_concepts.graph(), set(drawn_concepts.seen())
    above = {a for c in seen for a in graph.ancestors[c]}
    assert len(seen) == 48 and not seen & set(found.scores)
    shared = [np.mean([len(graph.ancestors[c] & above) for c in level]) for level in found.levels]
    assert shared == sorted(shared, reverse=True) and shared[0] >= 4 and shared[4] == 1
    assert [s.name for s in open_sets("drawn:levels")] == ["seen", "L1", "L2", "L3", "L4", "L5"]


# ---------------------------------------------------------------- the classifier


def rows(seed: int = 0, n: int = 240, d: int = 16, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d))
    return torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1), torch.from_numpy(y)


@pytest.mark.oracle("torch's SGD", "imagenet_cog", how="weights after the same batches")
def test_descent_is_torchs_sgd_with_decay_on_the_bias() -> None:
    x, y = rows()
    how = Search(epochs=4, batch=100)
    weight, bias = heads.descend(x, y, 4, 0.7, 1e-2, how, seed=3)
    g = torch.Generator().manual_seed(3)
    layer = torch.nn.Linear(16, 4)
    with torch.no_grad():
        layer.weight.uniform_(-0.25, 0.25, generator=g), layer.bias.uniform_(-0.25, 0.25, generator=g)  # as it begins
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.7, momentum=0.9, weight_decay=1e-2)
    for epoch in range(4):
        order = torch.randperm(len(x), generator=g)
        optimizer.param_groups[0]["lr"] = 0.7 * heads.rate_of(epoch, 4, "cog")
        for i in range(0, len(x), 100):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[order[i : i + 100]]), y[order[i : i + 100]]).backward()
            optimizer.step()
    torch.testing.assert_close(weight, layer.weight.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(bias, layer.bias.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.oracle("scikit-learn's LogisticRegression", "imagenet_cog", how="accuracy of the tuned classifier")
def test_a_tuned_classifier_is_as_good_as_scikit_learns() -> None:
    """Within a point at the same decay, on 960 rows that were not learned from."""
    x, y = rows(1, 1440)
    weight, bias = heads.descend(x[:480], y[:480], 4, 10.0, 1e-3, Search(), seed=0)
    ours = ((x[480:] @ weight.mT + bias).argmax(1) == y[480:]).float().mean()
    theirs = LogisticRegression(C=1 / (480 * 1e-3), max_iter=5000).fit(x[:480].numpy(), y[:480].numpy())
    assert float(ours) == pytest.approx(theirs.score(x[480:].numpy(), y[480:].numpy()), abs=0.01)


@pytest.mark.oracle("torch's CosineAnnealingLR", "imagenet_cog", how="the rate of every epoch")
def test_the_rate_falls_as_torchs_or_an_epoch_later() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    theirs = []
    for _ in range(100):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step(), schedule.step()
    assert [heads.rate_of(e, 100, "cosine") for e in range(100)] == pytest.approx(theirs)
    assert [heads.rate_of(e, 100, "cog") for e in range(100)] == pytest.approx([1.0, *theirs[:-1]])


def test_few_and_held_out_pictures_are_as_many_as_they_say() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), (40, 40, 8, 3, 1)))
    keep, off = heads.held_out(labels, 0.2, 1)
    assert not set(keep) & set(off) and len(keep) + len(off) == len(labels)
    assert np.bincount(labels[off], minlength=5).tolist() == [8, 8, 1, 1, 0]
    for each in (1, 2, 4):
        some = heads.shots(labels[:], each, 7)
        assert np.bincount(labels[some]).tolist() == [each, each, each, min(each, 3), 1]
        assert np.array_equal(some, heads.shots(labels, each, 7)) and len(set(some)) == len(some)
    assert len(heads.shots(labels, 0, 7)) == len(labels)
    assert heads.fewer(Search(), labels) == (1, 2, 4, 8, 16, 32)  # 64 a class are all of them


def test_few_pictures_of_classes_that_go_together() -> None:
    """Rows of several classes each: at least so many of every class, all of a rare one, no row twice."""
    labels = np.zeros((40, 3), np.int64)
    labels[:30, 0], labels[20:, 1], labels[38:, 2] = 1, 1, 1
    some = heads.shots(labels, 4, 7)
    assert len(set(some)) == len(some) <= 4 + 4 + 2 and some.max() < 40 and {38, 39} <= set(some.tolist())
    assert (labels[some].sum(0) >= (4, 4, 2)).all()
    assert heads.fewer(Search(), labels) == (1, 2, 4, 8, 16)


def test_a_search_asks_the_same_however_often_it_is_begun() -> None:
    how, done = Search(), list[dict[str, Any]]()
    for _ in range(14):
        lr, decay = heads.asked(done, how, 5)
        assert (lr, decay) == heads.asked(list(done), how, 5)
        assert 0.1 <= lr <= 100 and 1e-12 <= decay <= 1e-4
        done.append({"lr": lr, "decay": decay, "val": -abs(math.log10(lr) - 1.0)})
    assert heads.asked(done, how, 6) != heads.asked(done, how, 5)
    late = [heads.asked([*done, {"lr": 10.0 + k, "decay": 1e-8, "val": -0.01 * k}], how, k)[0] for k in range(20)]
    assert np.std(np.log10(late)) < 0.6 and 2 < np.median(late) < 50  # it looks where it was good


def test_the_published_protocol() -> None:
    p: Any = cards.get("imagenet-cog").spec("paper")
    assert (p.probe.trials, p.probe.epochs, p.probe.batch, p.probe.momentum, p.probe.held) == (30, 100, 1024, 0.9, 0.2)
    assert p.probe.shots == (1, 2, 4, 8, 16, 32, 64, 128) and p.probe.lrs == (0.1, 100.0) and p.probe.decays == (1e-12, 1e-4)
    assert not p.grids and p.look.size == 224
    with pytest.raises(ValueError, match="'probe.shots' must be 1 or more, not 0"):
        edit(p, "probe.shots", "0,4")


# ---------------------------------------------------------------- from end to end

SETS: dict[str, Any] = {"network.name": "tiny-4", "recipe.batch": 16, "probe.trials": 3, "probe.epochs": 10,
                        "probe.shots": "1,4"}
HOW: dict[str, Any] = {"preset": "small", "device": "cpu", "progress": False}


def test_a_search_that_is_killed_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_of(out: Path) -> Any:
        return stemma.train("imagenet-cog", "drawn:L1,drawn:L5", "3steps", out=out, sets=SETS, resume=True, **HOW)

    alone = run_of(tmp_path / "alone")
    pieces = carried_in_pieces(lambda: run_of(tmp_path / "pieces"), (3, 6, 11), monkeypatch)
    assert alone.record["results"] == pieces.record["results"]
    assert all(torch.equal(v, load_file(pieces.path / "last.safetensors")[k])
               for k, v in load_file(alone.path / "last.safetensors").items())
    for s in alone.record["results"]["sets"]:
        assert [len(x["path"]) for x in (s, *s["grids"].values())] == [3, 3, 3]
        assert [x["pictures"] for x in (s["linear"], *s["grids"].values())] == [600, 12, 48]
        assert s["linear"]["top5"] >= s["linear"]["test"]
        assert s["linear"]["val"] == max(p["val"] for p in s["path"])
    said = stemma.evaluate(alone)
    for s in alone.record["results"]["sets"]:
        assert said["sets"][s["name"]]["value"] == pytest.approx(s["linear"]["test"], abs=0.005)


def test_without_optuna_the_search_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StemmaError, match=r"stemma-vision\[transfer\]"):
        heads.asked([], Search(), 0)


def test_validation_inside_the_few_asks_for_no_other_pictures(tmp_path: Path) -> None:
    run = stemma.train("imagenet-cog", "drawn:L1", "2steps", out=tmp_path / "run",
                       sets=SETS | {"probe.inside": "yes"}, **HOW)
    (s,) = run.record["results"]["sets"]
    assert [x["pictures"] for x in s["grids"].values()] == [12, 36]  # of four a class one is held out


def test_near_concepts_are_told_better_than_far_ones(tmp_path: Path, learned: Learned) -> None:
    """A network that has learned the seen concepts: its errors on the nearest level, beside those of random weights and
    of the farthest level; and more pictures help: from one a class to four to sixteen over all levels, and all beside
    one in each level but the farthest, which it hardly tells. All are not better than sixteen here: .735 and .737."""
    run = stemma.train("imagenet-cog", "drawn:levels", "60steps", out=tmp_path / "run",
                       sets={"probe.trials": 6, "probe.epochs": 30, "probe.shots": "1,4,16", "network.name": "tiny-8"}, **HOW)
    from stemma.engine.transfer.measure import untrained

    found = {s["name"]: s for s in run.record["results"]["sets"]}
    m: Any = run.load()
    error = {n: 1 - s["linear"]["test"] for n, s in found.items()}
    random = 1 - untrained(m, open_sets("drawn:L1"), 0)["L1"]
    learned("errors, L1", error["L1"], untrained=random, at_most=0.9 * random)
    assert random > error["L1"] + 0.15
    assert error["L5"] > error["L1"] + 0.1
    mean = lambda key: np.mean([s["grids"][key]["test"] for n, s in found.items() if n != "seen"])  # noqa: E731
    assert mean("1 a class") + 0.02 < mean("4 a class") < mean("16 a class")
    assert all(found[n]["grids"]["1 a class"]["test"] < found[n]["linear"]["test"] for n in ("L1", "L2", "L3", "L4"))


@pytest.mark.whole
def test_digits_that_were_not_learned_are_told_by_frozen_features(tmp_path: Path) -> None:
    """Real pictures, five digits learned and the five others told: .95 or more by what was learned, .85 by random
    weights. Of so simple pictures the second are as good, so nothing is said of what learning brings."""
    pictures, digit = load_digits(return_X_y=True)
    pictures = (pictures.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)
    for name, own in (("seen", digit < 5), ("unseen", digit >= 5)):
        np.savez(tmp_path / f"{name}.npz", x=pictures[own], y=digit[own])
    run = stemma.train("imagenet-transfer", str(tmp_path / "unseen.npz"), "3steps", out=tmp_path / "run", sets={
        "network.name": "tiny-64", "source.data": str(tmp_path / "seen.npz"), "grids": "", "probe.count": 12}, **HOW)
    assert run.record["results"]["source"]["test"] > 0.8
    assert run.record["results"]["sets"][0]["linear"]["test"] > 0.95
    assert measure.untrained(run.load(), open_sets(str(tmp_path / "unseen.npz")), 5)["unseen"] > 0.85


@pytest.mark.whole
def test_a_comparison_by_levels_to_the_last_page(tmp_path: Path) -> None:
    sets = {k: v for k, v in SETS.items() if k != "network.name"}
    done = stemma.compare(["imagenet-cog@tiny-2", "imagenet-cog@tiny-4"], "drawn:L1,drawn:L3,drawn:L5", "2steps",
                          out=tmp_path / "c", device="cpu", sets=sets, jobs=2)
    assert not done.failed and list(done.results["ways"]) == ["linear", "1 a class", "4 a class"]
    page = (tmp_path / "c" / "report.html").read_text()
    assert "Over the data sets in order" in page and "1: L1, 2: L3, 3: L5" in page and "tiny-4" in page
    one, other = (next(s for s in done.results["systems"] if s["title"].endswith(f"tiny-{k}")) for k in (2, 4))
    table = done.results["ways"]["linear"]["table"]
    a, b = (table[done.results["systems"].index(s)][2] for s in (one, other))
    assert f"{100 * (b - a):+.1f} points" in page and f"and {one['title']}, which was named first" in page
    assert f"{100 * (a / one['top1'] - 1):+.0f} %" in page


# ---------------------------------------------------------------- splitting a class


@pytest.mark.whole
def test_the_study_of_splitting_pairs_its_arms_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                        capsys: pytest.CaptureFixture[str]) -> None:
    seen, a, near = splitting.kinds()
    assert len(near) == 12 and not set(near) & set(seen) and {splitting.coarse(c) for c in near} == {a}
    leaves = np.arange(len(seen)).repeat(5)
    rng = np.random.default_rng(0)
    labels = {arm: splitting.labels_of(arm, leaves, seen, rng) for arm in splitting.ARMS}
    assert [len(np.unique(v)) for v in labels.values()] == [16, 18, 18]
    merged = {arm: np.where(v >= 16, a, v) for arm, v in labels.items()}
    assert all(np.array_equal(v, merged["coarse"]) for v in merged.values())  # the arms differ in A alone
    parts = [{seen[i].split(", ")[2] for i in leaves[(labels["real"] == k)]} for k in (a, 16, 17)]
    assert all(len(p) == 1 for p in parts) and len({seen[i].split(", ")[2] for i in leaves[labels["chance"] == 16]}) > 1
    splitting.main(["--seeds", "1", "--steps", "2", "--width", "2", "--out", str(tmp_path)])
    calls: list[int] = []
    real_once = splitting.once
    monkeypatch.setattr(splitting, "once", lambda seed, *more: calls.append(seed) or real_once(seed, *more))
    record = splitting.study(tmp_path, 2, 2, 2)
    assert calls == [1] and len(record["runs"]) == 2 and len(record["gains"]) == 9
    g = record["gains"][0]
    assert g["gain"] == pytest.approx(np.mean([r["real"]["B"]["1"] - r["coarse"]["B"]["1"] for r in record["runs"]]))
    assert g["low"] <= g["gain"] <= g["high"]
    assert "over 1 seed." in capsys.readouterr().out and "<svg" in (tmp_path / "splitting.html").read_text()
