"""DreamerV3's definitions beside two other libraries', where they agree, and where they do not. Both are large, and are
not asked for by any extra: what is said here was run with sheeprl 0.8.4 and torchrl 0.14.1, installed apart
(`pip install --no-deps --target FOLDER sheeprl==0.8.4 torchrl==0.14.1 tensordict==0.14.3 pyvers orjson lightning
python-dotenv hydra-core omegaconf antlr4-python3-runtime==4.9.3`), and `STEMMA_DREAMERS=FOLDER pytest` asks for it."""
from __future__ import annotations

import os
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from stemma.core.part import In
from stemma.parts.worlds.acting import Scale, lambda_returns
from stemma.parts.worlds.latents import Categorical
from stemma.parts.worlds.nets import symexp, symlog
from stemma.parts.worlds.normed import TwoHotHead, bins_of, two_hot

pytestmark = pytest.mark.given("STEMMA_DREAMERS")
WIDE = torch.cat([torch.logspace(-4, 5, 40), -torch.logspace(-4, 5, 40), torch.zeros(1)])


@pytest.fixture(scope="module")
def sheeprl() -> Any:
    sys.path.append(os.environ["STEMMA_DREAMERS"])
    from sheeprl.algos.dreamer_v3 import utils
    from sheeprl.utils import distribution
    from sheeprl.utils import utils as common

    return utils, distribution, common


@pytest.fixture(scope="module")
def torchrl() -> Any:
    sys.path.append(os.environ["STEMMA_DREAMERS"])
    from torchrl.modules.value_norm import PercentileValueNorm
    from torchrl.objectives import dreamer_v3

    return dreamer_v3, PercentileValueNorm


class Gathered:
    """What sheeprl's return scale asks of its fabric."""

    def all_gather(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.oracle("symlog, symexp", "dreamerv3", how="sheeprl 0.8.4, torchrl 0.14.1")
def test_symlog_is_theirs(sheeprl: Any, torchrl: Any) -> None:
    for theirs in (sheeprl[2], torchrl[0]):
        torch.testing.assert_close(symlog(WIDE), theirs.symlog(WIDE), rtol=1e-3, atol=1e-7)
        small = WIDE[WIDE.abs() < 10]
        torch.testing.assert_close(symexp(small), theirs.symexp(small), rtol=1e-3, atol=1e-7)
    zero = torch.zeros(1, requires_grad=True)  # torchrl alone has the slope of 1 there that the function has
    assert torch.autograd.grad(torchrl[0].symlog(zero).sum(), zero)[0] == 1
    assert torch.autograd.grad(symlog(zero).sum(), zero)[0] == 0


@pytest.mark.oracle("two-hot, first version", "dreamerv3", how="sheeprl 0.8.4")
def test_two_hot_of_the_first_version_is_sheeprls(sheeprl: Any) -> None:
    head = TwoHotHead(In((5,), (1,)), units=8, curved=False)
    said = torch.randn(len(WIDE), 255)
    theirs = sheeprl[1].TwoHotEncodingDistribution(said, dims=1)
    torch.testing.assert_close(head.mean(said), theirs.mean[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.loss(said, WIDE), -theirs.log_prob(WIDE[:, None]), rtol=1e-4, atol=1e-4)
    curved = TwoHotHead(In((5,), (1,)), units=8)  # the second version's bins are none of it
    assert (curved.mean(said) - theirs.mean[:, 0]).abs().max() > 1


@pytest.mark.oracle("two-hot, second version", "dreamerv3", how="torchrl 0.14.1")
def test_two_hot_of_the_second_version_is_torchrls(torchrl: Any) -> None:
    d, bins = torchrl[0], bins_of()
    torch.testing.assert_close(bins, d._default_bins())
    torch.testing.assert_close(two_hot(WIDE, bins), d._two_hot_encode(WIDE, bins), atol=1e-5, rtol=1e-5)
    head, said = TwoHotHead(In((5,), (1,)), units=8), torch.randn(len(WIDE), 255)
    torch.testing.assert_close(head.mean(said), d._two_hot_decode(said, bins), rtol=1e-4, atol=1e3)
    near = torch.where((bins.abs() < 1e4), said, -50.0)
    torch.testing.assert_close(head.mean(near), d._two_hot_decode(near, bins), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(head.loss(said, WIDE), d.two_hot_cross_entropy(said, WIDE, bins), rtol=1e-4, atol=1e-4)
    assert d._two_hot_decode(torch.zeros(1, 255), bins) == head.mean(torch.zeros(1, 255)) == 0


@pytest.mark.oracle("scale of returns", "dreamerv3", how="sheeprl 0.8.4, torchrl 0.14.1")
def test_the_scale_of_returns_is_theirs(sheeprl: Any, torchrl: Any) -> None:
    ours, moments, norm = Scale(), sheeprl[0].Moments(max_=1.0), torchrl[1](shape=1)
    for i in range(40):
        returns = torch.randn(7, 15, generator=torch.Generator().manual_seed(i)) * 30 + i
        scale = ours(returns)
        low, span = moments(returns, Gathered())
        norm.update(returns.flatten()[:, None])
        torch.testing.assert_close(scale, span)
        torch.testing.assert_close(scale, norm.scale().squeeze())
        torch.testing.assert_close(low, ours.low)
    assert scale > 1
    # sheeprl's class by itself divides by what is next to nothing; its configuration says 1
    assert sheeprl[0].Moments()(torch.zeros(3, 4), Gathered())[1] < 1e-6 and Scale()(torch.zeros(3, 4)) == 1


@pytest.mark.oracle("lambda-returns", "dreamerv3", how="sheeprl 0.8.4, torchrl 0.14.1")
def test_lambda_returns_are_theirs(sheeprl: Any, torchrl: Any) -> None:
    g = torch.Generator().manual_seed(0)
    reward, value, going = (torch.randn(6, 16, generator=g) for _ in range(3))
    going = going.sigmoid()
    ours = lambda_returns(reward, going, value, 0.95)
    theirs = sheeprl[0].compute_lambda_values(*(x.mT[1:, :, None] for x in (reward, value, going)), lmbda=0.95)
    torch.testing.assert_close(ours, theirs[..., 0].mT)
    loss: Any = torchrl[0].DreamerV3ActorLoss.lambda_target
    from types import SimpleNamespace

    own = SimpleNamespace(value_estimator=SimpleNamespace(gamma=torch.tensor(1.0), lmbda=torch.tensor(0.95)))
    one = lambda x: x[:, 1:, None]
    torch.testing.assert_close(ours, loss(own, one(reward), one(value), one(going))[..., 0])


@pytest.mark.oracle("divergence", "dreamerv3", how="sheeprl 0.8.4, torchrl 0.14.1")
def test_the_split_divergence_is_theirs_but_for_what_is_free(sheeprl: Any, torchrl: Any) -> None:
    """They pay max(KL, 1), ours what is beyond 1: another number and the same slope."""
    from sheeprl.algos.dreamer_v3.loss import categorical_kl

    latent = Categorical(4, 6)
    q, p = (torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    ours = latent.kl(*(latent.stats(x.flatten(-2)) for x in (q, p)))
    torch.testing.assert_close(ours, categorical_kl(*(latent.stats(x.flatten(-2))["logits"] for x in (q, p))))
    dyn, rep = torchrl[0].categorical_kl_terms(q, p, free_nats=1.0, unimix=0.01)
    beyond = (ours - 1).clamp(min=0).mean()
    torch.testing.assert_close(dyn, beyond + 1)
    torch.testing.assert_close(rep, beyond + 1)
