# Gives the tests a bare Debian host behind sshd: DOCKERKIT_LAB_SSH_HOST, _USER, _KEY and _KNOWN_HOSTS. The host is a
# container with nothing of docker in it. Its root file system is made once for each machine. Needs engine.sh before it.
ssh_image=dockerkit-lab/ssh:1
ssh_run=

ssh_docker() { docker -H "$DOCKERKIT_LAB_ENGINE" "$@"; }

ssh_rootfs() {
    ssh_docker image inspect "$ssh_image" >/dev/null 2>&1 && return 0
    command -v mmdebstrap >/dev/null || return 1
    # The mirror is the one that this machine itself uses.
    mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .* main.*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -1)
    mmdebstrap --quiet --variant=minbase --include=openssh-server,sudo,ca-certificates,iproute2,procps \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' bookworm "$ssh_run/rootfs.tar" "$mirror" || return 1
    ssh_docker import "$ssh_run/rootfs.tar" "$ssh_image" >/dev/null
    rm "$ssh_run/rootfs.tar"
}

# What the host may do: all that this machine may.
ssh_privileges() {
    bits=$((0x$(sed -n 's/^CapBnd:\t*//p' /proc/self/status)))
    if [ $((bits & 1 << 24)) != 0 ]; then
        echo --privileged
        return
    fi
    i=0
    for name in CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN \
        NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME \
        SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ; do
        [ $((bits & 1 << i)) = 0 ] || printf -- '--cap-add %s ' "$name"
        i=$((i + 1))
    done
    echo "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined --device-cgroup-rule=a\ *:*\ rwm"
}

ssh_start() {
    ssh_run=$(mktemp -d /tmp/dockerkit-ssh.XXXXXX)
    command -v ssh-keygen >/dev/null && ssh_rootfs || { echo "SKIP ssh: no Debian root file system can be made here"; return 0; }
    ssh-keygen -q -t ed25519 -N '' -f "$ssh_run/key"
    ssh-keygen -q -t ed25519 -N '' -f "$ssh_run/ssh_host_ed25519_key"
    ssh_name=dockerkit-lab-ssh-$$
    mkdir -p -m 700 "$ssh_run/root/.ssh" && mkdir -p "$ssh_run/etc/ssh" "$ssh_run/etc/apt"
    cp "$ssh_run/key.pub" "$ssh_run/root/.ssh/authorized_keys"
    cp "$ssh_run"/ssh_host_ed25519_key* "$ssh_run/etc/ssh/"
    cp -r /etc/apt/sources.list* /etc/apt/apt.conf.d "$ssh_run/etc/apt/" 2>/dev/null
    rm -f "$ssh_run"/etc/apt/sources.list.d/*docker* "$ssh_run"/etc/apt/sources.list.d/*node*
    boot='for m in /sys /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do mount -o remount,rw,bind $m 2>/dev/null; done; mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e'
    eval "ssh_docker create --init --name $ssh_name --hostname bare --volume $ssh_name:/var/lib/docker $(ssh_privileges) $ssh_image sh -c '$boot'" >/dev/null || return 1
    tar -C "$ssh_run" --owner=0 --group=0 --numeric-owner -cf - root etc | ssh_docker cp -q - "$ssh_name:/" || return 1
    ssh_docker start "$ssh_name" >/dev/null || return 1
    address=$(ssh_docker inspect -f '{{.NetworkSettings.IPAddress}}' "$ssh_name")
    echo "$address $(cut -d' ' -f1,2 "$ssh_run/ssh_host_ed25519_key.pub")" >"$ssh_run/known_hosts"
    export DOCKERKIT_LAB_SSH_HOST=$address DOCKERKIT_LAB_SSH_USER=root DOCKERKIT_LAB_SSH_KEY=$ssh_run/key DOCKERKIT_LAB_SSH_KNOWN_HOSTS=$ssh_run/known_hosts
}

ssh_stop() {
    [ -z "${ssh_name:-}" ] || { ssh_docker rm -fv "$ssh_name"; ssh_docker volume rm "$ssh_name"; } >/dev/null 2>&1
    [ -z "$ssh_run" ] || rm -rf "$ssh_run"
}
