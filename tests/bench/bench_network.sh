#!/bin/sh
# The guests of bench_network: /init of an initrd that is put behind the bundled one.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_net 2>/dev/null
for word in $(cat /proc/cmdline); do
    case $word in bench.*) eval "${word#bench.}" ;; esac
done
ip addr add "$own/24" dev eth0
ip link set eth0 up
printf '#!/bin/sh\nexec cat >/dev/null\n' >/sink
printf '#!/bin/sh\nexec head -c %s /dev/zero\n' "$bytes" >/source
chmod +x /sink /source

now() { cut -d' ' -f1 /proc/uptime; }
rate() { awk -v a="$1" -v b="$2" -v n="$bytes" 'BEGIN { printf "%.1f", n * 8 / 1e6 / (b - a) }'; }

if [ "$role" = server ]; then
    nc -ll -p "$sink" -e /sink &
    nc -ll -p "$source" -e /source &
    wait
fi
until ping -c 1 -W 1 "$peer" >/dev/null 2>&1; do :; done
until nc -w 1 "$peer" "$source" </dev/null 2>/dev/null | head -c 1 | grep -q . ; do sleep 1; done
rtt=$(ping -q -c 100 -i 0.01 "$peer" | awk -F/ '/min/ { print $4 * 1000 }')
a=$(now); /source | nc "$peer" "$sink"; b=$(now)
c=$(now); nc "$peer" "$source" </dev/null >/dev/null; d=$(now)
echo "RESULT $rtt $(rate "$a" "$b") $(rate "$c" "$d")" >/dev/console
sleep 1000
