# Gives the tests two Debian hosts behind sshd: DOCKERKIT_LAB_SSH_HOST is for the test that needs a bare one, and
# DOCKERKIT_LAB_SSH_FAULTY for all others; with _USER, _KEY, _KNOWN_HOSTS and _PASSWORD. They are containers with nothing of
# docker in them. Their root file system is made once for each machine. Needs engine.sh before it.
# Other ports of them have a sshd with a fault each: 2201 shows another key, 2202 forwards nothing, 2203 knows no key, and 2204 gives
# no shell and forwards nothing. The user `ops` logs in with a password, and runs sudo without one.
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
    password=$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')
    ssh-keygen -q -t ed25519 -N '' -f "$ssh_run/etc/ssh/other_key"
    mkdir -p "$ssh_run/etc/sudoers.d"
    echo 'ops ALL=(ALL) NOPASSWD: ALL' >"$ssh_run/etc/sudoers.d/ops"
    printf '%s\n' 'useradd -m -s /bin/sh ops' "echo 'ops:$password' | chpasswd" 'for fault in "2201 -o HostKey=/etc/ssh/other_key" "2202 -o DisableForwarding=yes" \
        "2203 -o AuthorizedKeysFile=none -o PasswordAuthentication=no" "2204 -o DisableForwarding=yes -o ForceCommand=/usr/sbin/nologin"; do
        /usr/sbin/sshd -o PidFile=none -p $fault
    done' >"$ssh_run/root/faults"
    boot='for m in /sys /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do mount -o remount,rw,bind $m 2>/dev/null; done; mkdir -p /run/sshd; sh /root/faults; rm /root/faults; exec /usr/sbin/sshd -D -e'
    for host in bare faulty; do
        eval "ssh_docker create --init --name $ssh_name-$host --hostname $host --volume $ssh_name-$host:/var/lib/docker $(ssh_privileges) $ssh_image sh -c '$boot'" >/dev/null || return 1
        tar -C "$ssh_run" --owner=0 --group=0 --numeric-owner -cf - root etc | ssh_docker cp -q - "$ssh_name-$host:/" || return 1
        ssh_docker start "$ssh_name-$host" >/dev/null || return 1
        address=$(ssh_docker inspect -f '{{.NetworkSettings.IPAddress}}' "$ssh_name-$host")
        echo "$address $(cut -d' ' -f1,2 "$ssh_run/ssh_host_ed25519_key.pub")" >>"$ssh_run/known_hosts"
        [ $host = faulty ] || export DOCKERKIT_LAB_SSH_HOST=$address
    done
    export DOCKERKIT_LAB_SSH_FAULTY=$address DOCKERKIT_LAB_SSH_USER=root DOCKERKIT_LAB_SSH_KEY=$ssh_run/key DOCKERKIT_LAB_SSH_KNOWN_HOSTS=$ssh_run/known_hosts
    export DOCKERKIT_LAB_SSH_PASSWORD=$password
}

ssh_stop() {
    [ -z "${ssh_name:-}" ] || for host in bare faulty; do
        ssh_docker rm -fv "$ssh_name-$host"
        ssh_docker volume rm "$ssh_name-$host"
    done >/dev/null 2>&1
    [ -z "$ssh_run" ] || rm -rf "$ssh_run"
}
