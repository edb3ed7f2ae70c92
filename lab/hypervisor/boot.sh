#!/bin/sh
# Runs one lab machine until it is off. Started inside the machine's control group and inside
# mount and network namespaces of its own, so that no mount and no link outlives the processes.
#
# usage: boot.sh FOLDER LOWER LINK BRIDGE MAC OUTER COMMAND…
#   LOWER   the read-only system below the machine's own changes
#   LINK    name of the network link's end on BRIDGE, which is in the network namespace OUTER
set -eu
folder=$1 lower=$2 link=$3 bridge=$4 mac=$5 outer=$6
shift 6

cd "$folder"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" root
# systemd-nspawn asks the outer machine's udev about host0, which knows nothing of this
# namespace, unless /sys is read-only.
mount -o remount,bind,ro /sys

while :; do
    ip link delete host0 2>/dev/null || :
    nsenter --net="$outer" ip link delete "$link" 2>/dev/null || :
    ip link add host0 address "$mac" type veth peer name "$link" netns "$outer"
    nsenter --net="$outer" ip link set "$link" master "$bridge" up
    status=0
    "$@" || status=$?
    # 133: the guest asked for a reboot.
    [ "$status" -eq 133 ] || exit "$status"
done
