"""Makes the golden arrays beside this file with PyTorch on the CPU (made with 1.13):

    python3 test/golden/make-golden.py

Every number is an f32 written with nine significant digits, which names it exactly.
Run again, the script writes the same bytes.
"""

import copy
import json
import sys
from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))
from graphs import Graph  # noqa: E402

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def numbers(tensor):
    """A tensor as nested lists of f32, each with nine significant digits."""
    if tensor.dim() == 0:
        return float("%.9g" % tensor.item())
    return [numbers(part) for part in tensor]


def write(name, content):
    """One JSON file, one entry of a list a line."""
    lines = ["{", '  "format": ' + json.dumps(content["format"]) + ",", '  "cases": [']
    lines.append(",\n".join("    " + json.dumps(case) for case in content["cases"]))
    lines += ["  ]", "}", ""]
    (FOLDER / name).write_text("\n".join(lines))


def trajectory(name, rule, optimizer, lrs, options):
    """Five steps of a torch optimizer from one start over given gradients."""
    generator = torch.Generator().manual_seed(5)
    w = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.25, -0.125, 1e-3, 10.0], requires_grad=True)
    start = w.detach().clone()
    made = optimizer([w])
    gradients, weights = [], []
    for lr in lrs:
        g = torch.randn(8, generator=generator)
        g[3] = 0.0
        g[6] *= 1e-4
        g[7] *= 100
        made.param_groups[0]["lr"] = lr
        w.grad = g.clone()
        made.step()
        gradients.append(numbers(g))
        weights.append(numbers(w.detach()))
    return {
        "name": name,
        "rule": rule,
        **options,
        "lr": lrs,
        "start": numbers(start),
        "gradients": gradients,
        "weights": weights,
    }


def update_rules():
    cases = []
    steady = [0.1] * 5
    falling = [0.1, 0.1, 0.05, 0.05, 0.01]
    small = [0.01] * 5
    for decay in (0.0, 5e-4, 0.1):
        suffix = f", weight decay {decay:g}" if decay else ""
        for lrs, pace in ((steady, ""), (falling, ", falling rate")):
            plain = {"weightDecay": decay}
            cases.append(
                trajectory(
                    "sgd" + suffix + pace,
                    "sgd",
                    lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=decay),
                    lrs,
                    plain,
                )
            )
            for rule, nesterov in (("momentum", False), ("nesterov", True)):
                cases.append(
                    trajectory(
                        rule + suffix + pace,
                        rule,
                        lambda p: torch.optim.SGD(
                            p, lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=decay
                        ),
                        lrs,
                        {"momentum": 0.9, **plain},
                    )
                )
        for rule, make in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
            for lrs, pace in ((small, ""), (falling, ", falling rate")):
                cases.append(
                    trajectory(
                        rule + suffix + pace,
                        rule,
                        lambda p: make(p, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay),
                        lrs,
                        {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": decay},
                    )
                )
    write(
        "update-rules.json",
        {
            "format": "cases: { name, rule: sgd|momentum|nesterov|adam|adamw, momentum? (dampening 0), "
            "beta1?, beta2?, epsilon?, weightDecay (adamw: decoupled, else added to the gradient), "
            "lr: the rate of each of 5 steps, start: 8 values, gradients: 5 x 8, "
            "weights: 5 x 8, after each step }; momentum and moments start at zero; f32 of torch.optim",
            "cases": cases,
        },
    )


def network_case(name, inputs, layers, loss, y, x, steps=0, lr=0.0):
    """Loss and every gradient of one batch; then, if asked, `steps` plain SGD steps on it."""
    modules = []
    for layer in layers:
        modules.append(nn.Linear(*layer["linear"]) if "linear" in layer else nn.ReLU())
    model = nn.Sequential(*modules)
    generator = torch.Generator().manual_seed(17)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7
    start = {key: numbers(value) for key, value in model.state_dict().items()}
    labels = torch.tensor(y)

    def forward():
        logits = model(x)
        if loss == "cross-entropy":
            return nn.functional.cross_entropy(logits, labels)
        target = labels.to(torch.float32)
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target)

    value = forward()
    value.backward()
    gradients = {key: numbers(part.grad) for key, part in model.named_parameters()}
    losses = []
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        step_loss = forward()
        step_loss.backward()
        optimizer.step()
        losses.append(numbers(step_loss.detach()))
    return {
        "name": name,
        "inputs": inputs,
        "layers": layers,
        "loss": loss,
        "x": numbers(x),
        "y": y,
        "parameters": start,
        "meanLoss": numbers(value.detach()),
        "gradients": gradients,
        "lr": lr,
        "lossesOfSteps": losses,
        "parametersAfterSteps": {k: numbers(v) for k, v in model.state_dict().items()} if steps else {},
    }


