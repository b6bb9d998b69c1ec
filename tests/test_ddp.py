"""Two processes that share a batch (gloo, as `torchrun` starts them) learn what one process learns from the whole of
it."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

import stemma
from engine_help import ROOT, SETS, scenes, short
from stemma.core.types import StemmaError
from stemma.engine.pictures.fit import train
from stemma.engine.running import checkpoint
from stemma.engine.running.runs import Run
from stemma.ops.scalars import across_ranks, alone, normaliser

WORKER = """
import sys, json
from pathlib import Path
from test_ddp import once
import torch.distributed as dist
for paper in sys.argv[2:]:
    once(Path(sys.argv[1]) / paper, paper)
from stemma.ops.scalars import across_ranks, alone, normaliser
import torch
rank = dist.get_rank()
said = {'mean': float(across_ranks(torch.tensor(1.0 + rank))), 'floor': float(normaliser(torch.tensor(0.0)))}
with alone():
    said['alone'] = float(across_ranks(torch.tensor(1.0 + rank)))
Path(sys.argv[1], f'said{rank}.json').write_text(json.dumps(said))
dist.barrier()
dist.destroy_process_group()
"""
PAPERS = ("retinanet", "ssd", "fcn")  # without random samplers, which draw other candidates from other slices


def _frozen(self: nn.BatchNorm2d, mode: bool = True) -> nn.Module:
    return nn.Module.train(self, False)


def once(folder: Path, paper: str) -> Run:
    """Four steps of eight pictures with SGD, losses logged at each; batch-norm's statistics frozen, for each rank would
    have those of its slice."""
    torch.set_num_threads(1)
    sets = SETS | {"recipe.optimizer": "sgd", "recipe.lr": 1e-3, "recipe.warmup": 0.0, "recipe.ema": 0.9}
    with mock.patch.object(nn.BatchNorm2d, "train", _frozen):
        return train(paper, scenes(16), "4steps", out=folder, sets=sets, val=scenes(2, "val"), batch=8, device="cpu",
                     progress=False, val_every=0, log_every=1)


def _torchrun(code: str, *args: str, processes: int = 2) -> list[str]:
    """What each process said on stdout and stderr."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started = []
    for rank in range(processes):
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "GROUP_RANK": "0",
            "TORCHELASTIC_RUN_ID": "test", "GLOO_SOCKET_IFNAME": "lo",
        }
        started.append(subprocess.Popen([sys.executable, "-c", code, *args], env=env, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True))
    said = []
    for p in started:
        out, _ = p.communicate(timeout=900)
        assert p.returncode == 0, out
        said.append(out)
    return said


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    names = list(PAPERS)
    _torchrun(WORKER, str(tmp_path), *names)
    for name in names:
        two, one = Run.open(tmp_path / name), once(tmp_path / f"{name}-one", name)
        assert two.record["processes"] == 2 and two.state == "finished"
        for a, b in zip(two.metrics("train"), one.metrics("train"), strict=True):
            assert a["images"] == b["images"]
            for k in b["losses"]:
                assert a["losses"][k] == pytest.approx(b["losses"][k], rel=2e-4), (name, a["step"], k)
        weights = [checkpoint.read_tensors(r.last)[0] for r in (two, one)]
        assert all(torch.allclose(weights[0][k], v, rtol=1e-3, atol=1e-5) for k, v in weights[1]
                   .items() if v.is_floating_point())
    for rank in range(2):
        said = json.loads((tmp_path / f"said{rank}.json").read_text())
        assert said == {"mean": 1.5, "floor": 0.5, "alone": 1.0 + rank}
    assert checkpoint.read_meta(tmp_path / names[0] / "state.safetensors")["world"] == 2


EVALUATE = """
import json, sys
from pathlib import Path
import stemma
from engine_help import scenes
from stemma.cli import main
folder = Path(sys.argv[1])
said = stemma.evaluate(folder / 'run', scenes(7, 'val'), batch=2, device='cpu', precision='fp32', losses=True,
                       out=folder / 'found.json', progress=True)
(folder / f'said{__import__("os").environ["RANK"]}.json').write_text(json.dumps(said))
main(['evaluate', str(folder / 'run'), '--data', 'scenes:64:24', '--split', 'val', '--json'])
"""


@pytest.mark.slow
def test_two_processes_evaluate_as_one(tmp_path: Path) -> None:
    """Seven pictures in batches of two: each counts once, in both answers and in the file; one process speaks."""
    run = short(tmp_path / "run", "4steps")
    alone = stemma.evaluate(run, scenes(7, "val"), batch=2, device="cpu", precision="fp32", losses=True,
                            out=tmp_path / "one.json")
    spoken = _torchrun(EVALUATE, str(tmp_path))
    told = [json.loads((tmp_path / f"said{rank}.json").read_text()) for rank in range(2)]
    assert told[0] == told[1] and told[0]["images"] == 7
    apart = ("images_per_second", "timed_by", "predictions")
    assert {k: v for k, v in told[0].items() if k not in apart} == {k: v for k, v in alone.items() if k not in apart}
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads((tmp_path / "one.json").read_text())
    assert [s.count('"images":') for s in spoken] == [1, 0]


def test_one_process_needs_nobody() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    assert across_ranks(x) == 3 and not across_ranks(x).requires_grad
    assert normaliser(torch.tensor(0.25)) == 1 and normaliser(torch.tensor(0.0), floor=0.5) == 0.5
    with alone():
        assert across_ranks(x) == 3


def test_normalisers_compile_in_one_graph() -> None:
    f = torch.compile(lambda x: x.sum() / normaliser(x.detach().sum()), fullgraph=True, backend="eager")
    assert f(torch.full((4,), 2.0)) == 1.0


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from stemma.engine.pictures import fit

    class Two:
        world_size, is_global_zero = 2, True

    monkeypatch.setattr(fit, "make_fabric", lambda *a, **k: Two())
    with pytest.raises(StemmaError, match="2 processes x 1 parts"):
        train("retinanet", scenes(4), "1steps", out=tmp_path / "run", batch=3, progress=False)
