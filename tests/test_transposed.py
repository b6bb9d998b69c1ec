"""A transposed convolution whose bias learns by a plain sum, against torch's own."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemma.parts.transposed import Transposed


def learned(net: nn.Module, x: Tensor) -> list[Tensor]:
    y = F.relu(net(x), inplace=True)
    y.square().mean().backward()
    assert x.grad is not None
    return [y.detach(), x.grad, *(p.grad for p in net.parameters() if p.grad is not None)]


@pytest.mark.parametrize("settings", [(2, 2), (4, 2, 1), (4, 2, 1, 0, 2)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_answers_and_gradients_are_torchs(settings: tuple[int, ...], memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = nn.ConvTranspose2d(8, 4, *settings).to(memory_format=memory)
    ours = Transposed(8, 4, *settings).to(memory_format=memory)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(3, 8, 5, 7).to(memory_format=memory)
    both = [learned(net, x.clone().requires_grad_()) for net in (plain, ours)]
    assert len(both[0]) == len(both[1]) == 4 and all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*both))
    with torch.no_grad():
        assert torch.equal(plain(x), ours(x))


def test_a_bias_that_sleeps_learns_nothing_and_a_narrow_one_is_given_its_own_type() -> None:
    net = Transposed(8, 4, 2, 2)
    assert net.bias is not None
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net(x).float().sum().backward()
    assert net.bias.grad is not None and net.bias.grad.dtype == torch.float32
    assert torch.allclose(net.bias.grad, torch.full((4,), 200.0))
    still = Transposed(8, 4, 2, 2).requires_grad_(False)
    still(x).sum().backward()
    assert all(p.grad is None for p in still.parameters())
