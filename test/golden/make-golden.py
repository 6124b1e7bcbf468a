"""Makes the golden arrays beside this file with PyTorch on the CPU (made with 1.13):

    python3 test/golden/make-golden.py

Every number is an f32 written with nine significant digits, which names it exactly.
Run again, the script writes the same bytes.
"""

import json
from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).parent
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


update_rules()
networks()
