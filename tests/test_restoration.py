"""Pictures that are mended and things that are told by a sentence, as InstructDiffusion is asked for them."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import stemma
from stemma.cli import main
from stemma.core.samples import Classes, Info, Points, Sample
from stemma.core.types import DataError
from stemma.data.editing import asked, drawn, folders, hard, published, referred, restored
from stemma.data.editing.loading import PairLoader
from stemma.data.editing.open import is_edits, mixed, open_edits, restricted, splits
from stemma.data.editing.pairs import RESTORED, Pair, square
from stemma.data.records import DataWarning
from stemma.engine.editing import measure
from stemma.engine.editing.first import first_command
from stemma.engine.editing.show import examples
from stemma.metrics import edits as by
from stemma.papers.editing import instruct_diffusion
from stemma.parts.editing.guidance import DropEither
from stemma.skeletons.edit import EditBatch


def photo(n: int, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    """A picture of many colours."""
    y, x = np.mgrid[: size[0], : size[1]]
    rng = np.random.default_rng(n)
    picture = np.stack([127 + 100 * np.sin(x / 5 + n), 127 + 100 * np.cos(y / 4 + n), 2 * (x + y)], -1)
    return (picture + rng.normal(0, 5, picture.shape)).clip(0, 255).astype(np.uint8)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """(exit code, standard output) of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0), capsys.readouterr().out


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.mark.parametrize("kind", RESTORED)
def test_what_was_spoiled_is_worse_and_its_partner_is_the_scene(kind: str) -> None:
    data = restricted("edits:32:40", [kind], "train")
    plain = drawn.Edits(32, 40, "train")
    psnrs, words = [], set()
    for i in range(40):
        p = data.pair(i)
        assert p.kind == kind and p.instruction in restored.WORDS[kind] and p.before.dtype == np.uint8
        assert np.array_equal(p.after, plain.scene(i)[0]) and np.array_equal(data.pair(i).before, p.before)
        words.add(p.instruction)
        before, after = (x.transpose(2, 0, 1) / 255 for x in (p.before, p.after))
        psnrs.append(by.psnr(before, after))
        good = measure.scored(p, before, after, after)
        none = measure.scored(p, before, after, before)
        assert good["right"] == 1 and none["right"] == 0 and good["psnr"] == 100 and good["ssim"] == pytest.approx(1)
        assert none["ssim"] is not None and none["ssim"] < 1
    assert 12 < np.mean(psnrs) < 35 and len(words) == 10


def test_a_blur_spreads_and_keeps_the_light_and_noise_grows_with_it() -> None:
    point = np.zeros((3, 65, 65))
    point[:, 32, 32] = 1
    seen = restored.blurred(point, np.random.default_rng(0))
    assert seen.shape == point.shape and seen.sum() == pytest.approx(3) and (seen > 1e-3).sum() > 3 * 4
    y, x = np.nonzero(seen[0] > 1e-3)
    across = np.linalg.svd(np.stack([x - x.mean(), y - y.mean()]), compute_uv=False)
    assert across[0] > 3 * across[1], "along a line"
    flat = np.full((3, 200, 200), 0.1)
    rng = np.random.default_rng(1)
    dark, light = (restored.noisy(v * flat, np.random.default_rng(1)) for v in (1, 8))
    shot, read = rng.uniform(*restored.SHOT), rng.uniform(*restored.READ)
    assert np.var(dark) == pytest.approx(shot * 0.1 + read**2, rel=0.03)
    assert np.var(light) == pytest.approx(shot * 0.8 + read**2, rel=0.03)


@pytest.mark.oracle("PSNR and SSIM of scikit-image", "instruct_diffusion")
def test_signal_to_noise_and_similarity_are_scikit_images() -> None:
    a, b = (photo(n).transpose(2, 0, 1) / 255 for n in (0, 1))
    noisy = (a + np.random.default_rng(0).normal(0, 0.1, a.shape)).clip(0, 1)
    for x in (b, noisy):
        assert by.psnr(x, a) == pytest.approx(peak_signal_noise_ratio(a, x, data_range=1))
        ours = by.ssim(x, a)
        theirs = structural_similarity(x, a, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                       channel_axis=0, data_range=1)
        assert ours == pytest.approx(theirs, abs=1e-9)
    assert by.ssim(a[:, :10], a[:, :10]) is None


