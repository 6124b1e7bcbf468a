"""
PyTorch's side of `paceline bench push-pull`: a parameter server over torch.distributed.rpc. One
process holds the weights and applies plain SGD, the other pushes a gradient and gets the weights
back, as one flat tensor each way.

The first line of standard input says how large, as JSON: {"values": n, "threads": t, "port": p}.
Each further line, {"rounds": n}, makes so many round trips and is answered with the milliseconds of
each.
"""

import json
import os
import sys
import time

import torch
import torch.distributed.rpc as rpc
import torch.multiprocessing as multiprocessing

rate = 0.1
weights = None


def create(values, threads):
    """Runs in the server: makes the weights."""
    global weights
    torch.set_num_threads(threads)
    weights = torch.zeros(values)


def push_pull(gradient):
    """Runs in the server: one update, answered with the weights."""
    weights.add_(gradient, alpha=-rate)
    return weights


def options(port):
    return rpc.TensorPipeRpcBackendOptions(init_method=f"tcp://127.0.0.1:{port}")


def serve(port):
    rpc.init_rpc("server", rank=1, world_size=2, rpc_backend_options=options(port))
    rpc.shutdown()


def main():
    wish = json.loads(sys.stdin.readline())
    torch.set_num_threads(wish["threads"])
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    os.environ["TP_SOCKET_IFNAME"] = "lo"
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(wish["port"],))
    server.start()
    rpc.init_rpc("worker", rank=0, world_size=2, rpc_backend_options=options(wish["port"]))
    rpc.rpc_sync("server", create, args=(wish["values"], wish["threads"]))
    gradient = torch.randn(wish["values"]) * 1e-3
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        milliseconds = []
        for _ in range(json.loads(line)["rounds"]):
            started = time.perf_counter()
            rpc.rpc_sync("server", push_pull, args=(gradient,))
            milliseconds.append((time.perf_counter() - started) * 1000)
        print(json.dumps({"milliseconds": milliseconds}), flush=True)
    rpc.shutdown()
    server.join()


if __name__ == "__main__":
    main()
