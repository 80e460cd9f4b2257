"""Adapters of PyTorch: tensors, modules, optimizers. Imported only after `torch`."""
