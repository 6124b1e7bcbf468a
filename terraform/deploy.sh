#!/usr/bin/env bash
# Makes the stack, or brings it to what the variables say, and starts a run. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

usage() {
  cat << 'END'
usage: ./deploy.sh [-var NAME=VALUE]... [-var-file FILE]... [--no-run] [--no-build] [--name RUN] [--yes]

  -var, -var-file   variables, as terraform takes them: give the same ones each time
  --no-run          do not start a run
  --no-build        take the images that were pushed before
  --name RUN        name of the run
  --yes             do not ask where a run is on

  ./deploy.sh -var-file dev.tfvars
  ./deploy.sh -var server_mode=async -var worker_count=8
END
}

run=yes build=yes yes=no run_arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    -var | -var-file)
      [ $# -gt 1 ] || die "$1 needs a value" "see ./deploy.sh --help"
      take_variable "$1" "$2"
      shift
      ;;
    -var=* | -var-file=*) take_variable "$1" ;;
    --no-run) run=no ;;
    --no-build) build=no ;;
    --yes | -y) yes=yes ;;
    --name)
      [ $# -gt 1 ] || die "--name needs a value" "see ./deploy.sh --help"
      run_arguments+=(--name "$2")
      shift
      ;;
    -h | --help) usage && exit 0 ;;
    *) die "$1 is not known" "see ./deploy.sh --help" ;;
  esac
  shift
done

need aws terraform node
if [ "$build" = yes ]; then need docker; fi
account=$(demand_credentials)

say "== Terraform"
explained terraform init -input=false > /dev/null || exit 1

# What the variables come to; this is also where values that can't be are refused.
facts='"${var.aws_region} ${local.name} ${var.worker_spot} ${var.worker_cpu * local.worker_max_count} ${var.coordinator_cpu + 256 + var.parameter_server_cpu * var.parameter_server_count} ${var.enable_tls}"'
problems=$(mktemp)
told=$(printf '%s\n' "$facts" | terraform_with_variables console 2> "$problems") || told=
if [ -z "$told" ] || grep -q 'Error:' "$problems"; then
  say "$(tr -d '\033' < "$problems" | sed 's/\[[0-9;]*m//g')"
  die "these variables can't be used"
fi
rm -f "$problems"
read -r region name spot worker_units other_units tls << END
$(printf '%s\n' "$told" | tail -1 | tr -d '"')
END
export AWS_REGION=$region AWS_DEFAULT_REGION=$region

say "== $name in $region, account $account"

present=$(output ecs_cluster_name || true)
if [ -n "$present" ] && [ "$present" != "$name-cluster" ]; then
  die "this folder's state is of $present, and the variables say $name-cluster" \
    "give the same -var and -var-file as before, or keep a state for each: terraform workspace new ${name##*-}"
fi

# Amazon's own list of regions; an account that may not read it is told by ECS itself.
regions=$(aws ssm get-parameters-by-path --region us-east-1 --output text --query 'Parameters[].Value' \
  --path /aws/service/global-infrastructure/services/fargate/regions 2> /dev/null || true)
case " $(printf '%s' "$regions" | tr '\n\t' '  ') " in
  "  " | *" $region "*) ;;
  *) die "there is no Fargate in $region" \
    "choose a region that has it: -var aws_region=us-east-1 -var 'availability_zones=[\"us-east-1a\",\"us-east-1b\"]'" ;;
esac

clash=$(aws ecs describe-clusters --clusters "$name-cluster" --output text \
  --query 'clusters[?status==`ACTIVE`].clusterName' 2> /dev/null || true)
if [ -n "$clash" ] && [ "$clash" != None ] && ! terraform state list 2> /dev/null | grep -q '^aws_ecs_cluster.main$'; then
  die "there is a cluster $clash already, and it is not of this folder's state" \
    "another stack has the name: choose another with -var environment=test, or -var project_name=..." \
    "or work where that stack's state file is"
