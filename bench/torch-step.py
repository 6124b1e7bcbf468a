"""
PyTorch's side of engine-step.mjs: the same residual network for small pictures, one training step
(forward, loss, backward) at a time. Reads one JSON line with what to build; then, for each line with
a number, runs so many steps and prints the seconds they took.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def convolution(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)


class Block(nn.Module):
    def __init__(self, block, inputs, inside, stride):
        super().__init__()
        if block == "basic":
            outputs = inside
            layers = [convolution(inputs, inside, 3, stride), convolution(inside, inside, 3)]
        else:
            outputs = 4 * inside
            layers = [
                convolution(inputs, inside, 1),
                convolution(inside, inside, 3, stride),
                convolution(inside, outputs, 1),
            ]
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer.out_channels) for layer in layers)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            projection = convolution(inputs, outputs, 1, stride)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        self.outputs = outputs

    def forward(self, x):
        y = x
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            y = norm(layer(y))
            if index + 1 < len(self.layers):
                y = F.relu(y, inplace=True)
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


class Resnet(nn.Module):
    def __init__(self, plan, classes):
        super().__init__()
        width = plan["channels"]
        self.stem = nn.Sequential(convolution(3, width, 3), nn.BatchNorm2d(width))
        blocks = []
        for stage, count in enumerate(plan["stages"]):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                inside = plan["channels"] * 2**stage
                blocks.append(Block(plan["block"], width, inside, stride))
                width = blocks[-1].outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        x = self.blocks(F.relu(self.stem(x), inplace=True))
        return self.fc(x.mean((2, 3)))


def main():
    wish = json.loads(sys.stdin.readline())
    torch.set_num_threads(wish["threads"])
    torch.manual_seed(1)
    model = Resnet(wish["plan"], wish["classes"])
    x = torch.randn(wish["batch"], 3, wish["extent"], wish["extent"])
    if wish["channelsLast"]:
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    y = torch.randint(0, wish["classes"], (wish["batch"],))
    is_bf16 = wish["dtype"] == "bf16"

    def step():
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            loss = F.cross_entropy(model(x).float(), y)
        loss.backward()

    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


main()