def test_joints_are_measured_as_coco_and_pck_do() -> None:
    before = np.full((3, 64, 64), 0.5, np.float32)
    pair = Pair(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8), "x", "encircle", np.ones((64, 64), bool),
                (32.5, 32.5), (1.0, 0.0, 0.0), radius=4 / 64, body=(20.0, 40.0, 0.079))
    from stemma.ops.edits import paint_disc
    for off in (0.0, 4.0, 7.0, 12.0):
        made = paint_disc(before, (32.5 + off, 32.5), 4.0, (1.0, 0.0, 0.0))
        said = measure.scored(pair, before, before, made)
        d = said["distance"]
        assert d is not None and d == pytest.approx(off, abs=0.1)
        # pycocotools' computeOks: vars = (2 sigma)^2, e = d^2 / vars / area / 2
        assert said["oks"] == pytest.approx(np.exp(-(d**2) / (2 * 0.079) ** 2 / 20.0**2 / 2))
        assert said["pck"] == float(d <= 0.2 * 40)


def test_cumulative_iou_counts_pixels_and_not_pictures() -> None:
    one = {"iou": 1.0, "common": 100.0, "either": 100.0}
    two = {"iou": 0.0, "common": 0.0, "either": 300.0}
    said = measure.means([("refer", one), ("refer", two), ("mark", one)])
    assert said["ciou"] == 0.4 and said["by_kind"]["refer"]["ciou"] == 0.25 and said["by_kind"]["mark"]["ciou"] == 1
    assert "common" not in said and said["iou"] == pytest.approx(2 / 3)


def test_what_is_told_by_a_side_or_a_colour_is_that_one_and_is_never_mirrored() -> None:
    data: Any = restricted("edits:32:200", ["refer"], "train")
    absent, sides = 0, set()
    for i in range(200):
        p = data.pair(i)
        assert p.mask is not None and p.colour is not None and p.sided
        colour = next(c for c in (*hard.COLOURS, "left", "right", "upper", "lower") if f" {c} {p.thing} in" in p.instruction)
        if not p.mask.any():
            absent += 1
            assert np.array_equal(p.before, p.after) and colour in hard.COLOURS
            continue
        inside = p.before[p.mask].mean(0) / 255
        if colour in hard.COLOURS:
            assert np.abs(inside - hard.COLOURS[colour]).max() < 0.2
        else:
            sides.add(colour)
            y, x = (v.mean() for v in np.nonzero(p.mask))
            others = (np.abs(p.before.astype(int) - p.before.mean((0, 1))).sum(2) > 120) & ~p.mask
            v, u = (w.mean() for w in np.nonzero(others))
            assert {"left": x < u, "right": x > u, "upper": y < v, "lower": y > v}[colour], i
    assert sides == {"left", "right", "upper", "lower"} and abs(absent / 200 - 0.2) < 3 * (0.16 / 200) ** 0.5
    from stemma.core import paper as cards

    recipe = cards.get("instruct-diffusion").recipe("small")
    m: Any = stemma.build("instruct-diffusion", "small")
    for kind, turned in (("refer", 0), ("mark", 1)):
        held = restricted("edits:16:64", [kind], "train")
        loader = PairLoader(held, recipe, m.text.tokens, EditBatch, batch=32)
        batch = loader.load(0, 0)
        straight = [torch.from_numpy(held.pair(int(i)).before).permute(2, 0, 1) / 255 for i in batch.index]
        mirrored = sum(not torch.allclose(a, b, atol=1e-3) for a, b in zip(batch.images, straight))
        assert (mirrored == 0) == (turned == 0) and mirrored < 28


