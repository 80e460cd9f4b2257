"""Small configurations of real models, with random weights: `python -m tests.torch.models DIR`
continues their checkpoints in a process of its own."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

import checkpointable as cp

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

SMALL = {"vocab_size": 40}
TEXT = torch.tensor([[5, 3, 8, 1], [2, 9, 4, 7]])

MODELS: dict[str, Any] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=8, n_layer=3, n_head=2, n_positions=8, **SMALL)
    ),
    "bert": lambda: transformers.BertForMaskedLM(
        transformers.BertConfig(
            hidden_size=8,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
            **SMALL,
        )
    ),
    "vit": lambda: transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=8,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=8,
            patch_size=4,
        )
    ),
    "llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=8,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=16,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            **SMALL,
        )
    ),
    "t5": lambda: transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            d_model=8,
            d_kv=4,
            d_ff=16,
            num_layers=3,
            num_heads=2,
            pad_token_id=0,
            decoder_start_token_id=0,
            **SMALL,
        )
    ),
}


class Program:
    """A model and its optimizer."""

    def __init__(self, name: str, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.name = name
        self.model = MODELS[name]()
        self.optimize(self.model.parameters())

    def optimize(self, parameters: Any) -> None:
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-3)
        self.checkpoint = cp.Checkpoint(
            model=self.model, optimizer=self.optimizer, rng=cp.torch.RandomState()
        )

    def layers(self) -> nn.ModuleList:
        """The list of layers, that of the encoder where there are two."""
        return next(m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m) == 3)

    def new_layer(self) -> nn.Module:
        """A layer more, like the last one."""
        other = Program(self.name, seed=99)
        return other.layers()[2]

    def train(self, steps: int) -> list[torch.Tensor]:
        losses = []
        for _ in range(steps):
            if self.name == "vit":
                inputs = {"pixel_values": torch.randn(2, 3, 8, 8), "labels": torch.tensor([0, 1])}
            else:
                inputs = {"input_ids": TEXT, "labels": TEXT}
            self.optimizer.zero_grad()
            loss = self.model(**inputs).loss
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return losses


def main(directory: Path) -> None:
    """Restores every model and trains it two steps further."""
    outcomes = {}
    for name in MODELS:
        program = Program(name, seed=5)
        program.checkpoint.read(directory / name).assert_consumed()
        before = {key: tensor.clone() for key, tensor in program.model.state_dict().items()}
        losses = program.train(2)
        after = dict(program.model.state_dict())
        outcomes[name] = {"before": before, "losses": losses, "after": after}
    torch.save(outcomes, directory / "continued.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
