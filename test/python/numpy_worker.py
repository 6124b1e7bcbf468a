"""A worker of a Paceline run in Python, written from docs/protocol.md and the proto files alone:

    python3 test/python/numpy_worker.py DESCRIPTORS COORDINATOR [RECORD]

DESCRIPTORS is a file descriptor set of proto/paceline/v1 with its imports, as protoc or buf write it.
It knows the model `mlp` (two fully connected layers, ReLU between) and takes its examples from the
coordinator, so the run has `--feed central`. It keeps pace in BSP, evaluates, rests for checkpoints,
and ends with what the coordinator says. One JSON line of what it did goes to standard output.
Each message that it sends or receives becomes a line of the file RECORD, without payloads and examples.
"""

import json
import os
import queue
import socket
import sys
import threading
import time
import uuid

import grpc
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PROTOCOL = 4


class Messages:
    """The message classes of a descriptor set, by name, and the record of those that travel."""

    def __init__(self, path, record):
        self.record = record
        self._pool = descriptor_pool.DescriptorPool()
        described = descriptor_pb2.FileDescriptorSet()
        with open(path, "rb") as file:
            described.ParseFromString(file.read())
        for one in described.file:
            self._pool.Add(one)

    def __getattr__(self, name):
        found = self._pool.FindMessageTypeByName(f"paceline.v1.{name}")
        made = message_factory.MessageFactory(self._pool).GetPrototype(found)
        setattr(self, name, made)
        return made


class Record:
    """A file of what was said and heard, a line a message, in the order of the wire."""

    def __init__(self, path):
        self._file, self._lock = path and open(path, "w"), threading.Lock()

    def add(self, direction, call, message):
        if not self._file:
            return
        told = type(message)()
        told.CopyFrom(message)
        for bulk in ("payload", "values"):
            if bulk in told.DESCRIPTOR.fields_by_name:
                told.ClearField(bulk)
        line = f"{direction} {call} {told.DESCRIPTOR.name} {json.dumps(json_format.MessageToDict(told))}"
        with self._lock:
            print(line, file=self._file, flush=True)


class Calls:
    """The calls of one service at one address."""

    def __init__(self, messages, service, address):
        limits = [("grpc.max_receive_message_length", 32 << 20)]
        self._channel = grpc.insecure_channel(address, limits)
        self._messages, self._service = messages, service

    def call(self, form, name, answer):
        record, kind = self._messages.record, getattr(self._messages, answer)

        def to_bytes(message):
            record.add(">", name, message)
            return message.SerializeToString()

        def from_bytes(data):
            message = kind.FromString(data)
            record.add("<", name, message)
            return message

        path = f"/paceline.v1.{self._service}/{name}"
        return getattr(self._channel, form)(path, request_serializer=to_bytes, response_deserializer=from_bytes)

    def close(self):
        self._channel.close()


