"""Makes resnet18-step.json beside this file with PyTorch on the CPU (made with 1.13):

    /usr/bin/python3 test/golden/make-resnet-step.py

One training step of resnet18 with either stem, in f64: of every parameter's gradient and of every
batch statistic the norm and 64 values, evenly spread. The start is not stored: parameters and
pictures follow from a hash of their index, which the test repeats. Run again, the script writes the
same bytes.
"""

import json
import sys
from pathlib import Path

import numpy
import torch

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))
from hashed import spread, start  # noqa: E402
from resnets import Resnet  # noqa: E402

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
SAMPLES = 64


def told(tensor):
    """Norm and samples of one tensor."""
    flat = tensor.detach().reshape(-1)
    count = min(SAMPLES, flat.numel())
    at = [index * flat.numel() // count for index in range(count)]
    return {
        "norm": float("%.9g" % flat.norm().item()),
        "values": [float("%.7g" % flat[index].item()) for index in at],
    }


def step(stem, side, n, classes):
    """One step's loss, gradients and statistics."""
    module = Resnet(18, classes, stem)
    for stream, (name, parameter) in enumerate(module.named_parameters(), start=1):
        parameter.data = start(name, tuple(parameter.shape), stream)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0  # running statistics become the batch's own
    module.double().train()
    pictures = spread(n * 3 * side * side, 0) * 1.5
    x = torch.from_numpy(pictures.astype(numpy.float32).reshape(n, 3, side, side)).double()
    labels = torch.arange(n) * 3 % classes
    loss = torch.nn.functional.cross_entropy(module(x), labels)
    loss.backward()
    found = {name: told(parameter.grad) for name, parameter in module.named_parameters()}
    found.update({name: told(value) for name, value in module.named_buffers() if value.dim() > 0})
    return {
        "stem": stem,
        "side": side,
        "n": n,
        "classes": classes,
        "meanLoss": float("%.9g" % loss.item()),
        "tensors": found,
    }


content = {
    "format": "cases: { stem, side, n: pictures (3, side, side), label of picture i: 3 i mod classes, "
    "meanLoss, tensors: by name the norm and 64 values, value i at floor(i length / 64), all where "
    "there are fewer, of each gradient, mean and unbiased variance }; f64 of torch",
    "cases": [step("cifar", 32, 2, 100), step("imagenet", 75, 2, 1000)],
}
lines = ["{", '  "format": ' + json.dumps(content["format"]) + ",", '  "cases": [']
lines.append(",\n".join("    " + json.dumps(case) for case in content["cases"]))
(FOLDER / "resnet18-step.json").write_text("\n".join(lines + ["  ]", "}", ""]))
