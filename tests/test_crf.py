"""The dense CRF: its exact form, its lattice, the authors' library, gradients, and the search for its settings."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from stemma.core.types import StemmaError
from stemma.data.scenes import Scenes
from stemma.ops.crf import mean_field
from stemma.ops.lattice import Lattice, elevate
from stemma.parts.maps.post import DenseCRF, mean_iou, search


def scene(size: int, seed: int = 3, noise: float = 0.5,
          blur: float = 4.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(energies C H W, colours 3 H W in 0..255, true labels H W): a drawn scene and what a coarse,
    unsure net would say of it."""
    s = Scenes(1, size=size, seed=seed)[0]
    assert s.image is not None and s.semantic is not None
    names, labels = np.unique(s.semantic, return_inverse=True)
    truth = labels.reshape(s.semantic.shape)
    one = np.eye(len(names))[truth].transpose(2, 0, 1)
    rng = np.random.default_rng(0)
    logits = 4 * np.stack([ndimage.gaussian_filter(o, blur) for o in one]) + noise * rng.normal(size=one.shape)
    return (-torch.from_numpy(logits).float().log_softmax(0), torch.from_numpy(s.image.copy()).permute(2, 0, 1).float(),
            torch.from_numpy(truth))


def theirs(energy: torch.Tensor, colours: torch.Tensor, iterations: int = 10) -> np.ndarray:
    densecrf = pytest.importorskip("pydensecrf.densecrf",
                                   reason="the authors' library was not asked: pip install pydensecrf2")
    c, h, w = energy.shape
    crf = densecrf.DenseCRF2D(w, h, c)
    crf.setUnaryEnergy(np.ascontiguousarray(energy.reshape(c, -1).numpy()))
    crf.addPairwiseGaussian(sxy=1, compat=3)
    crf.addPairwiseBilateral(sxy=67, srgb=3,
                             rgbim=np.ascontiguousarray(colours.permute(1, 2, 0).numpy().astype(np.uint8)), compat=4)
    return np.array(crf.inference(iterations)).reshape(c, h, w)


@pytest.mark.parametrize(("size", "seed"), [(64, 3), (160, 5)])
@pytest.mark.oracle("pydensecrf", "deeplab",
                    how="the label of 99.9 % of pixels or more, probabilities to 1e-4 in the mean")
def test_the_lattice_gives_the_numbers_of_the_authors_library(size: int, seed: int) -> None:
    energy, colours, truth = scene(size, seed)
    want = theirs(energy, colours)
    got = mean_field(energy[None], colours[None])[0].numpy()
    assert (got.argmax(0) == want.argmax(0)).mean() >= 0.999
    assert np.abs(got - want).mean() < 1e-4
    assert (got.argmax(0) == truth.numpy()).mean() > (energy.argmin(0) == truth).double().mean()


def test_the_exact_form_is_near_the_authors_library_where_the_net_is_sure() -> None:
    """Naive mean field, pixel itself included, kernels normalised on both sides: the labels agree, and nearly all
    probabilities to .06."""
    for seed in range(3):
        energy, colours, _ = (v[..., :44, :44].contiguous() for v in scene(64, seed, 0.1, blur=1.0))
        want, got = theirs(energy, colours), mean_field(energy[None], colours[None], method="exact")[0].numpy()
        assert (got.argmax(0) == want.argmax(0)).mean() >= 0.999
        assert np.quantile(np.abs(got - want), 0.999) <= 0.06


def test_the_exact_form_is_near_the_lattice() -> None:
    """What the lattice approximates moves few labels: where two are nearly as likely,
    ten steps may carry either through."""
    agree = []
    for seed in range(3):
        energy, colours, _ = (v[..., :44, :44] for v in scene(64, seed, 0.1))
        both = [mean_field(energy[None], colours[None], method=m)[0].argmax(0) for m in ("exact", "lattice")]
        agree.append((both[0] == both[1]).double().mean().item())
    assert np.mean(agree) >= 0.995


def slow(energy: torch.Tensor, colours: torch.Tensor, iterations: int, w1: float, a: float, b: float, w2: float,
         g: float) -> torch.Tensor:
    """Mean field pair by pair, from the equations."""
    c, h, w = energy.shape
    at = [(y, x) for y in range(h) for x in range(w)]
    k1, k2 = torch.zeros(h * w, h * w, dtype=torch.float64), torch.zeros(h * w, h * w, dtype=torch.float64)
    seen = colours.numpy()
    for i, (y, x) in enumerate(at):
        for j, (v, u) in enumerate(at):
            far, unlike = (y - v) ** 2 + (x - u) ** 2, ((seen[:, y, x].astype(float) - seen[:, v, u]) ** 2).sum()
            k1[i, j], k2[i, j] = np.exp(-far / (2 * a * a) - unlike / (2 * b * b)), np.exp(-far / (2 * g * g))
    for k in (k1, k2):
        n = k.sum(1).rsqrt()
        k *= n[:, None] * n[None]
    unary = energy.double().reshape(c, -1)
    q = (-unary).softmax(0)
    for _ in range(iterations):
        q = (-unary + w1 * q @ k1 + w2 * q @ k2).softmax(0)
    return q.view(c, h, w)