fi

if [ -n "$present" ]; then
  problem=
  submitted=$(aws ecs list-tasks --cluster "$present" --family "$name-submit" --query taskArns \
    --output text 2>&1) || problem=$submitted
  case "$problem" in
    *ClusterNotFound*) submitted= ;;
    ?*)
      [ "$yes" = yes ] || die "it can't be told whether a run is on in $present: $problem" \
        "nothing was changed; run this again, or add --yes to go on without knowing"
      submitted=
      ;;
  esac
  for task in $submitted; do
    case "$task" in arn:*) ;; *) continue ;; esac
    say "a run is on in $present (task ${task##*/})"
    asks=yes
  done
  if [ "${asks:-no}" = yes ]; then
    say "where images or variables differ its tasks are renewed: it writes a checkpoint, and goes on from there"
    if [ "$yes" = no ]; then
      ask_for_name Change "$name" changed "wait for its end, or add --yes"
    fi
  fi
fi

# demand_quota CODE UNITS WHAT
demand_quota() {
  local limit vcpus
  vcpus=$((($2 + 1023) / 1024))
  limit=$(aws service-quotas get-service-quota --service-code fargate --quota-code "$1" \
    --query Quota.Value --output text 2> /dev/null || true)
  limit=${limit%%.*}
  case "$limit" in '' | *[!0-9]*) return 0 ;; esac
  if [ "$vcpus" -gt "$limit" ]; then
    die "$3 need $vcpus vCPUs, and the account may have $limit of them in $region" \
      "fewer or smaller tasks fit: -var worker_count=$((limit > 3 ? limit / 2 : 1)) -var-file dev.tfvars" \
      "or ask for more: https://console.aws.amazon.com/servicequotas (AWS Fargate)"
  fi
}
if [ "$spot" = true ]; then
  demand_quota L-36FBB829 "$worker_units" "workers on Spot"
  demand_quota L-3032A538 "$other_units" "coordinator and servers"
else
  demand_quota L-3032A538 "$((worker_units + other_units))" "all tasks together"
fi

say "== Registries and the secret"
explained terraform_with_variables apply -input=false -auto-approve \
  -target=aws_ecr_repository.parameter_server -target=aws_ecr_repository.worker \
  -target=aws_secretsmanager_secret.cluster || exit 1
server_registry=$(output parameter_server_ecr_repository_url) || server_registry=
worker_registry=$(output worker_ecr_repository_url) || worker_registry=
[ -n "$server_registry" ] && [ -n "$worker_registry" ] || die "terraform made no registries"

if [ "$build" = yes ]; then
  say "== Images, for linux/amd64"
  # Tasks are renewed when the tag changes: what is not committed has a tag of its own each time.
  now=$(date -u +%Y%m%d%H%M%S)
  tag=$(git -C .. rev-parse --short HEAD 2> /dev/null) || tag=$now
  [ -z "$(git -C .. status --porcelain 2> /dev/null)" ] || tag=$tag-$now
  build_image() {
    local platform
    explained docker build --platform linux/amd64 -f "../$1" -t "$2:$tag" .. ||
      die "the image of $1 could not be built" \
        "on a machine of another architecture Docker needs emulation:" \
        "Docker Desktop has it; elsewhere: docker run --privileged --rm tonistiigi/binfmt --install amd64"
    platform=$(docker image inspect --format '{{.Os}}/{{.Architecture}}' "$2:$tag")
    [ "$platform" = linux/amd64 ] ||
      die "the image of $1 is of $platform, and Fargate runs it as linux/amd64" \
        "a base image without that platform, or DOCKER_DEFAULT_PLATFORM, may be why"
  }
  build_image Dockerfile.server "$server_registry"
  build_image Dockerfile.worker "$worker_registry"

  say "== Pushing"
  aws ecr get-login-password --region "$region" |
    docker login --username AWS --password-stdin "${server_registry%%/*}" > /dev/null ||
    die "the registry ${server_registry%%/*} takes no login"
  explained docker push "$server_registry:$tag" || exit 1
  explained docker push "$worker_registry:$tag" || exit 1
  # Terraform reads this file by itself, so that a plain apply keeps these images.
  printf '# Written by deploy.sh.\nimage_tag = "%s"\n' "$tag" > deploy.auto.tfvars
