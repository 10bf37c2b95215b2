"""Training in two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from quant.training.distributed import check_share, is_first, share
from sim.errors import InputError

ROOT = Path(__file__).parents[3]
SCRIPT = """\
import os
import sys
from pathlib import Path
import torch
from torch import nn
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.training.checkpoint import save_weights
from quant.training.distributed import processes
from quant.training.loop import train
from quant.training.recipe import Recipe
torch.set_num_threads(1)

def trained(checkpoint=None, progress=None):
    torch.manual_seed(0)
    data = digits()[0].first(128)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    model = quantize(net.eval(), data.images, scheme="lsq", input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    train(model, data, Recipe(epochs=2, batch=32, rate=0.05), checkpoint=checkpoint, progress=progress)
    return model

rank, folder = os.environ["RANK"], Path(sys.argv[1])
if rank == "0":
    save_weights(trained(), folder / "alone.safetensors")
reports = []
with processes():
    save_weights(trained(folder / "checkpoint", reports.append), folder / f"{rank}.safetensors")
(folder / f"{rank}.reports").write_text(str(len(reports)))
"""


def test_one_process_is_the_first_and_takes_all() -> None:
    """Without torchrun nothing is shared."""
    batch = torch.arange(7)
    assert is_first()
    assert torch.equal(share(batch), batch)
    check_share(7)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_take_disjoint_shares(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """Together they take every image of a batch, each as many as the others."""
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: processes)
    batch, taken = torch.arange(100, 112), []
    for rank in range(processes):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        assert is_first() == (rank == 0)
        taken.append(share(batch))
    assert {len(part) for part in taken} == {12 // processes}
    assert torch.cat(taken).sort().values.tolist() == batch.tolist()


def test_batches_must_be_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd batch cannot be shared by two."""
    monkeypatch.setattr("quant.training.distributed.count", lambda: 2)
    check_share(8)
    with pytest.raises(InputError, match=r"^the batch must be a multiple of the 2 processes, not 7$"):
        check_share(7)


def started(script: Path, folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes that know each other by the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    return [subprocess.Popen([sys.executable, str(script), str(folder)], env=os.environ | common | {"RANK": str(rank)},
                             stderr=subprocess.PIPE, text=True, cwd=ROOT) for rank in range(2)]


@pytest.mark.nightly
@pytest.mark.trains
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    """Over gloo: both end with the same parameters, which are those of one process but for rounding; only the first
    one reports and writes the checkpoint."""
    script, folder = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    folder.mkdir()
    running = started(script, folder)
    try:
        for process in running:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    finally:
        for process in running:
            process.kill()
    alone, first, second = (load_file(folder / f"{name}.safetensors") for name in ("alone", "0", "1"))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4, msg=name)
    assert [(folder / f"{rank}.reports").read_text() for rank in range(2)] == ["2", "0"]
    assert (folder / "checkpoint").exists()
