#!/usr/bin/env bash
# Starts a run on the workers that are there: a task that submits it and waits for its end.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

usage() {
  cat << 'END'
usage: ./run.sh [--name RUN] [-e NAME=VALUE]... [--wait]
       ./run.sh --fetch DATA [--wait]

  --name RUN      name of the run
  -e NAME=VALUE   an option of paceline submit, by its name in the environment, in place of what
                  Terraform's variables say
  --fetch DATA    start no run: bring a published data set to the run store
  --wait          stay until the task has ended, and end with its exit code

  ./run.sh --name async_4workers -e SERVER_MODE=async -e TOTAL_WORKERS_EXPECTED=4
END
}

environment=() wait=no fetch=
while [ $# -gt 0 ]; do
  case "$1" in
    --name | -e)
      [ $# -gt 1 ] || die "$1 needs a value" "see ./run.sh --help"
      if [ "$1" = --name ]; then environment+=("PACELINE_NAME=$2"); else environment+=("$2"); fi
      shift
      ;;
    --fetch)
      [ $# -gt 1 ] || die "$1 needs a value" "see ./run.sh --help"
      fetch=$2
      environment+=("FETCHED_DATA=$2")
      shift
      ;;
    --wait) wait=yes ;;
    -h | --help) usage && exit 0 ;;
    *) die "$1 is not known" "see ./run.sh --help" ;;
  esac
  shift
done

need aws terraform node
demand_credentials > /dev/null
cluster=$(output ecs_cluster_name) || cluster=
definition=$(output submit_task_definition) || definition=
[ -n "$cluster" ] && [ -n "$definition" ] || die "there is no stack" "run ./deploy.sh first"
region=$(output aws_region)
export AWS_REGION=$region AWS_DEFAULT_REGION=$region

overrides=$(node -e '
  const [kind, ...texts] = process.argv.slice(1);
  const environment = texts.map((text) => {
    const [, name, value] = /^([A-Z_][A-Z0-9_]*)=(.*)$/s.exec(text) ?? [];
    if (name === undefined) {
      console.error(`error: -e ${text} is not NAME=VALUE, such as PACELINE_EPOCHS=5`);
      process.exit(1);
    }
    return { name, value };
  });
  const fetching = `PACELINE_CACHE_DIR="$DATA_MOUNT" exec paceline data fetch "$FETCHED_DATA"`;
  const command = kind === "fetch" ? { command: [fetching] } : {};
  const override = { name: "submit", environment, ...command };
  process.stdout.write(JSON.stringify({ containerOverrides: [override] }));
' -- "${fetch:+fetch}" ${environment[@]+"${environment[@]}"})
subnets=$(terraform output -json public_subnet_ids | tr -d '[] "\n')
group=$(output security_group_parameter_server_id)
task=$(aws ecs run-task --cluster "$cluster" --task-definition "$definition" --count 1 \
  --capacity-provider-strategy capacityProvider=FARGATE,weight=1 --propagate-tags TASK_DEFINITION \
  --network-configuration "awsvpcConfiguration={subnets=[$subnets],securityGroups=[$group],assignPublicIp=ENABLED}" \
  --overrides "$overrides" --query 'tasks[0].taskArn' --output text) || die "ECS took no task"
case "$task" in
  arn:*) ;;
  *) die "ECS started no task: $task" "see paceline aws status for what stopped, and for quotas" ;;
esac
if [ -n "$fetch" ]; then
  say "task ${task##*/} brings $fetch to the run store"
else
  say "run submitted by task ${task##*/}; its name and its progress are in $(output parameter_server_log_group)"
fi
if [ "$wait" = no ]; then exit 0; fi

# The waiter of the AWS CLI gives up after ten minutes, a run may last longer.
while :; do
  pause=0
  aws ecs wait tasks-stopped --cluster "$cluster" --tasks "$task" 2> /dev/null || pause=${SETTLE_SECONDS:-10}
  state=$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --output text --query 'tasks[0].lastStatus' 2>&1) ||
    die "the task can't be looked at: $state" "the run goes on; see paceline aws status"
  case "$state" in
    STOPPED) break ;;
    '' | None) die "ECS has forgotten the task ${task##*/}" "see paceline aws logs for how the run ended" ;;
  esac
  sleep "$pause"
done
code=$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --output text \
  --query 'tasks[0].containers[0].exitCode')
say "the ${fetch:+task of }${fetch:-run} ended with exit code $code"
case "$code" in '' | *[!0-9]*) exit 1 ;; esac
exit "$code"
