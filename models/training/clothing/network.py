"""The two networks of `clothing`: a narrow trunk with five exits, and a wide variant that sees the raw image.

The variant exists because more layers on the trunk's features bought nothing: the trunk's first convolution
halves the resolution, and its features also serve four early exits.
"""
import torch.nn as nn

from common.layers import Ladder, PooledHead, Residual, SideHead, conv_bn_relu

CLASSES = 10


def trunk() -> Ladder:
    """Five exits; cuts of 16, 32, 48 and 64 channels at 14x14, then 160 at 7x7."""
    stages = [
        conv_bn_relu(1, 16, 3, 2),
        conv_bn_relu(16, 32),
        conv_bn_relu(32, 48),
        Residual(48, 64),
        nn.Sequential(Residual(64, 160, 2), Residual(160, 160)),
    ]
    heads = [SideHead(16, 24, CLASSES), SideHead(32, 32, CLASSES), SideHead(48, 40, CLASSES), SideHead(64, 64, CLASSES)]
    return Ladder(stages, [*heads, PooledHead(160, CLASSES)])


def variant() -> Ladder:
    """One exit, at full resolution from the start; meant for a node."""
    body = nn.Sequential(
        conv_bn_relu(1, 32),
        Residual(32, 32),
        Residual(32, 96, 2),
        Residual(96, 96),
        Residual(96, 256, 2),
        Residual(256, 256),
        Residual(256, 256),
    )
    return Ladder([body], [PooledHead(256, CLASSES)])
