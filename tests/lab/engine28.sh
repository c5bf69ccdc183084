# Gives the tests a second engine, of Docker 28: DOCKERKIT_LAB_ENGINE_28. Debian's own packages of a later suite are
# unpacked into a cache, and nothing on this machine is upgraded. Needs engine.sh before it.
engine28_cache=${XDG_CACHE_HOME:-$HOME/.cache}/dockerkit-lab/engine28

engine28_fetch() {
    [ -x "$engine28_cache/root/usr/libexec/docker/cli-plugins/docker-compose" ] && return 0
    state=$engine28_cache/apt
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/debs" "$engine28_cache/root"
    # The mirror is the one that this machine itself uses.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$state/sources.list"
    set -- -qq -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null \
        -o Dir::Etc::PreferencesParts=/dev/null -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root
    apt-get "$@" update && (cd "$state/debs" && apt-get "$@" download docker.io containerd docker-compose) || return 1
    for package in "$state"/debs/*.deb; do dpkg -x "$package" "$engine28_cache/root"; done
    rm -rf "$state"
}

engine28_start() {
    engine28_fetch || { echo "SKIP engine28: its packages cannot be fetched"; return 0; }
    run28=$(mktemp -d /tmp/dockerkit-lab28.XXXXXX)
    # A bridge of its own: two engines would fight for the usual one.
    bridge28=dk28-$$
    ip link add "$bridge28" type bridge && ip addr add 10.214.0.1/24 dev "$bridge28" && ip link set "$bridge28" up || return 1
    # Its programs come first, and runc and the init are this machine's.
    PATH=$engine28_cache/root/usr/sbin:$engine28_cache/root/usr/bin:$PATH dockerd --host "unix://$run28/docker.sock" --data-root "$run28/data" \
        --exec-root "$run28/exec" --pidfile "$run28/docker.pid" --bridge "$bridge28" --feature containerd-snapshotter=false >"$lab/dockerd28.log" 2>&1 &
    dockerd28_pid=$!
    for _ in $(seq 150); do
        curl -sf --unix-socket "$run28/docker.sock" http://engine/_ping >/dev/null 2>&1 && break
        kill -0 "$dockerd28_pid" 2>/dev/null || { echo "SKIP engine28: $(tail -1 "$lab/dockerd28.log")"; engine28_stop; return 0; }
        sleep 0.2
    done
    # Of the same suite, to compare with.
    export DOCKERKIT_LAB_COMPOSE=$engine28_cache/root/usr/libexec/docker/cli-plugins/docker-compose
    engine_image "$run28/docker.sock" && export DOCKERKIT_LAB_ENGINE_28=unix://$run28/docker.sock
}

engine28_stop() {
    [ -z "${dockerd28_pid:-}" ] || { kill "$dockerd28_pid" 2>/dev/null && wait "$dockerd28_pid"; }
    [ -z "${bridge28:-}" ] || ip link delete "$bridge28"
    # Left by containers that use the network of this machine.
    [ -z "${run28:-}" ] || umount "$run28"/exec/netns/* 2>/dev/null || true
    [ -z "${run28:-}" ] || rm -rf "$run28"
}
