"""
PyTorch's side of `paceline bench train`: DistributedDataParallel over gloo, one process a worker,
each with threads of its own, momentum SGD on every rank.

The first line of standard input says what to train, as JSON: the model as Paceline's graph, the
batch of one worker, the number's type, the memory format, workers, threads of each, a free port. Each further line,
{"steps": n}, takes so many steps and is answered with the seconds that they took; {"reduce":
values, "rounds": n} with the milliseconds of each all-reduce of so many values.
"""

import json
import os
import sys
import time

import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing
from torch.nn.parallel import DistributedDataParallel

from torch_steps import Network, laid_out, loss_of


class Rank:
    """One of the processes: its model, its batch, what it is told to do."""

    def __init__(self, wish, rank):
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        torch.set_num_threads(wish["threads"])
        torch.manual_seed(1)
        self.graph = wish["graph"]
        self.is_bf16 = wish["dtype"] == "bf16"
        place = f"tcp://127.0.0.1:{wish['port']}"
        distributed.init_process_group("gloo", place, rank=rank, world_size=wish["workers"])
        x = torch.randn(wish["batch"], *self.graph["inputShape"])
        network, self.x = laid_out(Network(self.graph), x, wish["memoryFormat"])
        self.network = DistributedDataParallel(network)
        self.rule = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        self.y = torch.randint(0, self.graph["classes"], (wish["batch"],))

    def step(self):
        self.rule.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.is_bf16):
            logits = self.network(self.x)
        loss_of(self.graph, logits.float(), self.y).backward()
        self.rule.step()

    def perform(self, request):
        if "steps" in request:
            started = time.perf_counter()
            for _ in range(request["steps"]):
                self.step()
            return {"seconds": time.perf_counter() - started}
        values = torch.randn(request["reduce"]) * 1e-3
        milliseconds = []
        for _ in range(request["rounds"]):
            started = time.perf_counter()
            distributed.all_reduce(values)
            milliseconds.append((time.perf_counter() - started) * 1000)
        return {"milliseconds": milliseconds}


def follow(wish, rank, requests):
    own = Rank(wish, rank)
    while (request := requests.get()) is not None:
        own.perform(request)


def main():
    wish = json.loads(sys.stdin.readline())
    context = multiprocessing.get_context("spawn")
    queues, others = [], []
    for rank in range(1, wish["workers"]):
        queues.append(context.Queue())
        others.append(context.Process(target=follow, args=(wish, rank, queues[-1])))
        others[-1].start()
    own = Rank(wish, 0)
    trained = sum(parameter.numel() for parameter in own.network.parameters())
    print(json.dumps({"version": torch.__version__, "trainedValues": trained}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        for queue in queues:
            queue.put(request)
        print(json.dumps(own.perform(request)), flush=True)
    for queue in queues:
        queue.put(None)
    for process in others:
        process.join()


if __name__ == "__main__":
    main()
