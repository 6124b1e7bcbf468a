"""Makes rounded-steps.json beside this file with PyTorch on the CPU (made with 1.13):

    /usr/bin/python3 test/golden/make-rounded-steps.py

One training step of small convolutional networks: how far the gradients of PyTorch in f32, and in
bf16, are from those in f64. PyTorch in bf16 is autocast as its kernels compute on a processor that
has bf16 instructions: operands and results of bf16, sums in f32, normalisation in f32 between
values of bf16. It is written out here, since without such a processor PyTorch 1.13 sums in bf16 and
is three times as far off; what autocast itself gave on the machine that made the file is told
beside it. Starts follow from a hash, as in make-resnet-step.py.
"""

import copy
import json
import sys
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))
from graphs import Graph  # noqa: E402
from hashed import spread, start  # noqa: E402

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
NORM, RELU, MEAN = {"kind": "batch-norm"}, {"kind": "relu"}, {"kind": "global-avg-pool"}


class Rounded(torch.autograd.Function):
    """A value kept in bf16, and so its gradient."""

    @staticmethod
    def forward(_, value):
        return value.bfloat16().float()

    @staticmethod
    def backward(_, gradient):
        return gradient.bfloat16().float()


rounded = Rounded.apply


def in_bf16(model, x):
    """A Graph's logits as autocast's kernels round them."""
    values = {"input": x}
    for node in model.nodes:
        fed_by, kind = [values[one] for one in node["from"]], node["layer"]["kind"]
        if kind == "add":
            result = fed_by[0] + fed_by[1]
        elif kind in ("conv2d", "linear"):
            layer = getattr(model, node["name"])
            source, weight = rounded(fed_by[0]), rounded(layer.weight)
            if kind == "linear":
                result = F.linear(source, weight, layer.bias)
            else:
                result = F.conv2d(source, weight, layer.bias, layer.stride, layer.padding)
        else:
            result = getattr(model, node["name"])(fed_by[0])
        values[node["name"]] = rounded(result)
    return values[model.nodes[-1]["name"]]


def gradients(model, x, labels, how):
    """Mean loss and f64 gradients by name."""
    model = copy.deepcopy(model).train()
    if how == "f64":
        model, x = model.double(), x.double()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        logits = in_bf16(model, x) if how == "bf16" else model(x)
    loss = F.cross_entropy(logits if how == "f64" else logits.float(), labels)
    loss.backward()
    return loss.item(), {name: part.grad.double() for name, part in model.named_parameters()}


def norm(tensors):
    return sum(float((tensor**2).sum()) for tensor in tensors) ** 0.5


def distances(found, truth):
    """Relative L2 distance over all gradients, and over those of each layer."""
    layers = {}
    for name in truth:
        layers.setdefault(name.split(".")[0], []).append(name)

    def over(names):
        apart = norm([found[name] - truth[name] for name in names])
        return float("%.4g" % (apart / norm([truth[name] for name in names])))

    return {"all": over(list(truth)), "layers": {key: over(own) for key, own in layers.items()}}


def conv(outputs, kernel=3, **options):
    window = {"kernel": kernel, "padding": kernel // 2, **options}
    return {"kind": "conv2d", "outputs": outputs, "bias": False, **window}


def residual(widths, has_relu, first=None):
    """Residual blocks of these widths, with ReLU or without one anywhere."""
    nodes = []

    def put(name, layer, *sources):
        before = [nodes[-1]["name"]] if nodes else ["input"]
        nodes.append({"name": name, "from": list(sources) or before, "layer": layer})
        return name

    def relu(name):
        return put(name, RELU) if has_relu else nodes[-1]["name"]

    put("conv0", first or conv(widths[0]))
    put("bn0", NORM)
    relu("relu0")
    if first is not None:
        put("pool", {"kind": "max-pool", "kernel": 3, "stride": 2, "padding": 1})
    width = widths[0]
    for index, outputs in enumerate(widths, start=1):
        before, stride = nodes[-1]["name"], 1 if outputs == width else 2
        put(f"conv{index}a", conv(outputs, stride=stride))
        put(f"bn{index}a", NORM)
        relu(f"relu{index}a")
        put(f"conv{index}b", conv(outputs))
        branch = put(f"bn{index}b", NORM)
        if stride == 2:
            put(f"down{index}", conv(outputs, 1, stride=2), before)
            before = put(f"bn{index}c", NORM)
        put(f"add{index}", {"kind": "add"}, branch, before)
        relu(f"relu{index}")
        width = outputs
    put("mean", MEAN)
    put("fc", {"kind": "linear", "outputs": 10})
    return nodes


def step(name, nodes, shape, n):
    """One case."""
    model = Graph(nodes, shape)
    for stream, (key, parameter) in enumerate(model.named_parameters(), start=1):
        parameter.data = start(key, tuple(parameter.shape), stream)
    pictures = spread(n * int(numpy.prod(shape)), 0) * 1.5
    x = torch.from_numpy(pictures.astype(numpy.float32).reshape(n, *shape))
    labels = torch.arange(n) * 3 % 10
    loss, truth = gradients(model, x, labels, "f64")
    hows = ("f32", "bf16", "autocast")
    apart = {how: distances(gradients(model, x, labels, how)[1], truth) for how in hows}
    return {
        "name": name,
        "shape": shape,
        "n": n,
        "nodes": nodes,
        "meanLoss": float("%.9g" % loss),
        "norms": {key: float("%.9g" % norm([value])) for key, value in truth.items()},
        **{how: apart[how] for how in ("f32", "bf16")},
        "autocast": apart["autocast"]["all"],
    }


content = {
    "format": "cases: { name, shape: of one picture, n: pictures, label of picture i: 3 i mod 10, "
    "nodes: as in convolutions.json, meanLoss and norms: of the gradients in f64, f32 and bf16: "
    "relative L2 distance of torch's gradients from these, over all and by layer, autocast: as bf16, "
    "of the kernels of the machine that made this }",
    "cases": [
        step("residual blocks without ReLU", residual([16, 16, 32], False), [3, 16, 16], 8),
        step("a wide residual block without ReLU", residual([64], False), [3, 16, 16], 8),
        step("residual blocks", residual([16, 16, 32], True), [3, 16, 16], 16),
        step("a wide residual block", residual([64], True), [3, 16, 16], 8),
        step(
            "a block below a large stem",
            residual([64], True, conv(64, 7, stride=2)), [3, 48, 48], 8,
        ),
    ],
}
lines = ["{", '  "format": ' + json.dumps(content["format"]) + ",", '  "cases": [']
lines.append(",\n".join("    " + json.dumps(case) for case in content["cases"]))
(FOLDER / "rounded-steps.json").write_text("\n".join(lines + ["  ]", "}", ""]))
