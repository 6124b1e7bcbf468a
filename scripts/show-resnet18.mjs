// `make show-resnet18`: trains ResNet-18 on a part of CIFAR-10 with Paceline (a server and a worker), then
// with PyTorch by the same rule, batch, augmentation and schedule, one after the other, and draws
// both accuracies over time. CIFAR-10 is taken from PACELINE_DATA_DIR; PyTorch from /usr/bin/python3.
// Usage: node scripts/show-resnet18.mjs [training pictures] [epochs] [folder for the pictures]
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { buildModel } from "../dist/nn/models.js";

const [train = "6000", epochs = "6", out = "pictures"] = process.argv.slice(2);
const data = process.env.PACELINE_DATA_DIR;
if (data === undefined) {
  console.error("paceline: name the folder that holds cifar10/*.bin in PACELINE_DATA_DIR");
  process.exit(2);
}
const [mean, std] = [
  [0.4914, 0.4822, 0.4465],
  [0.247, 0.2435, 0.2616],
];
const rule = { batch: 64, lr: 0.05, momentum: 0.9, weightDecay: 5e-4, rise: 0.3 };
const run = `resnet18-${new Date().toISOString().replace(/[-:]|\..*/g, "")}`;
const threads = availableParallelism();
/** Test pictures scored after each epoch. */
const test = 2000;

function perform(program, words, input) {
  const { status } = spawnSync(program, words, { input, stdio: [input === undefined ? "ignore" : "pipe", "inherit", "inherit"] });
  if (status !== 0) process.exit(status ?? 1);
}

const paceline = [
  ...["dist/cli/main.js", "train", "--name", run, "--model", "resnet18", "--data", "cifar10"],
  ...["--train-limit", train, "--test-limit", `${test}`, "--epochs", epochs, "--servers", "1", "--workers", "1", "--threads", `${threads}`],
  ...["--augment", "crop:4,flip", "--batch-size", `${rule.batch}`, "--optimizer", "nesterov"],
  ...["--momentum", `${rule.momentum}`, "--weight-decay", `${rule.weightDecay}`, "--weight-decay-plain", "0"],
  ...["--lr", `${rule.lr}`, "--lr-schedule", "onecycle", "--eval-every", "1e", "--no-progress"],
];
perform(process.execPath, paceline);

const peer = join("runs", run, "pytorch.json");
const wish = {
  ...rule,
  ...{ graph: buildModel("resnet18", { classes: 10, inputShape: [3, 32, 32] }), folder: join(data, "cifar10") },
  ...{ train: Number(train), test, epochs: Number(epochs), mean, std, threads },
  ...{ name: "PyTorch", out: peer },
};
perform("/usr/bin/python3", ["-B", "bench/peers/torch_train.py"], `${JSON.stringify(wish)}\n`);

const result = JSON.parse(readFileSync(join("runs", run, "result.json"), "utf8"));
const own = join("runs", run, "paceline.json");
writeFileSync(own, JSON.stringify({ ...result, experiment_name: "Paceline" }));
const drawn = join("runs", run, "pictures");
perform(process.execPath, ["dist/cli/main.js", "charts", own, peer, "-o", drawn]);
mkdirSync(out, { recursive: true });
for (const theme of ["", "-dark"]) {
  copyFileSync(join(drawn, `accuracy_vs_time${theme}.png`), join(out, `resnet18-pytorch${theme}.png`));
}
