"""What is done from within a container: to its processes or its proxy, and a look around."""

import shlex

from tarslab.cluster import Cluster
from tarslab.errors import PlatformFailed
from tarslab.stack.kubernetes import sidecar

# Where the processes of a pod share a namespace, those of this container are told by their mounts.
# A process that is the first of its namespace gets no signal from within that it does not handle.
SIGNAL = """
here=$(readlink /proc/$$/ns/mnt) || exit 3
found=
for path in /proc/[0-9]*; do
  pid=${path#/proc/}
  [ "$pid" = $$ ] && continue
  [ "$(readlink "$path/ns/mnt" 2>/dev/null)" = "$here" ] || continue
  kill -%(signal)s "$pid" 2>/dev/null && found="$found $pid"
done
[ -n "$found" ] || exit 4
for pid in $found; do
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null)
    case "%(signal)s$state" in
      STOP[Tt]|STOP|KILL|KILL[ZX]|CONT*) continue 2 ;;
    esac
    sleep 0.1
  done
  echo "$pid"
done
"""
UNTOUCHED, NONE = 3, 4

# The API server's address is one that every pod knows. Exit code 0: it was reached, 1: not.
REACH = """
host=$KUBERNETES_SERVICE_HOST port=$KUBERNETES_SERVICE_PORT
[ -n "$host" ] || exit 2
if command -v python3 >/dev/null 2>&1; then
  python3 -c "import socket, sys; socket.create_connection(sys.argv[1:], 2)" "$host" "$port" \
    2>/dev/null || exit 1
elif command -v nc >/dev/null 2>&1; then
  nc -w 2 "$host" "$port" </dev/null >/dev/null 2>&1 || exit 1
else
  exit 2
fi
"""


def signal(cluster: Cluster, namespace: str, pod: str, container: str, name: str) -> None:
    """Send a signal to every process of a container; PlatformFailed where one does not heed it."""
    script = SIGNAL % {"signal": name}
    code, said = cluster.run(namespace, pod, container, script)
    where = f"container {container} of pod {namespace}/{pod}"
    # A container without its processes ends, and with it what is run there.
    if name == "KILL" and code == 128 + 9:
        return
    if code == NONE:
        raise PlatformFailed(f"{where}: no process there may be signalled by its user")
    if code != 0:
        raise PlatformFailed(f"{where}: signals need /bin/sh, readlink and sed there ({said})")
    if said:
        raise PlatformFailed(
            f"{where}: its process {', '.join(said.split())} takes no SIG{name} from within: set "
            "shareProcessNamespace: true in the pod's spec, so that it is not the first of its "
            "namespace"
        )


def ask_proxy(cluster: Cluster, namespace: str, pod: str, *words: str) -> None:
    """Have the proxy of a pod put a toxic on, or take some off."""
    script = shlex.join(["exec", "python", "-P", "-m", sidecar.MODULE, *words])
    code, said = cluster.run(namespace, pod, sidecar.CONTAINER, script)
    if code != 0:
        last = said.splitlines()[-1:] or [f"exit code {code}"]
        raise PlatformFailed(f"the proxy of pod {namespace}/{pod}: {last[0]}")


def reaches_out(cluster: Cluster, namespace: str, pod: str, container: str) -> bool | None:
    """Whether a container reaches the API server; None where it cannot try."""
    code, _ = cluster.run(namespace, pod, container, REACH)
    return {0: True, 1: False}.get(code)
