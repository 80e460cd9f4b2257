"""Training runs that are continued in another process: `python -m tests.torch.cases DIR`.

Every case is built from its name alone, so that two processes build the same program.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import checkpointable as cp

BEFORE, AFTER = 3, 3  # steps before the save, and after it

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {"lr_decay": 0.1},
    "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.1},
    "Adamax": {},
    "ASGD": {"t0": 2},
    "LBFGS": {"max_iter": 3, "history_size": 4, "line_search_fn": "strong_wolfe"},
    "Muon": {"lr": 0.01},
    "NAdam": {"decoupled_weight_decay": True},
    "RAdam": {},
    "RMSprop": {"centered": True, "momentum": 0.5},
    "Rprop": {},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "SparseAdam": {},
}
NO_FOREACH = {"LBFGS", "Muon", "SparseAdam"}
FUSED = {"Adagrad", "Adam", "AdamW", "SGD"}
SCHEDULERS = {
    "none": lambda _: None,
    "multistep": lambda opt: schedulers.MultiStepLR(opt, [1, 4], gamma=0.5),
    "sequential": lambda opt: schedulers.SequentialLR(
        opt, [schedulers.LinearLR(opt, 0.5), schedulers.ExponentialLR(opt, 0.8)], [2]
    ),
}


class Case(NamedTuple):
    """A run by its name: optimizer, scheduler, variant."""

    optimizer: str
    scheduler: str
    variant: str

    def __str__(self) -> str:
        return "-".join(self)


def cases() -> list[Case]:
    combined = []
    for name in OPTIMIZERS:
        variants = ["eager"]
        variants += [] if name in NO_FOREACH else ["foreach", "maximize"]
        variants += [] if name in NO_FOREACH | {"Adafactor"} else ["differentiable"]
        variants += ["fused"] if name in FUSED else []
        for variant in variants:
            used = SCHEDULERS if variant in {"eager", "foreach", "fused"} else ["multistep"]
            combined += [Case(name, scheduler, variant) for scheduler in used]
    combined.append(Case("Adam", "none", "tensor_lr"))
    combined.append(Case("SGD", "multistep", "bfloat16"))
    return combined


class Net(nn.Module):
    def __init__(self, *, sparse: bool, bias: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4, sparse=sparse)
        self.hidden = nn.Linear(4, 3, bias=bias)
        self.out = nn.Linear(3, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.dropout(self.hidden(self.embedding(x)).tanh(), 0.2)
        return self.out(hidden).square().mean()


class Run:
    """One program: model, optimizer, scheduler and random state."""

    def __init__(self, case: Case, seed: int) -> None:
        torch.manual_seed(seed)
        sparse = case.optimizer == "SparseAdam"
        self.net = Net(sparse=sparse, bias=case.optimizer != "Muon")
        if case.variant == "bfloat16":
            self.net.bfloat16()
        trained = [self.net.embedding] if sparse else [self.net]
        parameters = [p for module in trained for p in module.parameters()]
        options = dict(OPTIMIZERS[case.optimizer])
        if case.variant == "eager" and case.optimizer not in NO_FOREACH:
            options["foreach"] = False
        elif case.variant in {"foreach", "fused", "maximize", "differentiable"}:
            options[case.variant] = True
        elif case.variant == "tensor_lr":
            options["lr"] = torch.tensor(0.01 if seed == 0 else 0.5)
        self.differentiable = case.variant == "differentiable"
        self.optimizer = getattr(torch.optim, case.optimizer)(parameters, **options)
        self.scheduler = SCHEDULERS[case.scheduler](self.optimizer)
        objects = {"net": self.net, "optimizer": self.optimizer, "rng": cp.torch.RandomState()}
        if self.scheduler is not None:
            objects["scheduler"] = self.scheduler
        self.checkpoint = cp.Checkpoint(**objects)

    def train(self, steps: int) -> list[torch.Tensor]:
        losses = []
        for _ in range(steps):
            x = torch.randint(7, (5, 3))

            def closure(x: torch.Tensor = x) -> torch.Tensor:
                self.optimizer.zero_grad()
                loss = self.net(x)
                loss.backward()
                return loss

            if self.differentiable:
                # A step that autograd follows cannot change leaves that require a gradient.
                for parameter in self.net.requires_grad_(False).parameters():
                    parameter.grad = torch.randn_like(parameter)
                loss = self.net(x)
                self.optimizer.step()
            else:
                loss = self.optimizer.step(closure)
            losses.append(loss.detach())
            if self.scheduler is not None:
                self.scheduler.step()
        return losses

    def outcome(self, losses: list[torch.Tensor]) -> dict[str, Any]:
        return {
            "losses": losses,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler and self.scheduler.state_dict(),
            "random": torch.get_rng_state(),
        }


def main(directory: Path) -> None:
    """Continues every case and writes what came of it."""
    outcomes = {}
    for case in cases():
        run = Run(case, seed=1)
        run.checkpoint.restore(directory / f"{case}-1").assert_consumed()
        outcomes[str(case)] = run.outcome(run.train(AFTER))
    torch.save(outcomes, directory / "outcomes.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
