"""Graphs of Paceline's layers as PyTorch modules."""

import copy

import torch
from torch import nn


def module_of(layer, shape):
    """The torch module of one layer of a graph, for an example of the given shape."""
    kind = layer["kind"]
    window = {key: layer[key] for key in ("stride", "padding") if key in layer}
    if kind == "conv2d":
        return nn.Conv2d(
            shape[0], layer["outputs"], layer["kernel"], **window,
            groups=layer.get("groups", 1), bias=layer.get("bias", True),
        )
    if kind == "batch-norm":
        return nn.BatchNorm2d(shape[0])
    if kind == "max-pool":
        return nn.MaxPool2d(layer["kernel"], **window)
    if kind == "avg-pool":
        return nn.AvgPool2d(layer["kernel"], **window)
    if kind == "global-avg-pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "linear":
        return nn.Linear(shape[0], layer["outputs"])
    return {"relu": nn.ReLU, "flatten": nn.Flatten}[kind]()


class Graph(nn.Module):
    """Layers by name, each fed by earlier ones; "input" is the batch, "add" sums its two inputs."""

    def __init__(self, nodes, shape):
        super().__init__()
        self.nodes = nodes
        shapes = {"input": torch.zeros(2, *shape)}
        for node in nodes:
            name, fed_by = node["name"], [shapes[one] for one in node["from"]]
            if node["layer"]["kind"] == "add":
                shapes[name] = fed_by[0] + fed_by[1]
                continue
            module = module_of(node["layer"], fed_by[0].shape[1:])
            self.add_module(name, module)
            with torch.no_grad():
                shapes[name] = copy.deepcopy(module)(fed_by[0])

    def forward(self, x):
        values = {"input": x}
        for node in self.nodes:
            fed_by = [values[one] for one in node["from"]]
            is_sum = node["layer"]["kind"] == "add"
            values[node["name"]] = (
                fed_by[0] + fed_by[1] if is_sum else getattr(self, node["name"])(fed_by[0])
            )
        return values[self.nodes[-1]["name"]]
