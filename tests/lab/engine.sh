# Gives the tests an engine and an image: DOCKERKIT_LAB_ENGINE and DOCKERKIT_LAB_IMAGE. An engine that runs on this
# machine is used; else one is started on private paths, and stopped by its process ID.
lab=$PWD/.build/lab

engine_start() {
    mkdir -p "$lab"
    if curl -sf --unix-socket /var/run/docker.sock http://engine/_ping >/dev/null 2>&1; then
        socket=/var/run/docker.sock
    else
        # The folder of a socket must have a short path.
        run=$(mktemp -d /tmp/dockerkit-lab.XXXXXX)
        socket=$run/docker.sock
        dockerd --host "unix://$socket" --data-root "$run/data" --exec-root "$run/exec" --pidfile "$run/docker.pid" --bip 10.213.0.1/24 >"$lab/dockerd.log" 2>&1 &
        dockerd_pid=$!
        for _ in $(seq 150); do
            curl -sf --unix-socket "$socket" http://engine/_ping >/dev/null 2>&1 && break
            kill -0 "$dockerd_pid" 2>/dev/null || { tail -5 "$lab/dockerd.log"; return 1; }
            sleep 0.2
        done
    fi
    export DOCKERKIT_LAB_ENGINE=unix://$socket DOCKERKIT_LAB_IMAGE=dockerkit-lab/busybox:1
    engine_image "$socket"
}

# Makes the tests' image on the engine behind a socket.
engine_image() {
    if ! curl -sf --unix-socket "$1" "http://engine/images/$DOCKERKIT_LAB_IMAGE/json" >/dev/null; then
        root=$(mktemp -d)
        mkdir -p "$root/bin" "$root/tmp" "$root/etc" "$root/root"
        cp "$(readlink -f "$(command -v busybox)")" "$root/bin/busybox"
        for name in $("$root/bin/busybox" --list); do [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"; done
        echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
        tar -C "$root" --numeric-owner -c . | curl -sf --unix-socket "$1" -X POST -H 'Content-Type: application/x-tar' --data-binary @- \
            "http://engine/images/create?fromSrc=-&repo=dockerkit-lab/busybox&tag=1&changes=CMD%20%5B%22sh%22%5D" >/dev/null || return 1
        rm -rf "$root"
    fi
}

engine_stop() {
    if [ -n "${dockerd_pid:-}" ]; then
        kill "$dockerd_pid" && wait "$dockerd_pid"
        # Left by containers that use the network of this machine.
        umount "$run"/exec/netns/* 2>/dev/null || true
        rm -rf "$run"
    fi
}
