#!/bin/sh
# The guests of bench_network: /init of an initrd that is put behind the bundled one. The client measures what it is asked
# for on its console.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
modprobe -a virtio_pci virtio_net 2>/dev/null
for word in $(cat /proc/cmdline); do
    case $word in bench.*) eval "${word#bench.}" ;; esac
done
mkdir -p /tmp

iperf() { /iperf/loader --library-path /iperf /iperf/iperf3 -p "$port" "$@"; }
# The last line that the receiver has is the sum of all streams.
rate() {
    iperf -c "$peer" -P "$streams" -t "$seconds" -f m "$@" | awk '/receiver/ { mbps = $(NF - 2) } END { print mbps }'
}

# A server that answers ping also listens.
if [ "$role" = server ]; then
    iperf -s >/dev/null &
    until netstat -ltn | grep -q ":$port "; do sleep 0.1; done
fi
ip addr add "$own/24" dev eth0
ip link set eth0 up
[ "$role" = client ] || wait
until ping -c 1 -W 1 "$peer" >/dev/null 2>&1; do :; done
echo RESULT 1
while read -r what; do
    case $what in
    rtt) ping -c 20 -i 0.005 "$peer" >/dev/null # it was stopped before
        echo "RESULT $(ping -c 100 -i 0.005 "$peer" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n |
        awk '{ t[NR] = $1 * 1000 } END { print t[int((NR + 1) / 2)] }')" ;;
    out) echo "RESULT $(rate)" ;;
    back) echo "RESULT $(rate -R)" ;;
    esac
done
