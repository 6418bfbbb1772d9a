#!/bin/sh
# The guests of bench_network: /init of an initrd that is put behind the bundled one.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_net 2>/dev/null
for word in $(cat /proc/cmdline); do
    case $word in bench.*) eval "${word#bench.}" ;; esac
done
mkdir -p /tmp
ip addr add "$own/24" dev eth0
ip link set eth0 up

iperf() { /iperf/loader --library-path /iperf /iperf/iperf3 -p "$port" "$@"; }
rate() { iperf -c "$peer" -t "$seconds" -f m "$@" | awk '/receiver/ { print $7 }'; }

if [ "$role" = server ]; then
    iperf -s >/dev/null
fi
until ping -c 1 -W 1 "$peer" >/dev/null 2>&1; do :; done
until iperf -c "$peer" -n 1 >/dev/null 2>&1; do sleep 1; done
rtt=$(ping -q -c 100 -i 0.01 "$peer" | awk -F/ '/min/ { print $4 * 1000 }')
echo "RESULT $rtt $(rate) $(rate -R)" >/dev/console
sleep 1000
