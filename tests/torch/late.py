"""Helpers for tests of deferred restores: a small network, its training, the saved values."""

from __future__ import annotations

import torch
from torch import nn

import checkpointable as cp


def write(tmp_path, **objects) -> str:
    return cp.Checkpoint(**objects).write(tmp_path / "ckpt")


def mlp(count: int = 3) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(count)))


def equal(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def trained(net: nn.Module, **options) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(net.parameters(), **options)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    optimizer.zero_grad()
    loss = net(torch.ones(1, 2)).square().sum()
    loss.backward()
    optimizer.step()
    return loss
