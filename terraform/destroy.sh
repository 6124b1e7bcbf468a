#!/usr/bin/env bash
# Fetches the logs, then removes everything and proves that nothing is left. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

usage() {
  cat << 'END'
usage: ./destroy.sh [--yes] [--no-logs] [-var NAME=VALUE]... [-var-file FILE]...

  --yes       do not ask
  --no-logs   do not fetch the logs first
  -var, ...   only where the stack is half made: as for ./deploy.sh
END
}

yes=no logs=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --yes | -y) yes=yes ;;
    --no-logs) logs=no ;;
    -var | -var-file)
      [ $# -gt 1 ] || die "$1 needs a value" "see ./destroy.sh --help"
      take_variable "$1" "$2"
      shift
      ;;
    -var=* | -var-file=*) take_variable "$1" ;;
    -h | --help) usage && exit 0 ;;
    *) die "$1 is not known" "see ./destroy.sh --help" ;;
  esac
  shift
done

need aws terraform
demand_credentials > /dev/null
explained terraform init -input=false > /dev/null || exit 1

# The stack's own facts where it has them, else what the variables say.
project=$(output project_name || true)
environment=$(output environment || true)
region=$(output aws_region || true)
if [ -z "$project" ] || [ -z "$environment" ] || [ -z "$region" ]; then
  told=$(printf '%s\n' '"${var.project_name} ${var.environment} ${var.aws_region}"' |
    terraform_with_variables console 2> /dev/null | tail -1 | tr -d '"') || told=
  read -r project environment region << END
$told
END
  [ -n "${region:-}" ] || die "neither the state nor the variables say which stack is meant" "give -var and -var-file as for ./deploy.sh"
else
  zones=$(terraform output -json availability_zones)
  cidrs=$(terraform output -json public_subnet_cidrs 2> /dev/null) || cidrs=
  variables=(${variables[@]+"${variables[@]}"} -var "project_name=$project" -var "environment=$environment"
    -var "aws_region=$region" -var "availability_zones=$zones")
  if [ -n "$cidrs" ]; then variables+=(-var "public_subnet_cidrs=$cidrs"); fi
fi
name=$project-$environment
cluster=$name-cluster
export AWS_REGION=$region AWS_DEFAULT_REGION=$region

tasks_of() { aws ecs list-tasks --cluster "$cluster" "$@" --query taskArns --output text 2> /dev/null | tr '\t' '\n' | grep '^arn:' || true; }
count() { grep -c . || true; }

running=$(tasks_of | count)
submitted=$(tasks_of --family "$name-submit")
say "$name in $region: $running tasks run"
if [ -n "$submitted" ]; then
  say "a run is on: it ends, and its checkpoints go with the run store"
else
  say "the run store with its checkpoints goes too"
fi
if [ "$yes" = no ]; then
  ask_for_name "Remove all of" "$name" removed "add --yes"
fi

if [ "$logs" = yes ]; then
  folder=../experiment_results/logs/$name-$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -p "$folder"
  for role in parameter-server worker; do
    if aws logs tail "/ecs/$name-$role" --since 400d --format short > "$folder/$role.log" 2> "$folder/$role.err"; then
      rm -f "$folder/$role.err"
      say "$(wc -l < "$folder/$role.log" | tr -d ' ') lines of /ecs/$name-$role are in ${folder#../}/$role.log"
    elif grep -q ResourceNotFound "$folder/$role.err"; then
      rm -f "$folder/$role.err" "$folder/$role.log"
      say "there is no log group /ecs/$name-$role"
    else
      die "the logs of /ecs/$name-$role can't be fetched: $(cat "$folder/$role.err")" "nothing was removed; --no-logs goes on without them"
    fi
  done
fi

# Tasks of no service would keep the cluster.
for task in $submitted; do
  aws ecs stop-task --cluster "$cluster" --task "$task" --reason "the stack is destroyed" > /dev/null || true
done

# A registry with images is not removed.
for role in parameter-server worker; do
  while :; do
    images=$(aws ecr list-images --repository-name "$name-$role" --max-items 100 --query 'imageIds[*]' --output json 2> /dev/null || echo '[]')
    case "$images" in *imageDigest*) ;; *) break ;; esac
    aws ecr batch-delete-image --repository-name "$name-$role" --image-ids "$images" > /dev/null ||
      die "the images of $name-$role can't be removed" "run this again"
  done
done

explained terraform_with_variables destroy -input=false -auto-approve ||
  die "not everything is removed" "run ./destroy.sh again: it goes on from there"
rm -f deploy.auto.tfvars

# The list of tagged resources follows some seconds behind. Revisions of task definitions stay in it
# when they are inactive, as do clusters; they cost nothing, and ECS forgets them by itself.
unproved() { die "it can't be proved that nothing of $name is left: $1" "look in the console, or run ./destroy.sh again"; }
left_over() {
  local found
  found=$(aws resourcegroupstaggingapi get-resources --output text --query 'ResourceTagMappingList[].ResourceARN' \
    --tag-filters "Key=Project,Values=$project" "Key=Environment,Values=$environment") || return 1
  printf '%s\n' "$found" | tr '\t' '\n' | grep '^arn:' | grep -vE ':ecs:[^:]*:[^:]*:(task-definition|task|cluster|service)/' || true
}
active=$(aws ecs describe-clusters --clusters "$cluster" --output text --query 'clusters[?status==`ACTIVE`].clusterName') ||
  unproved "AWS does not list clusters"
roles=$(aws iam list-roles --output text --query "Roles[?starts_with(RoleName, '$name-')].RoleName" 2> /dev/null || true)
for attempt in 1 2 3 4 5 6; do
  left=$(left_over) || unproved "AWS does not list tagged resources"
  [ -n "$left" ] || break
  [ "$attempt" -eq 6 ] || sleep "${SETTLE_SECONDS:-10}"
done
for thing in $left; do say "left: $thing"; done
for thing in $active $roles; do [ "$thing" = None ] || left="$left $thing"; done
if [ -n "${left// /}" ]; then die "something of $name is left:$(printf ' %s' $left)" "remove it in the console, or run ./destroy.sh again"; fi
say "nothing tagged Project=$project, Environment=$environment is left in $region"
