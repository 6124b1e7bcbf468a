"""Loads models that Paceline exported into PyTorch modules of torchvision's form, strictly, and says
what they compute:

    python3 test/python/torch-logits.py checkpoint MODEL STEM CLASSES SIDE PICTURES EXACT OWN ROUNDED...
    python3 test/python/torch-logits.py tensors CLASSES [MODEL STEM]...

PICTURES holds f32 values [n, 3, SIDE, SIDE] and nothing else. Logits are told of EXACT and OWN; each
ROUNDED is compared with EXACT. One JSON object goes to standard output;
no file is written. The reader below knows the safetensors format by itself, so that it shares no
code with what it checks.
"""

import json
import struct
import sys
from pathlib import Path

import numpy
import torch
from resnets import Resnet
from torch import nn

torch.set_num_threads(1)


def read_safetensors(path):
    """Metadata, and tensors by name; a kind of value is kept as it is."""
    content = Path(path).read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_bytes])
    data = content[8 + header_bytes :]
    metadata = header.pop("__metadata__")
    numpy_kinds = {"F32": "<f4", "I64": "<i8", "F16": "<f2", "BF16": "<i2"}
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = numpy.frombuffer(data[start:end], numpy_kinds[entry["dtype"]])
        tensor = torch.from_numpy(values.reshape(entry["shape"]).copy())
        tensors[name] = tensor.view(torch.bfloat16) if entry["dtype"] == "BF16" else tensor
    return metadata, tensors


class Cnn6(nn.Module):
    """Six convolutions with batch normalisation, a pool after every second, three linear layers."""

    def __init__(self, classes):
        super().__init__()
        inputs = 3
        for number, outputs in enumerate([32, 32, 64, 64, 128, 128], start=1):
            setattr(self, f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
            setattr(self, f"bn{number}", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, 32)
        self.fc3 = nn.Linear(32, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        for number in range(1, 7):
            convolution = getattr(self, f"conv{number}")
            x = torch.relu(getattr(self, f"bn{number}")(convolution(x)))
            if number % 2 == 0:
                x = nn.functional.max_pool2d(x, 2)
        x = self.dropout(torch.relu(self.fc1(x.mean((2, 3)))))
        return self.fc3(self.dropout(torch.relu(self.fc2(x))))


def module_of(model, stem, classes):
    """The module of a model's name; cnn6 begins in one way only."""
    if model == "cnn6":
        return Cnn6(int(classes))
    return Resnet(int(model[len("resnet") :]), int(classes), stem)


def tensors(classes, *named):
    """For each model and stem name and shape of each tensor of a fresh state_dict."""
    states = [module_of(*pair, classes).state_dict() for pair in zip(named[::2], named[1::2])]
    return [[[name, *value.shape] for name, value in state.items()] for state in states]


def logits(model, stem, classes, side, pictures, *files):
    """For each file its metadata, what differs from a fresh state_dict, counters and logits."""
    x = torch.from_numpy(numpy.fromfile(pictures, "<f4").reshape(-1, 3, int(side), int(side)))
    answers = []
    for file in files:
        metadata, loaded = read_safetensors(file)
        module = module_of(model, stem, classes)
        kinds = {name: value.dtype for name, value in module.state_dict().items()}
        others = [name for name, value in loaded.items() if value.dtype != kinds.get(name)]
        module.load_state_dict(loaded, strict=True)
        module.eval()
        with torch.no_grad():
            values = module(x).tolist()
        state = module.state_dict()
        counters = sorted({int(state[n]) for n in state if n.endswith("num_batches_tracked")})
        answers.append(
            {"metadata": metadata, "otherKinds": others, "counters": counters, "logits": values}
        )
    return answers


def rounding(exact, rounded):
    """How many tensors have 16 bits, and which of them differ from PyTorch's own rounding."""
    wanted, found = read_safetensors(exact)[1], read_safetensors(rounded)[1]
    halves = [name for name, value in found.items() if value.element_size() == 2]
    wrong = []
    for name in wanted:
        mine = wanted[name].to(found[name].dtype)
        if mine.shape != found[name].shape or not torch.equal(mine, found[name]):
            wrong.append(name)
    return {"halves": len(halves), "wrong": wrong}


def checkpoint(model, stem, classes, side, pictures, exact, own, *rounded):
    """All that is asked of one checkpoint."""
    return {
        "answers": logits(model, stem, classes, side, pictures, exact, own),
        "roundings": [rounding(exact, one) for one in rounded],
    }


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    print(json.dumps({"checkpoint": checkpoint, "tensors": tensors}[verb](*words)))