class People:
    """One person with a left and a right knee of two colours."""

    split, fingerprint = "train", "people"
    info = Info("people", "test", Classes(("person",)), ("boxes", "keypoints"),
                points=Points(("left_knee", "right_knee"), flip=(1, 0), sigmas=(0.087, 0.087)))

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Sample:
        picture = np.full((60, 60, 3), 128, np.uint8)
        picture[28:33, 18:23], picture[28:33, 38:43] = (10, 10, 250), (10, 250, 10)  # right blue, left green
        points = np.array([[[40.5, 30.5, 2], [20.5, 30.5, 2]]], np.float32)
        return Sample(picture, (60, 60), np.array([[10, 10, 50, 50]], np.float32), np.zeros(1, np.int64),
                      np.zeros(1, bool), np.full(1, 1600, np.float32), keypoints=points, file=str(i), id=i)

    truth = __getitem__


def test_a_left_knee_is_the_left_one_in_every_batch_that_is_learned_from() -> None:
    """The crop may be mirrored, and then left is right; the loader, which knows of no side, mirrors it no more."""
    from stemma.core import paper as cards

    pairs = asked.Asked(People(), "train")
    first = pairs.pair(0, 3)
    assert first.body is not None and first.body[0] / first.body[1] == pytest.approx(1)
    recipe = cards.get("instruct-diffusion").recipe("paper")
    assert recipe.augment.flip == 0.5
    from dataclasses import replace
    recipe = replace(recipe, resize=replace(recipe.resize, size=64))
    told: list[list[str]] = []

    def tokens(said: Any) -> torch.Tensor:
        told.append(list(said))  # of a batch the instructions, then the pictures in words
        return torch.zeros(len(said), 1, dtype=torch.long)

    loader = PairLoader(pairs, recipe, tokens, EditBatch, batch=4)
    seen = 0
    for epoch in range(20):
        batch = loader.load(epoch, 0)
        for before, after, said in zip(batch.images, batch.after, told[-2]):
            if said.count("of the people") != 1:
                continue
            painted = (after - before).abs().sum(0) > 0.05
            green, blue = ((before[c] > 0.7) & (before[1 if c == 2 else 2] < 0.4) for c in (1, 2))
            if not (green.any() and blue.any() and painted.any()):
                continue
            middle = lambda m: torch.nonzero(m).float().mean(0)
            here = middle(painted)
            other = max((middle(v) for v in (green, blue)), key=lambda at: float((at - here).norm()))
            seen += 1  # of one who looks at us the left knee is on the right; it is turned by less than 90 degrees
            assert ("left knee" in said) == bool(here[1] > other[1]), (epoch, said)
    assert seen > 10


def test_what_is_marked_is_painted_at_the_size_at_which_the_release_paints() -> None:
    """A picture of 400 pixels is brought to 256 first, so that the edge of a mark is sharp there and no ring lies
    around it (coco_stuff.py)."""
    picture, mask = np.full((400, 400, 3), 200, np.uint8), np.zeros((400, 400), bool)
    mask[:, 150:] = True
    small, part = asked.brought(picture, mask)
    assert small.shape == (256, 256, 3) and part.shape == (256, 256) and part[:, 97:].all() and not part[:, :95].any()
    made = asked.painted(small, part, (0.0, 0.0, 1.0))
    assert len(np.unique(made.reshape(-1, 3), axis=0)) == 2
    assert asked.brought(picture[:90, :90], mask[:90, :90])[0].shape == (90, 90, 3)


def test_never_both_are_left_out() -> None:
    r = torch.linspace(0, 1, 100_001)[:-1]
    said, seen = DropEither()(r)
    assert not (said & seen).any() and float(said.float().mean()) == pytest.approx(0.075, abs=1e-4)
    assert float(seen.float().mean()) == pytest.approx(0.075, abs=1e-4)
    m: Any = stemma.build("instruct-diffusion", "small")
    assert isinstance(m.spec.drop, DropEither)


