"""PyTorch's objects: tensors, modules, optimizers. Imported only once torch is."""
