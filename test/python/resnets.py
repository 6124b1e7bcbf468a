"""Residual networks as PyTorch modules of torchvision's structure: its names, its order, its shapes.

Of torchvision itself nothing is needed. `Resnet(depth, classes, stem)` has depth 18, 34 or 50; its
stem is "imagenet" (7x7, stride 2, then a pool) or "cifar" (3x3, stride 1, for small pictures).
"""

import torch
from torch import nn

STAGES = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}


def projection(inputs, outputs, stride):
    """What brings a block's input to its output's shape; None where both are alike."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs, inside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.downsample = projection(inputs, inside, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the stride is at the 3x3 one."""

    expansion = 4

    def __init__(self, inputs, inside, stride):
        super().__init__()
        outputs = self.expansion * inside
        self.conv1 = nn.Conv2d(inputs, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = projection(inputs, outputs, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Resnet(nn.Module):
    """A stem, four stages, the mean of the planes, one linear layer."""

    def __init__(self, depth, classes, stem):
        super().__init__()
        block = Bottleneck if depth == 50 else BasicBlock
        large = stem == "imagenet"
        window = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = nn.Conv2d(3, 64, *window, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        width = 64
        for stage, count in enumerate(STAGES[depth]):
            blocks = []
            for index in range(count):
                blocks.append(block(width, 64 << stage, 2 if stage > 0 and index == 0 else 1))
                width = block.expansion * (64 << stage)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))
