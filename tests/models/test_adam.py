"""Our Adam takes torch's steps, and takes them at once."""

import subprocess
import sys

import torch
from torch import nn

from models.adam import Adam


def test_it_takes_the_steps_of_torch() -> None:
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs, unused = nn.Parameter(start.clone()), nn.Parameter(start.clone()), nn.Parameter(start.clone())
    our_adam = Adam([ours, unused], learning_rate=0.01)
    their_adam = torch.optim.Adam([theirs], lr=0.01)
    for step in range(20):
        our_adam.forget_gradients()
        their_adam.zero_grad()
        for parameter in (ours, theirs):
            ((parameter - step / 7) ** 3).mean().backward()
        our_adam.step()
        their_adam.step()
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert torch.equal(unused, start)
    assert not torch.equal(ours, start)


def test_tuning_imports_no_compiler() -> None:
    program = """
import sys, torch
from models.adam import Adam
from models.deepremaster.attention import SourceReferenceAttention
import models.tuning
layer = SourceReferenceAttention(8)
x = torch.rand(1, 8, 1, 4, 4)
adam = Adam(list(layer.parameters()), learning_rate=0.1)
layer(x, x).sum().backward()
adam.step()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
