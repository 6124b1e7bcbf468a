"""
PyTorch's side of `make show-resnet18`: trains a model of Paceline's on CIFAR-10 by the same rule, with
the same batch, augmentation and schedule, in one process, and scores it after each epoch.

Standard input is one line of JSON: the model as Paceline's graph, the folder of the .bin files, how
many training and test pictures, epochs, batch, lr, momentum, weightDecay, rise (of onecycle), mean,
std, threads, and where to write. The memory layout is the faster of PyTorch's two, tried first. What is written is an experiment file, which `paceline charts` reads.
"""

import json
import math
import sys
import time

import numpy
import torch
from torch_steps import Network, loss_of

PICTURE = 3 * 32 * 32


def read(folder, names, count):
    """Pictures as bytes, (n, 3, 32, 32), and their labels."""
    records = numpy.concatenate([numpy.fromfile(f"{folder}/{name}", "u1").reshape(-1, 1 + PICTURE) for name in names])
    records = records[:count]
    labels = torch.from_numpy(records[:, 0].astype("i8"))
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()), labels


def rate(wish, share):
    """One cycle, as src/protocol/schedule.ts has it."""
    peak, rise = wish["lr"], wish["rise"]

    def anneal(start, end, at):
        return end + (start - end) * (1 + math.cos(math.pi * at)) / 2

    if share < rise:
        return anneal(peak / 25, peak, share / rise)
    return anneal(peak, peak / 25e4, (share - rise) / (1 - rise))


def augmented(pictures, generator):
    """Four pixels of zeros around each, a random crop, half of them mirrored."""
    count = len(pictures)
    padded = torch.nn.functional.pad(pictures, (4, 4, 4, 4))
    rows = torch.randint(0, 9, (count,), generator=generator)
    columns = torch.randint(0, 9, (count,), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    cut = torch.empty_like(pictures)
    for index in range(count):
        row, column = int(rows[index]), int(columns[index])
        part = padded[index, :, row : row + 32, column : column + 32]
        cut[index] = part.flip(-1) if mirrored[index] else part
    return cut


def faster_layout(wish):
    """Which of PyTorch's two layouts takes a training step in less time here: the median of five."""
    medians = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        network = Network(wish["graph"]).to(memory_format=layout)
        x = torch.randn(wish["batch"], 3, 32, 32).contiguous(memory_format=layout)
        y = torch.randint(0, wish["graph"]["classes"], (wish["batch"],))
        times = []
        for _ in range(6):
            began = time.perf_counter()
            network.zero_grad(set_to_none=True)
            loss_of(wish["graph"], network(x), y).backward()
            times.append(time.perf_counter() - began)
        medians[layout] = sorted(times[1:])[2]
    return min(medians, key=medians.get)


def main():
    wish = json.loads(sys.stdin.readline())
    torch.set_num_threads(wish["threads"])
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    x, y = read(wish["folder"], [f"data_batch_{part}.bin" for part in range(1, 6)], wish["train"])
    test_x, test_y = read(wish["folder"], ["test_batch.bin"], wish["test"])
    mean = torch.tensor(wish["mean"]).reshape(1, 3, 1, 1)
    std = torch.tensor(wish["std"]).reshape(1, 3, 1, 1)
    network = Network(wish["graph"])
    layout = faster_layout(wish)
    print(f"PyTorch {torch.__version__}, {layout}", file=sys.stderr, flush=True)
    network = network.to(memory_format=layout)

    def prepared(pictures):
        return ((pictures.float() / 255 - mean) / std).contiguous(memory_format=layout)

    decayed = [one for name, one in network.named_parameters() if one.dim() > 1]
    plain = [one for name, one in network.named_parameters() if one.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": wish["weightDecay"]}, {"params": plain, "weight_decay": 0}]
    optimizer = torch.optim.SGD(groups, lr=wish["lr"], momentum=wish["momentum"], nesterov=True)
    whole = wish["epochs"] * len(x)
    seconds, accuracies, done = [], [], 0
    for epoch in range(wish["epochs"]):
        network.train()
        began = time.perf_counter()
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(order), wish["batch"]):
            picked = order[start : start + wish["batch"]]
            for group in optimizer.param_groups:
                group["lr"] = rate(wish, done / whole)
            optimizer.zero_grad(set_to_none=True)
            loss_of(wish["graph"], network(prepared(augmented(x[picked], generator))), y[picked]).backward()
            optimizer.step()
            done += len(picked)
        seconds.append(time.perf_counter() - began)
        network.eval()
        correct = 0
        with torch.no_grad():
            for start in range(0, len(test_x), 128):
                logits = network(prepared(test_x[start : start + 128]))
                correct += int((logits.argmax(1) == test_y[start : start + 128]).sum())
        accuracies.append(100 * correct / len(test_x))
        print(f"epoch {epoch + 1}: {seconds[-1]:.1f} s, {accuracies[-1]:.2f}%", file=sys.stderr, flush=True)
    worker = {
        "worker_id": 0,
        "total_training_time_seconds": sum(seconds),
        "average_epoch_time_seconds": sum(seconds) / len(seconds),
        "epoch_times_seconds": seconds,
        "final_test_accuracy_percent": accuracies[-1],
        "all_accuracies_percent": accuracies,
        "local_steps_completed": math.ceil(len(x) / wish["batch"]) * wish["epochs"],
        "batch_size": wish["batch"],
        "learning_rate": wish["lr"],
        "num_epochs": wish["epochs"],
    }
    aggregated = {
        "num_workers": 1,
        "total_training_time_seconds": sum(seconds),
        "average_epoch_time_seconds": sum(seconds) / len(seconds),
        "final_test_accuracy_percent": accuracies[-1],
        "total_local_steps": worker["local_steps_completed"],
        "per_worker_metrics": [worker],
        "epoch_times_by_epoch": [
            {"epoch": index + 1, "max_time": one, "avg_time": one, "min_time": one} for index, one in enumerate(seconds)
        ],
        "accuracy_by_epoch": [
            {"epoch": index + 1, "avg_accuracy": one, "max_accuracy": one, "min_accuracy": one}
            for index, one in enumerate(accuracies)
        ],
    }
    result = {
        "experiment_name": wish["name"],
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "server_metrics": {"mode": "sync"},
        "worker_metrics_aggregated": aggregated,
        "raw_worker_metrics": [worker],
    }
    with open(wish["out"], "w", encoding="utf8") as file:
        json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