@pytest.mark.oracle("the equations in loops", "deeplab")
def test_the_exact_form_is_the_equations() -> None:
    g = torch.Generator().manual_seed(1)
    energy, colours = torch.rand(3, 4, 5, generator=g) * 2, torch.rand(3, 4, 5, generator=g) * 40
    got = mean_field(energy[None].double(), colours[None], 4, 2.0, 1.5, 3.0, 5.0, 12.0, "exact")[0]
    torch.testing.assert_close(got, slow(energy, colours, 4, 3.0, 5.0, 12.0, 2.0, 1.5), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["lattice", "exact"])
def test_no_iterations_or_no_weight_leave_the_labels(method: Any) -> None:
    energy, colours, _ = (v[..., :40, :40] for v in scene(64))
    for how in ({"iterations": 0}, {"smooth": 0.0, "appearance": 0.0}):
        torch.testing.assert_close(mean_field(energy[None], colours[None], method=method,
                                              **how)[0], (-energy).softmax(0))


@pytest.mark.parametrize("method", ["lattice", "exact"])
def test_it_is_differentiable_in_the_energies_and_the_weights(method: Any) -> None:
    g = torch.Generator().manual_seed(2)
    energy = (torch.rand(1, 3, 5, 4, generator=g, dtype=torch.float64) * 2).requires_grad_()
    colours = torch.rand(1, 3, 5, 4, generator=g, dtype=torch.float64) * 20
    w1, w2 = torch.tensor(2.0, dtype=torch.float64, requires_grad=True), torch.tensor(1.5, dtype=torch.float64,
                                                                                      requires_grad=True)
    assert torch.autograd.gradcheck(lambda e, a, b: mean_field(e, colours, 3, b, 1.0, a, 3.0, 10.0, method),
                                    (energy, w1, w2))


def test_the_exact_form_is_differentiable_in_the_colours() -> None:
    g = torch.Generator().manual_seed(2)
    energy, colours = (torch.rand(1, 2, 3, 3, generator=g, dtype=torch.float64),
                       (torch.rand(1, 3, 3, 3, generator=g, dtype=torch.float64) * 9).requires_grad_())
    assert torch.autograd.gradcheck(lambda c: mean_field(energy, c, 2, 1.0, 1.0, 2.0, 3.0, 10.0, "exact"), (colours,))


def test_pictures_of_a_batch_do_not_see_each_other_nor_what_is_outside() -> None:
    energy, colours, _ = scene(64)
    other, theirs_, _ = scene(64, 4)
    most = min(len(energy), len(other))
    e, c = torch.stack([energy[:most], other[:most]]), torch.stack([colours, theirs_])
    where = torch.ones(2, 64, 64, dtype=torch.bool)
    where[1, 40:] = where[1, :, 50:] = False
    both = mean_field(e, c, 5, where=where)
    torch.testing.assert_close(both[0], mean_field(e[:1], c[:1], 5)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both[1, :, :40, :50], mean_field(e[1:, :, :40, :50], c[1:, :, :40, :50], 5)[0],
                               rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both[1, :, 40:], (-e[1, :, 40:]).softmax(0))


def test_the_lattice_is_a_gaussian_filter() -> None:
    """Weights of every point sum to 1, elevated points lie in the plane,
    and smooth values are filtered as by every pair."""
    g = torch.Generator().manual_seed(0)
    points = torch.rand(1500, 3, generator=g, dtype=torch.float64) * 4
    lattice = Lattice(points)
    torch.testing.assert_close(lattice.weight.sum(1), torch.ones(1500, dtype=torch.float64))
    assert (lattice.weight >= -1e-9).all() and elevate(points).sum(1).abs().max() < 1e-9
    ones = torch.ones(1500, 1, dtype=torch.float64)
    k = torch.exp(-0.5 * torch.cdist(points, points) ** 2)
    value = points.sin()
    got, want = lattice(value) / lattice(ones), k @ value / (k @ ones)
    assert (got - want).abs().mean() < 0.02 and (got - want).abs().max() < 0.1
    with pytest.raises(StemmaError, match="too small"):
        Lattice(points * 1e9)


def test_too_many_pixels_for_every_pair_are_refused() -> None:
    with pytest.raises(StemmaError, match="20,000"):
        mean_field(torch.zeros(1, 2, 200, 200), torch.zeros(1, 3, 200, 200), method="exact")


def test_the_search_finds_settings_that_help() -> None:
    energy, colours, truth = scene(64, noise=1.0)
    scored = [((-energy[None]).softmax(1), colours[None] / 255, truth[None])]
    none = mean_iou(DenseCRF(iterations=0), scored)
    grid = {"appearance": (0.0, 2.0, 4.0), "appearance_rgb": (1.0, 3.0, 13.0, 100.0)}
    best, value = search(DenseCRF(iterations=3), scored, grid)
    every = [mean_iou(DenseCRF(iterations=3, appearance=a, appearance_rgb=b), scored) for a in grid["appearance"]
             for b in grid["appearance_rgb"]]
    assert value == mean_iou(best, scored) > none and value >= np.median(every)
