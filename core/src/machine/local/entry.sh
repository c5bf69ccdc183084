#!/bin/sh
# First process of a node: prepares control groups and mounts, then becomes the engine under an init.
[ "$1" = dockerd ] && shift
# Without full privileges these are read-only at first.
for mount in /sys /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do
    mount -o remount,rw,bind "$mount" 2>/dev/null
done
mkdir -p /run /tmp /var/tmp /var/lib/docker
rm -f /run/docker.pid
# Control groups v2: our own processes move to a leaf, so that the controllers can be handed on to containers.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/init
    while read -r pid; do echo "$pid" >/sys/fs/cgroup/init/cgroup.procs; done 2>/dev/null </sys/fs/cgroup/cgroup.procs
    sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi
mount --make-rshared / 2>/dev/null
exec docker-init -- dockerd "$@"