class Outbox:
    """What a stream sends: an iterator over what is put in, until it is closed."""

    def __init__(self):
        self._queue = queue.Queue()

    def put(self, message):
        self._queue.put(message)

    def close(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


class Session:
    """A member's session: registered, heard of every interval, its messages in order."""

    def __init__(self, messages, coordinator):
        self.messages = messages
        self.calls = Calls(messages, "Coordinator", coordinator)
        register = self.calls.call("unary_unary", "Register", "RegisterReply")
        request = messages.RegisterRequest(
            protocol=PROTOCOL, role=2, pid=os.getpid(), host=socket.gethostname(), attempt=str(uuid.uuid4())
        )
        reply = register(request, wait_for_ready=True, timeout=30)
        if reply.WhichOneof("result") == "refused":
            raise SystemExit(f"refused: {reply.refused.reason}")
        self.me = reply.registered
        # What it has counted is told with each heartbeat and at the end of each assignment.
        self.counts, self.activity = messages.WorkerStatistics(), "starting"
        self.received, self.agreed, self._kept = 0, threading.Event(), []
        self._sequence, self._lock = 0, threading.Lock()
        self._out = Outbox()
        opening = messages.MemberMessage(open=self.identity())
        self._out.put(opening)
        self.incoming = self.calls.call("stream_stream", "Heartbeat", "CoordinatorMessage")(iter(self._out))
        threading.Thread(target=self._beat, daemon=True).start()

    def identity(self):
        return self.messages.MemberIdentity(role=2, rank=self.me.rank, incarnation=self.me.incarnation)

    def _beat(self):
        while True:
            with self._lock:
                self._sequence += 1
                beat = self.messages.Heartbeat(
                    sequence=self._sequence, received=self.received, activity=self.activity, term=self.me.term
                )
                beat.worker.CopyFrom(self.counts)
                self._out.put(self.messages.MemberMessage(heartbeat=beat))
            time.sleep(self.me.heartbeat_interval_ms / 1000)

    def say(self, **body):
        """Says something in order; nothing leaves before the coordinator has answered a heartbeat."""
        self.agreed.wait()
        with self._lock:
            self._out.put(self.messages.MemberMessage(**body))

    def close(self):
        self._out.close()


class Servers:
    """The chunks of a run: pulled whole, then pushed as gradients and given back as weights."""

    def __init__(self, session, spec, layout, inbox):
        self._session, self._messages, self._spec, self._inbox = session, session.messages, spec, inbox
        self.chunks = layout.chunks
        self.values = numpy.zeros(sum(chunk.length for chunk in self.chunks), "<f4")
        self.versions = [0] * len(self.chunks)
        self.outcomes = {}
        self.asked = {}
        self._pulls = 0
        self._view, self._links = None, {}

    def take(self, view):
        """Follows a view: links to its servers, and whatever is unanswered asked again under it."""
        self._view = view
        for server in view.servers:
            life = (server.index, server.incarnation)
            if life not in self._links:
                self._links[life] = self._link(server)
        for asked in self.asked.values():
            self._send(asked)

    def _link(self, server):
        calls = Calls(self._messages, "ParameterServer", server.address)
        out = Outbox()
        replies = calls.call("stream_stream", "PushPull", "Chunk")(iter(out))
        out.put(self._header(0))
        threading.Thread(target=self._hear, args=(replies,), daemon=True).start()
        return out

    def _hear(self, replies):
        try:
            for reply in replies:
                self._inbox.put(("chunk", reply))
        except grpc.RpcError as error:
            # A server that went is out of a later view; whatever is unanswered is asked again under it.
            print(f"link to a server ended: {error.details()}", file=sys.stderr)

    def _header(self, kind, **fields):
        me, view = self._session.me, self._view
        return self._messages.Chunk(
            kind=kind, run=self._spec.run, generation=view.generation, rank=me.rank, incarnation=me.incarnation,
            phase=view.phase, fence=view.number, term=view.number >> 32, **fields,
        )

    def _send(self, asked):
        primary = self._view.replicas[asked["chunk"]].servers[0]
        server = next(server for server in self._view.servers if server.index == primary)
        self._links[(server.index, server.incarnation)].put(self._header(**asked))

    def _ask(self, **asked):
        self.asked[asked["chunk"]] = asked
        self._send(asked)

    def pull(self, step):
        # An answer to an earlier pull that was sent twice may still come: it has that one's number.
        self._pulls += 1
        for index in range(len(self.chunks)):
            self._ask(kind=4, chunk=index, step=step, pull=self._pulls)

    def push(self, step, gradient, examples):
        """Gives a step's gradient, the mean over its examples; the answers are the new weights."""
        # Of the pushes with examples the first leads; in BSP nobody judges, so the others need not wait for its answer.
        for index, chunk in enumerate(self.chunks):
            part = gradient[chunk.offset : chunk.offset + chunk.length] if examples > 0 else gradient[:0]
            self._ask(
                kind=3, chunk=index, step=step, version=self.versions[index], examples=examples,
                wants_reply=True, leads=examples > 0 and index == 0, payload=part.astype("<f4").tobytes(),
            )

    def hear(self, reply):
        """Takes what a server says: weights, if they answer what was asked."""
        if reply.kind == 2:
            raise SystemExit(f"a server refused the link: {reply.detail}")
        asked = self.asked.get(reply.chunk)
        if reply.kind != 5 or asked is None:
            return
        if reply.pull != asked["pull"] if asked["kind"] == 4 else reply.step != asked["step"]:
            return
        if reply.outcome == 5:
            # What an earlier view had sent goes out again under the present one; a later view mends the rest.
            if reply.fence < self._view.number:
                self._send(asked)
            return
        if reply.outcome == 6:
            raise SystemExit(f"diverged: {reply.detail}")
        chunk = self.chunks[reply.chunk]
        self.values[chunk.offset : chunk.offset + chunk.length] = numpy.frombuffer(reply.payload, "<f4")
        self.versions[reply.chunk] = reply.version
        self.outcomes[reply.outcome] = self.outcomes.get(reply.outcome, 0) + 1
        del self.asked[reply.chunk]


class Mlp:
    """fc1, ReLU, fc2, cross-entropy; weights and gradients are views of one flat vector."""

    def __init__(self, layout):
        self._tensors = list(layout.tensors)

    def _views(self, flat):
        return [flat[one.offset : one.offset + one.length].reshape(one.shape) for one in self._tensors]

    def forward(self, flat, x, labels):
        w1, b1, w2, b2 = self._views(flat)
        hidden = numpy.maximum(x @ w1.T + b1, 0)
        logits = hidden @ w2.T + b2
        shifted = logits - logits.max(axis=1, keepdims=True)
        logarithms = shifted - numpy.log(numpy.exp(shifted).sum(axis=1, keepdims=True))
        loss_sum = -float(logarithms[numpy.arange(len(labels)), labels].sum())
        correct = int((logits.argmax(axis=1) == labels).sum())
        return hidden, logarithms, loss_sum, correct

    def gradient(self, flat, x, labels):
        _, _, w2, _ = self._views(flat)
        hidden, logarithms, loss_sum, correct = self.forward(flat, x, labels)
        delta = numpy.exp(logarithms)
        delta[numpy.arange(len(labels)), labels] -= 1
        delta /= len(labels)
        back = (delta @ w2) * (hidden > 0)
        gradient = numpy.zeros_like(flat)
        for view, value in zip(self._views(gradient), (back.T @ x, back.sum(0), delta.T @ hidden, delta.sum(0))):
            view[:] = value
        return gradient, loss_sum, correct


class Stopped(Exception):
    """The coordinator said that the run is over, or its stream ended (order is None)."""

    def __init__(self, order):
        super().__init__()
        self.order = order


class NumpyWorker:
    """Plays a worker until the run is over.

    Everything that comes, from the coordinator and from servers, goes through one inbox. While answers
    of servers are awaited, views and pauses are dealt with at once; evaluations and barriers wait until
    the worker rests.
    """

    def __init__(self, messages, coordinator):
        self.session = Session(messages, coordinator)
        self.messages = messages
        self.steps = 0
        self.spec = self.servers = self.model = None
        self._inbox, self._later = queue.Queue(), []
        self._next, self._work, self._stepping, self._started = 0, None, False, False
        self._pause, self._limit, self._settled = None, -1, False
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self):
        session = self.session
        try:
            for message in session.incoming:
                name = message.WhichOneof("body")
                if name == "heartbeat_ack":
                    session.agreed.set()
                    continue
                session.received += 1
                self._inbox.put((name, getattr(message, name)))
        except grpc.RpcError as error:
            print(error, file=sys.stderr)
        self._inbox.put(("stop", None))

    def run(self):
        """Works until the end of the run, and returns the stop that it was told."""
        try:
            while True:
                if self._later:
                    self._obey_at_rest(*self._later.pop(0))
                elif self._must_rest():
                    self._rest()
                    self._take()
                elif self._work is not None and self._started:
                    self._step()
                else:
                    self._take()
        except Stopped as stopped:
            return stopped.order

    def _take(self):
        """Waits for one thing and deals with it."""
        name, order = self._inbox.get()
        session, messages = self.session, self.messages
        if name == "chunk":
            self.servers.hear(order)
        elif name == "stop":
            raise Stopped(order)
        elif name == "prepare":
            self._prepare(order)
        elif name == "view":
            self.servers.take(order.view)
            mine = [one for one in order.view.workers if one.incarnation == session.me.incarnation]
            if mine and not self._started and not self._stepping:
                self._later.insert(0, ("start", mine[0].from_step))
        elif name == "work":
            self._work = order.assignment
            self._position, self._sums = order.assignment.start, [0.0, 0, time.monotonic()]
            self._next = max(self._next, order.assignment.first_step)
        elif name == "pause":
            # Said at once, also amid a step: the others wait for it, and this one may wait for theirs.
            step = self._next if self._stepping else self._next - 1
            self._pause, self._limit, self._settled = order.pause, step, False
            session.say(pausing=messages.Pausing(pause=order.pause, step=step if self._started else -1))
        elif name == "pause_at" and order.pause == self._pause:
            self._limit, self._settled = order.step, True
        elif name == "resume" and order.pause == self._pause:
            self._pause = None
        elif name in ("evaluate", "barrier"):
            self._later.append((name, order))

    def _obey_at_rest(self, name, order):
        if name == "start" and not self._started:
            self._next = max(self._next, order)
            self.servers.pull(self._next)
            self._await()
            self._started = True
        elif name == "evaluate":
            self._evaluate(order)
        elif name == "barrier":
            self.session.say(barrier_reached=self.messages.BarrierReached(barrier=order.barrier))

    def _prepare(self, order):
        self.spec = order.spec
        if self.spec.model != "mlp" or self.spec.feed != "central" or self.spec.protocol.mode != "bsp":
            reason = "this worker knows mlp with --feed central in BSP"
            self.session.say(failed=self.messages.Failed(code="usage", reason=reason))
            return
        self.model = Mlp(order.layout)
        self.servers = Servers(self.session, self.spec, order.layout, self._inbox)
        tensors = [
            self.messages.TensorSpec(name=one.name, shape=one.shape, group=one.group)
            for one in order.layout.tensors
        ]
        self.session.say(ready=self.messages.Ready(run=self.spec.run, tensors=tensors, engine="numpy"))

    def _await(self):
        while self.servers.asked:
            self._take()

    def _must_rest(self):
        return self._pause is not None and self._next > self._limit

    def _rest(self):
        """Says once that it rests, when it is settled where."""
        if not self._settled:
            return
        self._settled = False
        position = self._position if self._work is not None else -1
        if self._work is not None:
            self._finish()
        self.session.say(paused=self.messages.Paused(pause=self._pause, position=position, step=self._next))

    def _read(self, split, epoch, start, end):
        request = self.messages.ReadExamplesRequest(
            run=self.spec.run, split=split, epoch=epoch, start=start, end=end
        )
        labels, values, shape = [], [], ()
        for block in self.session.calls.call("unary_stream", "ReadExamples", "ExamplesBlock")(request):
            labels.extend(block.labels)
            values.append(block.values)
            shape = tuple(block.shape)
        # (n, C, H, W) in float32, brought to the run's mean and deviation.
        x = numpy.frombuffer(b"".join(values), "u1").reshape((-1, *shape)).astype("f4") / numpy.float32(255)
        mean = numpy.array(self.spec.input.mean, "f4").reshape((1, -1, 1, 1))
        std = numpy.array(self.spec.input.std, "f4").reshape((1, -1, 1, 1))
        return ((x - mean) / std).reshape((len(labels), -1)), numpy.array(labels)

    def _step(self):
        work, spec = self._work, self.spec
        if self._next >= work.last_step:
            self._finish()
            return
        self._stepping = True
        self.session.activity = f"computing step {self._next}"
        start, end = self._position, min(self._position + spec.batch_size, work.end)
        examples = max(0, end - start)
        gradient = numpy.zeros(0, "f4")
        counts = self.messages.WorkerStatistics()
        counts.CopyFrom(self.session.counts)
        counts.clock = self._next + 1
        if examples > 0:
            x, labels = self._read(1, work.epoch, start, end)
            gradient, loss_sum, correct = self.model.gradient(self.servers.values, x, labels)
            self._sums[0] += loss_sum
            self._sums[1] += correct
            self.steps += 1
            counts.steps += 1
            counts.examples += examples
            counts.loss_sum += loss_sum
            counts.loss_count += examples
            counts.correct += correct
        self.servers.push(self._next, gradient, examples)
        self._await()
        self._position, self._next, self._stepping = start + examples, self._next + 1, False
        self.session.counts = counts

    def _finish(self):
        work, (loss_sum, correct, began) = self._work, self._sums
        self._work = None
        self.session.say(
            assignment_done=self.messages.AssignmentDone(
                assignment=work.id, examples=self._position - work.start, skipped=work.end - self._position,
                loss_sum=loss_sum, correct=correct, seconds=time.monotonic() - began,
                statistics=self.session.counts,
            )
        )

    def _evaluate(self, order):
        # The model as it is, whose versions are told: all workers have to evaluate the same one.
        self.servers.pull(-1)
        self._await()
        loss_sum, correct = 0.0, 0
        if order.range.end > order.range.start:
            x, labels = self._read(2, 0, order.range.start, order.range.end)
            _, _, loss_sum, correct = self.model.forward(self.servers.values, x, labels)
        self.session.say(
            evaluated=self.messages.Evaluated(
                evaluation=order.evaluation, range=order.range, correct=correct, loss_sum=loss_sum,
                versions=self.servers.versions,
            )
        )


def main():
    descriptors, coordinator = sys.argv[1:3]
    messages = Messages(descriptors, Record(sys.argv[3] if len(sys.argv) > 3 else None))
    worker = NumpyWorker(messages, coordinator)
    end = worker.run()
    if end is not None:
        worker.session.say(leave=messages.Leave(reason=end.reason))
        time.sleep(0.2)
    outcomes = {str(outcome): count for outcome, count in worker.servers.outcomes.items()}
    worker.session.close()
    print(json.dumps({"steps": worker.steps, "outcomes": outcomes, "rank": worker.session.me.rank}))
    return 0 if end is not None and end.outcome == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