def test_each_kind_is_asked_for_by_its_own_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    m: Any = stemma.build("instruct-diffusion", "small", sets={"scales": [["mark", 7.5, 1.5]]}).eval()
    asked_with: list[Any] = []
    plain = m.edit
    monkeypatch.setattr(m, "edit", lambda images, words, **o: asked_with.append((list(words), o)) or plain(images, words, **o))
    pairs = [Pair(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 3), np.uint8), f"do {k}", k)
             for k in ("recolour", "mark", "recolour")]
    before = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    made = measure.editing(m, steps=2)(before, pairs, [0, 1, 2])
    assert [(w, o.get("text"), o.get("image")) for w, o in asked_with] == [
        (["do recolour", "do recolour"], None, None), (["do mark"], 7.5, 1.5)]
    alone = plain(before[1:2], ["do mark"], seed=[1], text=7.5, image=1.5, steps=2)
    torch.testing.assert_close(made[1:2], alone, atol=1e-5, rtol=1e-5)
    asked_with.clear()
    measure.editing(m, steps=2, text=2.0, image=None)(before, pairs, [0, 1, 2])
    assert len(asked_with) == 1, "scales that are given are everybody's"
    asked_with.clear()
    m.reader = None
    monkeypatch.setattr(measure, "untrained", lambda _: m)
    measure.evaluate(m, "edits:16:12", limit=3, steps=1, device="cpu")
    boxes = [(o.get("text"), o.get("image")) for w, o in asked_with if w[0].startswith("mark the") and len(w) > 1]
    assert len(boxes) >= 6 and set(boxes) == {(7.5, 1.5)}, "what is derived of marks is asked for as marks are"
    published = instruct_diffusion.spec().scales
    assert ("encircle", 6.0, 0.5) in published and ("mark", 7.5, 1.5) in published


LAYOUT = {"gopro": ("input", "target", "deblur"), "reds": ("blur/000", "sharp/000", "deblur"),
          "gopro as published": ("SCENE/blur", "SCENE/sharp", "deblur"), "sidd": ("input", "gt", "denoise"),
          "clwd": ("Watermarked_image", "Watermark_free_image", "watermark")}