def networks():
    generator = torch.Generator().manual_seed(3)

    def batch(n, inputs, scale=1.0):
        return torch.randn(n, inputs, generator=generator) * scale

    cases = [
        network_case(
            "linear under cross-entropy", 5, [{"linear": [5, 3]}], "cross-entropy",
            [2, 0, 1, 1, 0, 2, 2], batch(7, 5),
        ),
        network_case(
            "linear under cross-entropy, large logits", 3, [{"linear": [3, 4]}], "cross-entropy",
            [3, 0, 1], batch(3, 3, 60.0),
        ),
        network_case(
            "linear under binary cross-entropy", 6, [{"linear": [6, 1]}], "bce-with-logits",
            [1, 0, 1, 1, 0], batch(5, 6),
        ),
        network_case(
            "linear under binary cross-entropy, large logits", 2, [{"linear": [2, 1]}],
            "bce-with-logits", [1, 0, 1, 0], batch(4, 2, 60.0),
        ),
        network_case(
            "relu between linears, three steps", 7,
            [{"linear": [7, 6]}, {"relu": True}, {"linear": [6, 5]}, {"relu": True}, {"linear": [5, 3]}],
            "cross-entropy", [0, 1, 2, 0, 1, 2, 2, 1, 0], batch(9, 7), steps=3, lr=0.1,
        ),
    ]
    write(
        "networks.json",
        {
            "format": "cases: { name, inputs, layers: of nn.Sequential (linear: [inputs, outputs], or relu), "
            "loss, x: n x inputs, y: n labels, parameters: by torch's name (index.weight), "
            "meanLoss, gradients: of the mean loss, lr, lossesOfSteps and parametersAfterSteps: "
            "of plain SGD on the same batch }; f32 of torch",
            "cases": cases,
        },
    )


def flat(tensor):
    """A tensor's values in one list, row-major."""
    return numbers(tensor.detach().to(torch.float32).reshape(-1))


def graph_case(name, shape, nodes, n, steps, lr):
    """Gradients of one batch, plain SGD steps on it, then the logits of the trained model; in f64,
    since the f32 sums of torch would be further from the truth than what they are to check."""
    generator = torch.Generator().manual_seed(len(name))
    model = Graph(nodes, shape)
    for key, parameter in model.named_parameters():
        spread = torch.randn(parameter.shape, generator=generator)
        is_scale = key.startswith("bn") and key.endswith("weight")
        parameter.data = 1 + 0.3 * spread if is_scale else 0.4 * spread
    start = {key: flat(value) for key, value in model.state_dict().items()}
    x = (torch.randn(n, *shape, generator=generator) + 0.5).double()
    model.double()
    labels = torch.arange(n) * 2 % nodes[-1]["layer"]["outputs"]

    def losses_of(graph, count):
        losses, optimizer = [], torch.optim.SGD(graph.parameters(), lr=lr)
        for _ in range(count):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(graph(x), labels)
            loss.backward()
            optimizer.step()
            losses.append(numbers(loss.detach()))
        return losses

    once = copy.deepcopy(model)
    losses_of(once, 1)
    losses = losses_of(model, steps)
    model.eval()
    return {
        "name": name,
        "shape": shape,
        "nodes": nodes,
        "x": flat(x),
        "y": labels.tolist(),
        "tensors": start,
        "gradients": {key: flat(part.grad) for key, part in once.named_parameters()},
        "lr": lr,
        "lossesOfSteps": losses,
        "tensorsAfterSteps": {key: flat(value) for key, value in model.state_dict().items()},
        "logits": flat(model(x)),
    }


