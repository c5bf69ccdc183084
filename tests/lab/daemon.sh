# An engine of a test's own, which it may kill and hold:
#   sh daemon.sh run FOLDER PROGRAM [ARGUMENT…]   becomes dockerd, with its socket, data and log in FOLDER
#   sh daemon.sh clean FOLDER                     removes what it left, once it has ended
# The engine has a bridge of its own: one that is told to have none removes the usual one, which another engine may use.
set -eu
folder=$2
bridge=$(basename "$folder" | cut -c1-15)
case $1 in
run)
    program=$3
    shift 3
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        ip link add "$bridge" type bridge
        ip addr add "10.215.$(($(echo "$bridge" | cksum | cut -d' ' -f1) % 250)).1/24" dev "$bridge"
        ip link set "$bridge" up
    fi
    # The process IDs of one that was killed.
    if [ -f "$folder/exec/containerd/containerd.pid" ]; then kill -KILL "$(cat "$folder/exec/containerd/containerd.pid")" 2>/dev/null || true; fi
    rm -f "$folder/docker.pid" "$folder/exec/containerd/containerd.pid"
    PATH=$(dirname "$program"):$(dirname "$(dirname "$program")")/bin:$PATH
    exec "$program" --host "unix://$folder/docker.sock" --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/docker.pid" \
        --bridge "$bridge" --iptables=false "$@" >>"$folder/log" 2>&1
    ;;
clean)
    grep -o " $folder/[^ ]*" /proc/mounts | sort -r | while read -r place; do umount -l "$place" || true; done
    ip link delete "$bridge" 2>/dev/null || true
    rm -rf "$folder"
    ;;
esac
