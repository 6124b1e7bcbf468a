# Everything a contributor types. `make help` lists the targets.
NODE := node
TSC := node_modules/.bin/tsc
BIOME := node_modules/.bin/biome
PACELINE := $(NODE) dist/cli/main.js
# A marker that npm writes when it has installed what package-lock.json says.
INSTALLED := node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help node native etcd install build lint proto kernels docs sbom test test-long mutants bench-memory bench-checkpoint bench-failover bench-chaos fuzz test-onednn3 test-containers demo show-cnn6 show-resnet18 show-server-failure experiments-quick sim sim-long conversation clean

help:
	@echo "make test     install, lint, check generated files, build, run the tests"
	@echo "make test-long   all of make test with more seeds and cases; simulated clusters by the thousand; a thousand losses; twenty switches; fifty jobs; a set larger than memory; two computers, hosts over ssh (Linux, root, sshd); tasks of a stack on AWS that are replaced"
	@echo "make sim SEEDS=5000 FROM=0   simulated clusters with faults: which seeds fail, and why"
	@echo "make sim SEED=7   one of them, with its story; MODE=bsp fixes the mode that a seed draws"
	@echo "make sim-long   100,000 simulated clusters"
	@echo "make mutants  plant the faults of test/mutants one by one: does a test catch each?"
	@echo "make bench-memory   2,000 steps with each transport: is memory within its limits, and flat (Linux)"
	@echo "make bench-failover   servers killed, paused, cut off: time without progress, and the bits after"
	@echo "make bench-chaos DURATION=10min FAULTS=60 SEED=1   everything killed, frozen, cut off: what is lost, and the time"
	@echo "make fuzz SECONDS=600 SEED=1   strangers and mutated messages at every listener, beside two runs"
	@echo "make test-onednn3   the engine's tests with oneDNN 3, in a Debian 13 root (Linux, root)"
	@echo "make test-containers   build the images, run a cluster of them with podman, strike it (Linux, root)"
	@echo "make demo     install, build, train MNIST synchronously, then asynchronously"
	@echo "make show-resnet18   ResNet-18 on a part of CIFAR-10, Paceline and PyTorch: accuracy over time"
	@echo "make show-server-failure   a server is killed, with one replica and with two: accuracy by iteration"
	@echo "make show-cnn6   train cnn6 on CIFAR-10 with batches dealt to workers without data"
	@echo "make experiments-quick   six short runs in two modes, their charts and a report"
	@echo "make build    compile src/ to dist/ and test/ to dist-test/, pack dist/bundle"
	@echo "make lint     biome over src/, test/ and bench/"
	@echo "make proto    generate src/transport/wire/generated-*.ts from proto/"
	@echo "make kernels  compile assembly/ to src/kernels/generated-kernels.ts"
	@echo "make docs     generate docs/config.md and docs/errors.md"
	@echo "make sbom     the bill of materials, CycloneDX JSON, to .build/sbom.cdx.json"
	@echo "make conversation   record docs/protocol.md's conversation anew"
	@echo "make bench-NAME   one benchmark beside its peers: paceline bench NAME --peers"
	@echo "make clean    remove what was built"

node:
	@$(NODE) scripts/check-node.mjs

$(INSTALLED): package-lock.json | node
	npm ci
	@touch $(INSTALLED)

install: node $(INSTALLED)

build: install
	@$(NODE) scripts/prune-build.mjs
	$(TSC) -p tsconfig.json
	$(TSC) -p tsconfig.test.json
	$(NODE) scripts/bundle.mjs

lint: install
	$(BIOME) check --error-on-warnings

native: node
	@$(NODE) scripts/install-native.mjs

proto: install
	$(NODE) scripts/generate-proto.mjs

kernels: install
	$(NODE) scripts/generate-kernels.mjs

docs: build
	$(PACELINE) config docs --write docs

sbom: install
	$(NODE) scripts/write-sbom.mjs .build/sbom.cdx.json

conversation: build
	$(NODE) scripts/record-conversation.mjs

etcd: node
	@$(NODE) scripts/fetch-etcd.mjs

test: native etcd
	@$(MAKE) --no-print-directory --jobs=2 lint build
	$(NODE) scripts/generate-proto.mjs --check
	$(NODE) scripts/generate-kernels.mjs --check
	$(NODE) scripts/run-tests.mjs

test-long: build
	PACELINE_TESTS=long $(NODE) scripts/run-tests.mjs
	$(NODE) --test --test-concurrency=1 dist-test/*.long.js

mutants: build
	$(NODE) scripts/mutants.mjs

MODE :=
SEEDS := 5000
FROM := 0
SEED :=

sim: build
	$(NODE) scripts/sim.mjs $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM)) --mode "$(MODE)"

sim-long: build
	$(NODE) scripts/sim.mjs --seeds 100000 --from $(FROM) --mode "$(MODE)"

test-containers: etcd build
	$(NODE) scripts/test-containers.mjs

test-onednn3: build
	$(NODE) scripts/test-onednn3.mjs

demo: native build
	$(NODE) scripts/demo.mjs

# CIFAR-10 is taken from PACELINE_DATA_DIR, or fetched.
show-cnn6: build
	$(NODE) scripts/show-cnn6.mjs

show-resnet18: build
	$(NODE) scripts/show-resnet18.mjs 6000 6 docs/images

show-server-failure: build
	$(NODE) scripts/show-server-failure.mjs docs/images

# Finished runs are skipped; remove experiment_results/quick to begin afresh.
experiments-quick: build
	$(PACELINE) experiments run configs/experiments-quick.yaml
	$(PACELINE) experiments report configs/experiments-quick.yaml

# resnet18 with momentum, 4 workers; an hour where two cores are shared by all processes. It has no
# peers: its limits stand beside it.
bench-memory: build
	$(PACELINE) bench memory --checkpoint

bench-checkpoint: build
	$(PACELINE) bench checkpoint

# Thirty faults of servers in each of three runs, f32 and fp16 in step and f32 freely; half an hour.
bench-failover: build
	$(PACELINE) bench failover --mode bsp --compress none,fp16
	# Each push is a step there, so four workers take four times as many in the same time.
	$(PACELINE) bench failover --mode asp --every 4000

DURATION := 10min
FAULTS := 60

# Three runs of ten minutes: BSP, BSP with workers that come and go, ASP; and the same steps of the
# first in one process.
bench-chaos: etcd build
	$(PACELINE) bench chaos --duration $(DURATION) --faults $(FAULTS) --seed $(or $(SEED),1)

SECONDS := 600

# KEEP=1 adds inputs that led to further answers to test/corpus.
fuzz: build
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(or $(SEED),1) $(if $(KEEP),FUZZ_KEEP=1) \
		$(NODE) --test dist-test/strangers.long.js

bench-%: build
	$(PACELINE) bench $* --peers

clean:
	rm -rf dist dist-test .build coverage
