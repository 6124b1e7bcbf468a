/**
 * What runs on a host beside a process of Paceline, as a script for any POSIX shell, so that
 * nothing has to be installed for it. A keeper starts the process, writes what it says to a file
 * and survives the ssh connection; a listener sends the file on and takes words from its standard
 * input. The keeper ends its process where no listener has spoken for a while: seconds are
 * counted, so that a clock that is set ends nothing.
 */

/** Exit codes of the scripts. */
export const scriptCodes = { gone: 95, folder: 97, missing: 94 } as const;

/** What a listener says of the process on standard error, before numbers. */
export const startedWord = "paceline-up-started";
/** Followed by the exit code and the number of bytes that the process has said. */
export const endedWord = "paceline-up-ended";

/** $1 state folder, $2 seconds without a listener; then the command. */
const keeper = `
state=$1 grace=$2
shift 2
trap "" HUP
"$@" </dev/null >>"$state/log" 2>&1 &
pid=$!
echo $pid >"$state/pid"
(
  last= silent=0
  while kill -0 $pid 2>/dev/null; do
    sleep 1
    heard=$(cat "$state/heard" 2>/dev/null)
    if [ "$heard" = "$last" ]; then silent=$((silent + 1)); else silent=0; fi
    last=$heard
    [ $silent -le "$grace" ] && continue
    : >"$state/orphan"
    kill -TERM $pid
    waited=0
    while kill -0 $pid 2>/dev/null && [ $waited -lt 60 ]; do
      sleep 1
      waited=$((waited + 1))
    done
    kill -KILL $pid 2>/dev/null
  done
) &
watch=$!
wait $pid
code=$?
kill $watch 2>/dev/null
wait $watch 2>/dev/null
echo $code >"$state/code.part" && mv "$state/code.part" "$state/code"
waited=0
while [ -d "$state" ] && [ ! -f "$state/orphan" ] && [ $waited -le "$grace" ]; do
  sleep 1
  waited=$((waited + 1))
done
rm -rf "$state"
`;

/** $1 state folder, $2 bytes heard so far or "start", $3 seconds, $4 folder, $5 keeper; command. */
const listener = `
umask 077
state=$1 offset=$2 grace=$3 dir=$4 keeper=$5
shift 5
if [ "$offset" = start ]; then
  offset=0
  mkdir -p "$dir" && cd "$dir" || exit ${scriptCodes.folder}
  mkdir "$state" && : >"$state/log" && echo start >"$state/heard" || exit ${scriptCodes.folder}
  nohup sh -c "$keeper" paceline-up-keeper "$state" "$grace" "$@" </dev/null >/dev/null 2>&1 &
fi
[ -d "$state" ] || exit ${scriptCodes.gone}
(
  while [ -d "$state" ]; do
    code=
    [ -f "$state/code" ] && code=$(cat "$state/code")
    size=$(($(wc -c <"$state/log")))
    if [ $size -gt $offset ]; then
      tail -c +$((offset + 1)) "$state/log" | head -c $((size - offset))
      offset=$size
    elif [ -n "$code" ]; then
      echo "${endedWord} $code $size" >&2
      exit
    fi
    sleep 0.2
  done
) &
printer=$!
echo "${startedWord}" >&2
while read -r word rest; do
  case $word in
    alive) [ -d "$state" ] && echo "$rest" >"$state/heard" ;;
    INT | TERM | KILL) kill -"$word" "$(cat "$state/pid")" 2>/dev/null ;;
    bye) rm -rf "$state" ;;
  esac
done
kill $printer 2>/dev/null
exit 0
`;

/** $1 folder; then the command. */
const check = `
cd "$1" 2>/dev/null || cd || exit ${scriptCodes.folder}
shift
command -v "$1" >/dev/null 2>&1 || { echo "$1" >&2; exit ${scriptCodes.missing}; }
if [ $# -gt 1 ] && [ ! -f "$2" ]; then echo "$2" >&2; exit ${scriptCodes.missing}; fi
exec "$@" --version
`;

/** What a listener is told. */
export interface Listening {
  /** The folder with what the keeper knows. */
  readonly state: string;
  /** Bytes heard so far; null to start the process. */
  readonly offset: number | null;
  readonly graceSeconds: number;
  readonly dir: string;
  readonly command: readonly string[];
}

/** The command line of a listener. */
export function listenerCommand({ state, offset, graceSeconds, dir, command }: Listening): string {
  const from = offset === null ? "start" : String(offset);
  const words = [state, from, String(graceSeconds), dir, keeper, ...command];
  return shellLine(["sh", "-c", listener, "paceline-up", ...words]);
}

/** The command line that prints paceline's version, or says what is missing. */
export function checkCommand(dir: string, program: readonly string[]): string {
  return shellLine(["sh", "-c", check, "paceline-up", dir, ...program]);
}

/** Words as a shell takes them. */
function shellLine(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}
