"""Training in two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from quant.training.distributed import check_share, is_first, share
from sim.errors import InputError

SCRIPT = """\
import sys
from pathlib import Path
import torch
from torch import distributed, nn
from quant.convert import quantize
from quant.data.digits import DIGITS_EXPONENT, DIGITS_FORMAT, digits
from quant.training.checkpoint import save_weights
from quant.training.distributed import processes
from quant.training.loop import train
from quant.training.recipe import Recipe
torch.set_num_threads(1)
with processes():
    torch.manual_seed(0)
    data = digits()[0].first(320)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    model = quantize(net.eval(), data.images, scheme="lsq", input_format=DIGITS_FORMAT, input_exponent=DIGITS_EXPONENT)
    reports = []
    train(model, data, Recipe(epochs=2, batch=64, rate=0.05), checkpoint=Path(sys.argv[1]) / "checkpoint",
          progress=reports.append)
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    save_weights(model, Path(sys.argv[1]) / f"{rank}.safetensors", {"reports": str(len(reports))})
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


@pytest.mark.trains
@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    """By torchrun over gloo: both end with the same parameters, which are those of one process but for rounding; only
    the first one reports and writes the checkpoint."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", [sys.executable]), ("two", torchrun)):
        (tmp_path / name).mkdir()
        done = subprocess.run([*command, str(script), str(tmp_path / name)], env=environment, capture_output=True,
                              text=True, check=False, cwd=Path(__file__).parents[3])
        assert done.returncode == 0, done.stderr
    alone = load_file(tmp_path / "one" / "0.safetensors")
    first, second = (load_file(tmp_path / "two" / f"{rank}.safetensors") for rank in range(2))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4, msg=name)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        "0.safetensors", "1.safetensors", "checkpoint"]