def chain(*layers):
    """Nodes that each follow the one before; the first is fed by the input."""
    names = ["input"] + [name for name, _ in layers]
    return [
        {"name": name, "from": [names[index]], "layer": layer}
        for index, (name, layer) in enumerate(layers)
    ]


def convolutions():
    relu, norm, mean = {"kind": "relu"}, {"kind": "batch-norm"}, {"kind": "global-avg-pool"}

    def conv(outputs, kernel, **options):
        return {"kind": "conv2d", "outputs": outputs, "kernel": kernel, **options}

    head = ("fc", {"kind": "linear", "outputs": 3})
    block = chain(
        ("conv1", conv(4, 3, padding=1, bias=False)), ("bn1", norm), ("relu", relu),
        ("conv2", conv(6, 3, stride=2, padding=1, bias=False)), ("bn2", norm),
    )
    block += [
        {"name": "down", "from": ["relu"], "layer": conv(6, 1, stride=2, bias=False)},
        {"name": "bn3", "from": ["down"], "layer": norm},
        {"name": "sum", "from": ["bn2", "bn3"], "layer": {"kind": "add"}},
        {"name": "relu2", "from": ["sum"], "layer": relu},
        {"name": "mean", "from": ["relu2"], "layer": mean},
        {"name": "fc", "from": ["mean"], "layer": head[1]},
    ]
    cases = [
        graph_case(
            "unequal kernel, stride and padding; overlapping max pool with padding", [2, 9, 7],
            chain(
                ("conv1", conv(5, [3, 2], stride=[2, 1], padding=[1, 0])), ("relu", relu),
                ("pool", {"kind": "max-pool", "kernel": 3, "stride": 2, "padding": 1}),
                ("flat", {"kind": "flatten"}), head,
            ),
            3, 3, 0.05,
        ),
        graph_case(
            "groups and depthwise; mean pool that counts its padding", [4, 8, 7],
            chain(
                ("conv1", conv(6, 3, padding=1, groups=2, bias=False)), ("relu", relu),
                ("pool", {"kind": "avg-pool", "kernel": 3, "stride": 2, "padding": 1}),
                ("conv2", conv(6, 3, stride=3, padding=2, groups=6)), ("mean", mean), head,
            ),
            4, 3, 0.05,
        ),
        graph_case(
            "normalised twice, pooled", [3, 6, 6],
            chain(
                ("conv1", conv(4, 3, padding=1)), ("bn1", norm), ("relu", relu),
                ("pool", {"kind": "max-pool", "kernel": 2}),
                ("conv2", conv(5, 2)), ("bn2", norm), ("relu2", relu), ("mean", mean), head,
            ),
            6, 4, 0.05,
        ),
        graph_case("residual block with a projection", [3, 7, 5], block, 5, 4, 0.05),
        graph_case(
            "a batch of one under normalisation", [2, 5, 4],
            chain(("conv1", conv(3, 3)), ("bn1", norm), ("relu", relu), ("mean", mean), head),
            1, 2, 0.1,
        ),
    ]
    write(
        "convolutions.json",
        {
            "format": "cases: { name, shape: of one example, nodes: { name, from: names of nodes or "
            "input, layer }, the last one the logits under cross-entropy, x: n examples, y: n labels, "
            "tensors: by torch's name, gradients: of the mean loss over the batch in training mode, lr, "
            "lossesOfSteps and tensorsAfterSteps: of plain SGD on the same batch, logits: of the "
            "trained model in evaluation mode }; tensors flat; f64 of torch rounded to f32",
            "cases": cases,
        },
    )


update_rules()
networks()
convolutions()
