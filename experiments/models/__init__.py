"""Networks, as Flax NNX modules that map a batch of inputs to logits.

All take ``dtype``, what they compute in: float32, or bfloat16 for accelerators.
Parameters, running statistics, the last layer and the logits are float32 either way.
"""

from experiments.models.gru import GRU
from experiments.models.mlp import MLP
from experiments.models.resnet import (
    BasicBlock,
    BottleneckBlock,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
)
from experiments.models.transformer import Transformer, TransformerBlock
from experiments.models.wide_resnet import WideBlock, WideResNet

__all__ = [
    "GRU",
    "MLP",
    "BasicBlock",
    "BottleneckBlock",
    "ResNet",
    "Transformer",
    "TransformerBlock",
    "WideBlock",
    "WideResNet",
    "resnet18",
    "resnet34",
    "resnet50",
]