fi

say "== Token and certificates"
secret=$(output cluster_secret_arn) || secret=
problem=
kept=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text 2>&1) || problem=$kept
case "$problem" in
  '' | *ResourceNotFound*) ;;
  *) die "the secret $secret can't be read: $problem" "nothing was changed; run this again" ;;
esac
# One that was made without certificates has no place for them.
lacks=no
if [ "$tls" = true ]; then case "$kept" in *'"ca"'*) ;; *) lacks=yes ;; esac; fi
if [ -n "$problem" ] || [ "$lacks" = yes ]; then
  ./make-secret.sh "$tls" | aws secretsmanager put-secret-value --secret-id "$secret" \
    --secret-string file:///dev/stdin > /dev/null || die "the secret $secret can't be written"
  say "made; they are in Secrets Manager and nowhere else"
else
  say "kept as they are"
fi

say "== Everything else"
explained terraform_with_variables apply -input=false -auto-approve || exit 1

cluster=$(output ecs_cluster_name)
servers=$(output parameter_server_log_group)
workers=$(output worker_log_group)
say "== Waiting for the tasks"
servers_of() { terraform output -json parameter_server_service_names | tr -d '[]" \n' | tr ',' ' '; }
all_stable() {
  local service
  for service in $(output coordinator_service_name) $(servers_of) $(output worker_service_name); do
    aws ecs wait services-stable --cluster "$cluster" --services "$service" || return 1
  done
}
if ! all_stable; then
  say "the tasks do not stay up; the latest that stopped, and why:"
  stopped=$(aws ecs list-tasks --cluster "$cluster" --desired-status STOPPED --output text --query 'taskArns[:5]' || true)
  if [ -n "$stopped" ] && [ "$stopped" != None ]; then
    # shellcheck disable=SC2086
    reasons=$(aws ecs describe-tasks --cluster "$cluster" --tasks $stopped --output text \
      --query 'tasks[].[group,stoppedReason,containers[0].reason,containers[0].exitCode]')
    say "$reasons"
    case "$reasons" in
      *"exec format"*) say "an image is of the wrong architecture: build it with ./deploy.sh, not by hand" ;;
      *CannotPullContainer*) say "the image can't be pulled: run ./deploy.sh without --no-build" ;;
      *ResourceInitialization*) say "a secret, a log group or the run store can't be reached: see ./deploy.sh -var existing_role_name=... for accounts with a role of their own" ;;
    esac
  fi
  die "the stack is there, and its tasks do not run" "logs: aws logs tail $servers --since 30m" "the same command goes on from here; ./destroy.sh removes it"
fi

if [ "$run" = yes ]; then
  if [ ${#run_arguments[@]} -eq 0 ]; then ./run.sh; else ./run.sh "${run_arguments[@]}"; fi
fi

cat << END

The stack is up. From here:

  aws logs tail $servers --follow --region $region
  aws logs tail $workers --follow --region $region
  aws logs tail $servers --follow --region $region --filter-pattern METRICS_JSON
  aws ecs list-tasks --cluster $cluster --region $region
  https://$region.console.aws.amazon.com/cloudwatch/home?region=$region#dashboards:name=$(output dashboard_name)

  paceline aws status            tasks, ranks, why tasks stopped, cost per hour
  ./run.sh -e SERVER_MODE=async  another run on the same workers
  paceline aws fetch -o logs     logs of both groups
  ./destroy.sh                   everything goes; it costs by the hour until then
END
