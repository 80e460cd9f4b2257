"""Trains a small GPT on the letters of a text, and resumes where it was stopped.

    python examples/gpt.py                  # 60 steps; a checkpoint every 20
    python examples/gpt.py --steps 120      # resumes at step 60
    python examples/gpt.py --steps 140 --layers 3     # one layer more: the others resume

One call names all state that the program needs to resume: the model, its optimizer with the moments
of every weight, the schedule, the random state that draws the batches, and the step. Stop it at any
time (Ctrl-C, a crash, kill -9) and start it again: it ends as if it had never been stopped. Needs
PyTorch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

import checkpointable as cp

# William Blake, The Tyger, 1794.
TEXT = """\
Tyger Tyger, burning bright,
In the forests of the night;
What immortal hand or eye,
Could frame thy fearful symmetry?

In what distant deeps or skies,
Burnt the fire of thine eyes?
On what wings dare he aspire?
What the hand, dare seize the fire?

And what shoulder, & what art,
Could twist the sinews of thy heart?
And when thy heart began to beat,
What dread hand? & what dread feet?

What the hammer? what the chain,
In what furnace was thy brain?
What the anvil? what dread grasp,
Dare its deadly terrors clasp!

When the stars threw down their spears
And water'd heaven with their tears:
Did he smile his work to see?
Did he who made the Lamb make thee?

Tyger Tyger burning bright,
In the forests of the night:
What immortal hand or eye,
Dare frame thy fearful symmetry?
"""
LETTERS = sorted(set(TEXT))
DATA = torch.tensor([LETTERS.index(letter) for letter in TEXT])
WIDTH, HEADS, CONTEXT, BATCH = 32, 4, 32, 16


class Block(nn.Module):
    """Attention to earlier letters, then two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.dense = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[1]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, normed, attn_mask=future, need_weights=False)[0]
        return x + self.dense(self.norms[1](x))


class GPT(nn.Module):
    """Predicts the next letter; the embedding is tied to the output layer."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(LETTERS), bias=False)
        nn.init.normal_(self.letters.weight, std=0.05)
        self.head.weight = self.letters.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.letters(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(self.norm(x))
        return logits


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns random parts of the text, and the letters that follow, both (BATCH, CONTEXT)."""
    starts = torch.randint(len(DATA) - CONTEXT, (BATCH,))
    stretches = torch.stack([DATA[start : start + CONTEXT + 1] for start in starts])
    return stretches[:, :-1], stretches[:, 1:]


def main() -> None:
    """Trains from the latest checkpoint to `--steps`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--every", type=int, default=20, help="steps between two checkpoints")
    parser.add_argument("--directory", type=Path, default=Path("runs/gpt"))
    options = parser.parse_args()

    torch.manual_seed(0)
    model = GPT(options.layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 20))
    progress = cp.JSONState(step=0)

    checkpoint = cp.Checkpoint(
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        progress=progress,
        rng=cp.torch.RandomState(),
    )
    status = checkpoint.restore(cp.latest_checkpoint(options.directory))
    if isinstance(status, cp.CheckpointLoadStatus):
        print(f"goes on from step {progress['step']}")
        new = [entry.path for entry in status.report() if entry.outcome.value != "restored"]
        if new:
            print(f"new since the checkpoint: {len(new)} values, {new[0]} the first")

    while progress["step"] < options.steps:
        inputs, targets = batch()
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress["step"] += 1
        if progress["step"] % options.every == 0:
            checkpoint.save(options.directory / "ckpt")
            print(f"step {progress['step']:4}  loss {loss:.6f}  saved")


if __name__ == "__main__":
    main()
