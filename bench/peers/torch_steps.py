"""
PyTorch's side of `paceline bench engine`: training steps (forward, loss, backward) of the same model.

The first line of standard input says what to build, as JSON: the model as Paceline's graph, the
batch, the number's type, the threads, the memory format. The answer tells PyTorch's version and how
many values are trained, so that both sides can be seen to compute the same model. Each further line,
{"steps": n}, runs so many steps and is answered with the seconds that they took.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def window(layer):
    extents = {name: layer[name] for name in ("kernel", "stride", "padding") if name in layer}
    if "kernel" in extents:
        extents["kernel_size"] = extents.pop("kernel")
    return {name: tuple(e) if isinstance(e, list) else e for name, e in extents.items()}


def module_of(layer, shape, in_place):
    """The module of a layer whose (first) input has this shape for one example."""
    kind = layer["kind"]
    if kind == "conv2d":
        bias, groups = layer.get("bias", True), layer.get("groups", 1)
        return nn.Conv2d(shape[0], layer["outputs"], bias=bias, groups=groups, **window(layer))
    if kind == "linear":
        return nn.Linear(shape[0], layer["outputs"], bias=layer.get("bias", True))
    if kind == "batch-norm":
        return nn.BatchNorm2d(shape[0], eps=layer.get("epsilon", 1e-5))
    if kind == "relu":
        return nn.ReLU(inplace=in_place)
    if kind == "max-pool":
        return nn.MaxPool2d(**window(layer))
    if kind == "avg-pool":
        return nn.AvgPool2d(**window(layer))
    if kind == "global-avg-pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "flatten":
        return nn.Flatten()
    if kind == "dropout":
        return nn.Dropout(layer["rate"])
    if kind == "add":
        return Sum(in_place)
    raise ValueError(f"no module for a layer of kind {kind}")


class Sum(nn.Module):
    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place

    def forward(self, left, right):
        return left.add_(right) if self.in_place else left + right


class Network(nn.Module):
    """The graph's nodes in their order; a value is dropped after its last reader."""

    def __init__(self, graph):
        super().__init__()
        nodes = graph["nodes"]
        kinds = {0: "input", **{node["id"]: node["layer"]["kind"] for node in nodes}}
        shapes = {0: graph["inputShape"], **{node["id"]: node["shape"] for node in nodes}}
        readers = {}
        for node in nodes:
            for source in node["inputs"]:
                readers.setdefault(source, []).append(node["id"])
        self.plan = []
        self.layers = nn.ModuleList()
        for node in nodes:
            first = node["inputs"][0]
            # A ReLU's backward reads its result, so nothing may be written over one.
            free = len(readers[first]) == 1 and kinds[first] not in ("input", "relu", "flatten")
            self.layers.append(module_of(node["layer"], shapes[first], free))
            dropped = [s for s in set(node["inputs"]) if readers[s][-1] == node["id"]]
            self.plan.append((node["id"], node["inputs"], dropped))
        self.output = graph["output"]

    def forward(self, x):
        values = {0: x}
        for layer, (own, sources, dropped) in zip(self.layers, self.plan):
            values[own] = layer(*[values[source] for source in sources])
            for source in dropped:
                del values[source]
        return values[self.output]


def laid_out(network, x, memory_format):
    """The network and its pictures in one of PyTorch's two orders."""
    if memory_format == "contiguous":
        return network, x
    order = torch.channels_last
    return network.to(memory_format=order), x.to(memory_format=order)


def loss_of(graph, logits, labels):
    if graph["loss"] == "cross-entropy":
        return F.cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(logits.flatten(), labels.float())


def main():
    wish = json.loads(sys.stdin.readline())
    graph, batch = wish["graph"], wish["batch"]
    torch.set_num_threads(wish["threads"])
    torch.manual_seed(1)
    network = Network(graph)
    x = torch.randn(batch, *graph["inputShape"])
    y = torch.randint(0, graph["classes"], (batch,))
    network, x = laid_out(network, x, wish["memoryFormat"])
    is_bf16 = wish["dtype"] == "bf16"

    def step():
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            logits = network(x)
        loss_of(graph, logits.float(), y).backward()

    trained = sum(parameter.numel() for parameter in network.parameters())
    print(json.dumps({"version": torch.__version__, "trainedValues": trained}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(json.loads(line)["steps"]):
            step()
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