@pytest.mark.parametrize("name", LAYOUT)
def test_folders_of_spoiled_and_sound_pictures_are_read_as_published(
        name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, kind = LAYOUT[name]
    for split, count in (("train", 44), ("test", 2)):
        for n in range(count):
            called = ("NOISY", "GT") if name == "sidd" else ("x", "x")
            sound = photo(n)
            save(tmp_path / split / after / f"{n:03d}_{called[1]}.png", sound)
            save(tmp_path / split / before / f"{n:03d}_{called[0]}.png", 255 - sound)
    (tmp_path / "train" / before / "044_x.png").write_bytes((tmp_path / "train" / before).glob("*").__next__().read_bytes())
    save(tmp_path / "train" / after / "050_GT.png", photo(50))
    save(tmp_path / "train" / before / "051_NOISY.png" if name == "sidd" else tmp_path / "train" / before / "051_GT.png",
         photo(1, (30, 30)))
    save(tmp_path / "train" / after / "051_GT.png", photo(51))
    assert is_edits(tmp_path) and splits(tmp_path) == ("train", "val", "test")
    with pytest.warns(Warning, match="3 fault"):
        train = open_edits(tmp_path, "train")
    val, test = open_edits(tmp_path, "val"), open_edits(tmp_path, "test")
    assert (len(train), len(val), len(test)) == (41, 3, 2) and train.info.kinds == (kind,) and train.kind(0) == kind
    seen = set()
    for v in range(6):
        p = train.pair(0, v)
        assert p.before.shape == p.after.shape == (40, 40, 3) and p.instruction in restored.WORDS[kind]
        assert np.array_equal(p.before, 255 - p.after)
        seen.add((p.instruction, p.after[0, 0].tobytes()))
    assert len(seen) > 3 and val.versions(0) == 1
    assert np.array_equal(val.pair(0).after, photo(0)[:, 10:50])
    code, out = run(capsys, "doctor", str(tmp_path), "--json")
    said = json.loads(out)
    assert code == 1 and said["format"] == "restoration" and said["kinds"] == [kind]
    assert said["fault_counts"] == {folders.MISSING: 2, folders.SIZES: 1, "duplicate across splits": 1}  # 000 of test
    assert (first_command(str(tmp_path)) or {})["command"].startswith("stemma train instruct-diffusion")


def test_a_noisy_picture_is_cut_and_not_shrunk() -> None:
    rng = np.random.default_rng(0)
    assert square((1000, 2000), rng, 256)[0].stop - square((1000, 2000), None, 256)[0].start >= 256
    y, x = square((1000, 2000), None, 256)
    assert (y.start, y.stop, x.start, x.stop) == (372, 628, 872, 1128)


def test_maps_beside_pictures_are_no_pictures_to_be_mended(tmp_path: Path) -> None:
    for n in range(3):
        save(tmp_path / "train" / "input" / f"{n}.png", photo(n))
        save(tmp_path / "train" / "gt" / f"{n}.png", np.repeat(np.arange(40)[:, None] // 10, 60, 1).astype(np.uint8))
    assert published.format_at(tmp_path) == "" and not is_edits(tmp_path)


def test_pictures_of_any_data_are_spoiled_and_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = "restored:scenes:48:12"
    pairs = open_edits(where, "train")
    assert len(pairs) == 36 and [pairs.kind(i) for i in range(3)] == list(RESTORED) and pairs.versions(0) == 64
    own = pairs.pair(4)
    assert own.kind == "denoise" and not np.array_equal(own.before, own.after)
    sets = {"recipe.resize.size": 16, "net.widths": (16, 32), "sampler.steps": 2, "recipe.batch": 4,
            "tasks": [["denoise", 1.0], ["deblur", 1.0]]}
    done = stemma.train("instruct-diffusion", where, "4steps", out=tmp_path / "run", sets=sets, device="cpu",
                       progress=False, val_every=0)
    found = measure.evaluate(done, where, limit=6, device="cpu")
    assert set(found["by_kind"]) == {"denoise", "deblur"} and found["copy"]["right"] == 0
    assert found["copy"]["psnr"] > found["untrained"]["psnr"]
    code, out = run(capsys, "evaluate", str(done.path), "--data", where, "--limit", "4", "--device", "cpu")
    assert code == 0 and "PSNR" in out and "SSIM" in out
    code, out = run(capsys, "doctor", where)
    assert code == 0 and "denoise" in out


@pytest.mark.slow
def test_it_learns_to_take_noise_away(tmp_path: Path, learned: Any) -> None:
    done = stemma.train("instruct-pix2pix", "edits:16", "1500steps", out=tmp_path / "run", device="cpu", progress=False,
                       precision="fp32", val_every=0, sets={"tasks": [["denoise", 1.0]]})
    found = measure.evaluate(done, "edits:16", limit=100, device="cpu", which="last")
    learned("pictures mended", found["right"], untrained=found["untrained"]["right"], at_least=0.3)


# ---------------------------------------------------------------- things told by a sentence


def refs_folder(root: Path) -> Path:
    """Two pictures of 40 x 60, two objects in each; references as gRefCOCO writes them."""
    for n in range(2):
        save(root / "images" / "train2014" / f"p{n}.jpg", photo(n))
    box = lambda x: [[x, 5, x + 10, 5, x + 10, 25, x, 25]]
    annotations = [{"id": 10 * n + k, "image_id": n, "category_id": 1, "iscrowd": 0, "segmentation": box(5 + 30 * k)}
                   for n in range(2) for k in range(2)]
    said = lambda *s: [{"sent": x, "tokens": x.split(), "sent_id": 0} for x in s]
    refs = [
        {"ref_id": 0, "image_id": 0, "ann_id": [0], "category_id": [1], "split": "train", "sentences": said("the left box", "box one")},
        {"ref_id": 1, "image_id": 0, "ann_id": [0, 1], "category_id": [1, 1], "split": "train", "sentences": said("both boxes")},
        {"ref_id": 2, "image_id": 1, "ann_id": [-1], "category_id": [-1], "split": "train", "sentences": said("a zebra")},
        {"ref_id": 3, "image_id": 1, "ann_id": 11, "category_id": 1, "split": "val", "sentences": said("right one", "that box")},
        {"ref_id": 4, "image_id": 1, "ann_id": [10], "category_id": [1], "split": "testA", "sentences": said("left")},
        {"ref_id": 5, "image_id": 1, "ann_id": [11], "category_id": [1], "split": "testB", "sentences": said("right")},
    ]
    (root / "instances.json").write_text(json.dumps({
        "images": [{"id": n, "file_name": f"p{n}.jpg", "height": 40, "width": 60} for n in range(2)],
        "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}))
    (root / "grefs(unc).json").write_text(json.dumps(refs))
    return root


def test_references_mark_what_their_sentence_speaks_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = refs_folder(tmp_path / "grefcoco")
    assert is_edits(root) and splits(root) == ("train", "val", "test")
    train, val, test = (open_edits(root, s) for s in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (3, 2, 2) and train.info.kinds == ("refer",)
    said = {train.pair(0, v).thing for v in range(12)}
    assert said == {"the left box", "box one"} and [val.pair(i).thing for i in (0, 1)] == ["right one", "that box"]
    for v in range(12):
        one, both, none = (train.pair(i, v) for i in range(3))
        assert one.before.shape == (40, 40, 3) and one.sided and "left box" in one.instruction or "box one" in one.instruction
        assert one.mask is not None and both.mask is not None and none.mask is not None
        assert np.array_equal(one.before[~one.mask], one.after[~one.mask])
        assert not none.mask.any() and np.array_equal(none.before, none.after)
        assert one.mask.any() == (not np.array_equal(one.before, one.after))
    held = val.pair(0)
    whole = np.zeros((40, 60), bool)
    whole[5:25, 35:45] = True
    assert held.mask is not None and np.array_equal(held.mask, whole[:, 10:50])
    code, out = run(capsys, "doctor", str(root))
    assert code == 0 and "refer" in out
    sets = {"recipe.resize.size": 16, "net.widths": (16, 32), "sampler.steps": 2, "recipe.batch": 2,
            "tasks": [["refer", 1.0]]}
    done = stemma.train("instruct-diffusion", str(root), "2steps", out=tmp_path / "run", sets=sets, device="cpu",
                       progress=False, val_every=0)
    found = measure.evaluate(done, str(root), device="cpu")
    assert {"iou", "ciou"} <= set(found) and found["copy"]["ciou"] == 0


@pytest.mark.parametrize("spoil, field, why", [
    (lambda r: r.update(ann_id=[77]), "ann_id", "77 is no annotation"),
    (lambda r: r.update(ann_id=[10]), "ann_id", "another picture"),
    (lambda r: r.update(ann_id=[]), "ann_id", "-1 says"),
    (lambda r: r.update(image_id=9), "image_id", "no picture"),
    (lambda r: r.update(sentences=[]), "sentences", "no sentence"),
    (lambda r: r.update(sentences=[{"sent": " "}]), "sentences", "all empty"),
    (lambda r: r.pop("split"), "split", "no text"),
])
def test_a_reference_that_makes_no_sense_is_named_and_left_out(spoil: Any, field: str, why: str, tmp_path: Path) -> None:
    root = refs_folder(tmp_path)
    refs = json.loads((root / "grefs(unc).json").read_text())
    spoil(refs[0])
    (root / "grefs(unc).json").write_text(json.dumps(refs))
    found = referred.open_referred(root, "train")
    assert len(found) == 2 and len(found.faults) == 1
    fault = found.faults[0]
    assert fault.field == field and why in fault.problem and fault.record == "entry 0"


def test_a_list_that_only_pickle_reads_is_not_opened(tmp_path: Path) -> None:
    root = refs_folder(tmp_path)
    (root / "grefs(unc).json").rename(root / "refs(unc).p")
    assert is_edits(root)
    with pytest.raises(DataError, match="pickle can run what it likes"):
        open_edits(root, "train")
    (root / "refs(a).json").write_text("[]")
    (root / "refs(b).json").write_text("[]")
    with pytest.raises(DataError, match="2 lists of references"):
        splits(root)


def test_any_folder_of_pictures_is_spoiled_and_mended(tmp_path: Path) -> None:
    """Nothing need be known of them; every twentieth is held out, of few one for each split."""
    for n in range(23):
        save(tmp_path / f"photos/day {n % 2}/{n:02}.png", np.full((24, 32, 3), 10 * n, np.uint8))
    where = f"restored:{tmp_path / 'photos'}"
    assert is_edits(where) and splits(where) == ("train", "val", "test")
    train, val, test = (open_edits(where, s) for s in ("train", "val", "test"))
    assert [len(x) // 3 for x in (train, val, test)] == [20, 2, 1]
    files = [{x.pair(i).file for i in range(len(x))} for x in (train, val, test)]
    assert files[1] == {"day 0/00.png", "day 1/17.png"} and files[2] == {"day 0/20.png"}
    assert not files[0] & (files[1] | files[2]) and len({train.fingerprint, val.fingerprint, test.fingerprint}) == 3
    assert val.pair(0).after.shape == (24, 24, 3) and val.pair(0).kind == "deblur"
    for n, counts in ((1, (1, 1, 1)), (2, (2, 2, 2)), (3, (1, 1, 1)), (11, (9, 1, 1))):
        few = tmp_path / f"few {n}"
        for k in range(n):
            save(few / f"{k:02}.png", np.zeros((8, 8, 3), np.uint8))
        assert tuple(len(open_edits(f"restored:{few}", s)) // 3 for s in ("train", "val", "test")) == counts
    with pytest.raises(DataError, match="no split 'late'"):
        open_edits(where, "late")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is an empty folder"):
        open_edits(f"restored:{tmp_path / 'empty'}")


def test_an_edit_that_cannot_be_read_is_left_out_of_what_is_measured(tmp_path: Path) -> None:
    for n in range(44):
        save(tmp_path / f"{n:02}.png", np.full((16, 16, 3), 5 * n, np.uint8))
    (tmp_path / "00.png").write_bytes(b"\x89PNG\r\n")
    val = open_edits(f"restored:{tmp_path}", "val")
    assert len(val) == 9
    with pytest.warns(DataWarning, match=r"00.png.*\(it is left out\)"):
        found = measure.measure(val, 16, measure.copying)
    assert found["edits"] == 6 and found["by_kind"]["deblur"]["psnr"] > 0
    with pytest.warns(DataWarning, match="00.png"):
        strips = examples(measure.copying, val, 16, tmp_path / "strips")
    assert strips and all((tmp_path / "strips" / s["file"]).is_file() for s in strips)


# ---------------------------------------------------------------- weights


def test_a_weight_below_one_draws_others_at_each_visit_and_one_above_repeats() -> None:
    base = drawn.Edits(16, 40, "train", kinds=("recolour",))
    few = mixed(base, (("recolour", 0.2),))
    assert len(few) == 8 and few.versions(0) == 5
    seen = {few.pair(i, v).file for i in range(8) for v in range(5)}
    assert len(seen) == 40, "every edit has its visit"
    more = mixed(base, (("recolour", 2.25),))
    assert len(more) == 90
    once = {more.pair(i).file for i in range(90)}
    assert len(once) == 40
    where = "2*edits:16:12,0.5*restored:scenes:48:10"
    both = open_edits(where, "train")
    assert len(both) == 24 + 15 and is_edits(where) and len(open_edits(where, "val")) == 12 + 3
    with pytest.raises(DataError, match="0 times"):
        open_edits("0*edits:16:12")
