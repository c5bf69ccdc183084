# Gives the tests a registry with TLS and a password: DOCKERKIT_LAB_REGISTRY (host:port), _USER and _PASSWORD. Debian's own
# program is unpacked into a cache, and listens on the address of the engine's bridge only. Needs engine.sh before it.
registry_cache=${XDG_CACHE_HOME:-$HOME/.cache}/dockerkit-lab/registry
registry_run=

registry_fetch() {
    [ -x "$registry_cache/usr/bin/docker-registry" ] && [ -x "$registry_cache/usr/bin/mkpasswd" ] && return 0
    debs=$(mktemp -d)
    mkdir -p "$registry_cache"
    # The lists of packages may be those of a fresh machine: none.
    (cd "$debs" && { apt-get -qq -o APT::Sandbox::User=root download docker-registry whois 2>/dev/null ||
        { apt-get update -qq && apt-get -qq -o APT::Sandbox::User=root download docker-registry whois; }; }) || return 1
    for package in "$debs"/*.deb; do dpkg -x "$package" "$registry_cache"; done
    rm -rf "$debs"
}

registry_start() {
    registry_fetch || { echo "SKIP registry: its packages cannot be fetched"; return 0; }
    registry_address=$(docker -H "$DOCKERKIT_LAB_ENGINE" network inspect bridge -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}')
    registry_run=$(mktemp -d /tmp/dockerkit-registry.XXXXXX)
    registry_port=$(python3 -c 'import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])' "$registry_address") || return 1
    registry_place=$registry_address:$registry_port
    password=$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')
    echo "lab:$(printf %s "$password" | "$registry_cache/usr/bin/mkpasswd" -s -m bcrypt)" >"$registry_run/htpasswd"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=dockerkit-lab -addext "subjectAltName=IP:$registry_address" \
        -keyout "$registry_run/key.pem" -out "$registry_run/cert.pem" 2>/dev/null || return 1
    cat >"$registry_run/config.yml" <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $registry_run/data}, delete: {enabled: true}}
http: {addr: "$registry_place", tls: {certificate: $registry_run/cert.pem, key: $registry_run/key.pem}}
auth: {htpasswd: {realm: lab, path: $registry_run/htpasswd}}
END
    # Engines look here for the certificates of a registry.
    mkdir -p "/etc/docker/certs.d/$registry_place" && cp "$registry_run/cert.pem" "/etc/docker/certs.d/$registry_place/ca.crt"
    "$registry_cache/usr/bin/docker-registry" serve "$registry_run/config.yml" >"$registry_run/log" 2>&1 &
    registry_pid=$!
    for _ in $(seq 100); do
        curl -s --cacert "$registry_run/cert.pem" "https://$registry_place/v2/" >/dev/null && break
        kill -0 "$registry_pid" 2>/dev/null || { echo "SKIP registry: $(tail -1 "$registry_run/log")"; registry_stop; return 0; }
        sleep 0.1
    done
    export DOCKERKIT_LAB_REGISTRY=$registry_place DOCKERKIT_LAB_REGISTRY_USER=lab DOCKERKIT_LAB_REGISTRY_PASSWORD=$password
}

registry_stop() {
    [ -z "${registry_pid:-}" ] || { kill "$registry_pid" 2>/dev/null && wait "$registry_pid"; }
    [ -z "${registry_place:-}" ] || rm -rf "/etc/docker/certs.d/$registry_place"
    [ -z "$registry_run" ] || rm -rf "$registry_run"
    registry_pid=
}
