# What the scripts of this folder share; bash 3.2 is enough.

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}

# Has the user type a name; ends where nobody is there, or another one is typed.
# Usage: ask_for_name VERB NAME WHAT_WAS_NOT_DONE REMEDY
ask_for_name() {
  [ -t 0 ] || die "nothing was $3: nobody is there to be asked" "$4"
  printf '%s %s? Type its name: ' "$1" "$2" >&2
  read -r answer
  [ "$answer" = "$2" ] || die "nothing was $3"
}

need() {
  for program in "$@"; do
    command -v "$program" > /dev/null || die "$program is not installed" "see DEPLOYMENT.md, What you need"
  done
}

# Runs a command, shows what it says, and where it fails says what that means. Ctrl-C is for the
# command: what shows its words outlives it, as terraform ends in order only while it can write.
explained() {
  local log status
  log=$(mktemp)
  set +e
  "$@" 2>&1 | tee -i "$log" >&2
  status=${PIPESTATUS[0]}
  set -e
  if [ "$status" -ne 0 ]; then explain "$log"; fi
  rm -f "$log"
  return "$status"
}

explain() {
  say
  if grep -qiE 'ExpiredToken|InvalidClientTokenId|NoCredentialProviders|No valid credential|Unable to locate credentials|security token' "$1"; then
    say "AWS does not know the credentials, or they have expired: run aws configure, or aws sso login,"
    say "or copy the lab's new session token, and run this again."
  elif grep -qiE 'AccessDenied|UnauthorizedOperation|not authorized to perform' "$1"; then
    say "The account may not do this. Where it may make no roles, as in a lab, add"
    say "  -var existing_role_name=LabRole"
    say "Where it may make no budget, add -var monthly_budget_usd=0."
  elif grep -qiE 'LimitExceeded|quota|VcpuLimit|capacity is unavailable' "$1"; then
    say "A limit of the account or of the region is reached. Fewer or smaller tasks fit:"
    say "  -var worker_count=4 -var-file dev.tfvars"
    say "or ask for more: https://console.aws.amazon.com/servicequotas (AWS Fargate)."
  elif grep -qiE 'already ?exists|EntityAlreadyExists|ResourceInUse|not idempotent|BucketAlreadyOwned' "$1"; then
    say "Something of that name is there and not of this state file: another stack has the name, or an"
    say "earlier one lost its state. Choose another name (-var environment=test), or remove what is there."
  elif grep -qiE 'state lock|ConditionalCheckFailed' "$1"; then
    say "Another terraform runs in this folder, or was killed. If none runs: terraform force-unlock ID."
  elif grep -qiE 'DependencyViolation|ClusterContains|in use' "$1"; then
    say "Something still uses what was to go; it goes in a minute. Run this again."
  elif grep -qiE 'no such host|connection refused|timeout|TLS handshake' "$1"; then
    say "AWS or the registry can't be reached from here: look at the network and the proxy."
  fi
  say "What was made so far is in the state file: the same command goes on from there, and"
  say "./destroy.sh removes it."
}

# Prints who we are to AWS, or explains.
demand_credentials() {
  local problem
  if ! problem=$(aws sts get-caller-identity --query Account --output text 2>&1); then
    die "AWS does not accept the credentials: $problem" \
      "run aws configure, or aws sso login, or copy the lab's new session token"
  fi
  printf '%s\n' "$problem"
}

# Splits the words of the command line into those for terraform (variables) and the rest.
variables=()
take_variable() {
  case "$1" in
    -var | -var-file) variables+=("$1=$2") ;;
    *) variables+=("$1") ;;
  esac
}

# With an empty array "${variables[@]}" is an error in bash 3.2 under set -u.
terraform_with_variables() {
  local verb=$1
  shift
  if [ ${#variables[@]} -eq 0 ]; then terraform "$verb" "$@"; else terraform "$verb" "$@" "${variables[@]}"; fi
}

output() { terraform output -raw "$1" 2> /dev/null; }
