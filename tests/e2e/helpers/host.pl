#!/usr/bin/perl
# The "host" of uplink.test.lua:  unshare -Urmn perl host.pl whole DIR COMMAND...  or  perl host.pl part DIR COMMAND...
#
# It serves, then runs COMMAND and exits as that does:
#   TCP 18001 and UDP 18002 on all addresses: echo, TCP until the end of what is sent
#   DIR/ask, a FIFO: a line "tcp PORT TEXT" or "udp PORT TEXT" is sent to 127.0.0.1:PORT; what comes back (nothing within
#   20 s: an empty text) goes to DIR/answer, another FIFO
# whole, in a network namespace of its own where it may do so, also
#   the address 192.0.2.1, on loopback, and ping sockets for everybody
#   where the kernel has IPv6: the address 2001:db8::1, a default route, and TCP 18001
#   DNS on 127.0.0.1, UDP and TCP 53, the resolver of /etc/resolv.conf: known.example is 192.0.2.7, all else NXDOMAIN
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use POSIX qw(mkfifo _exit);
use Socket qw(:DEFAULT inet_pton);

my ($whole, $dir) = (shift @ARGV eq "whole", shift @ARGV);
$SIG{CHLD} = 'DEFAULT';
$SIG{PIPE} = 'IGNORE';

# SIOCSIFADDR and SIOCSIFFLAGS with a struct ifreq (netdevice(7)).
sub set_interface {
    my ($name, $address) = @_;
    socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
    my $sockaddr = pack('S n a4 x8', AF_INET, 0, inet_aton($address));
    ioctl($s, 0x8916, my $a = pack('a16 a16 x8', $name, $sockaddr)) or die "address of $name: $!";
    ioctl($s, 0x8914, my $f = pack('a16 S x22', $name, 0x41)) or die "flags of $name: $!";
}

# An address of lo, and ::/0 by it: SIOCSIFADDR with a struct in6_ifreq, SIOCADDRT with a struct in6_rtmsg.
sub set_ipv6 {
    my ($address) = @_;
    socket(my $s, AF_INET6, SOCK_DGRAM, 0) or die "socket: $!";
    ioctl($s, 0x8916, my $a = pack('a16 L l', inet_pton(AF_INET6, $address), 128, 1)) or die "address $address: $!";
    ioctl($s, 0x890b, my $r = pack('x48 L S S L x4 Q L l', 1, 0, 0, 1, 0, 1, 1)) or die "IPv6 route: $!";
}

sub answer_dns {
    my ($question) = @_;
    my ($id, $flags) = unpack('nn', $question);
    my ($at, @labels) = (12);
    while (my $size = ord substr($question, $at, 1)) {
        push @labels, substr($question, $at + 1, $size);
        $at += 1 + $size;
    }
    my $type = unpack('n', substr($question, $at + 1));
    my $known = lc(join '.', @labels) eq 'known.example';
    my $address = $known && $type == 1 ? pack('n n n N n', 0xc00c, 1, 1, 60, 4) . inet_aton('192.0.2.7') : '';
    return pack('n6', $id, $known ? 0x8580 : 0x8583, 1, $address ? 1 : 0, 0, 0) . substr($question, 12, $at + 5 - 12) . $address;
}

# A child that calls $work forever.
sub serve {
    my ($work) = @_;
    my $pid = fork() // die "fork: $!";
    return $pid if $pid;
    $work->() while 1;
}

sub tcp_server {
    my ($address, $port, $talk) = @_;
    my $listener = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port, Listen => 20, ReuseAddr => 1)
        or die "tcp $port: $!";
    return serve(sub {
        my $peer = $listener->accept or return;
        if (!(fork() // _exit(1))) {
            $talk->($peer);
            _exit(0);
        }
        $peer->close;
        1 while waitpid(-1, 1) > 0;
    });
}

sub udp_server {
    my ($address, $port, $reply) = @_;
    my $socket = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Proto => 'udp') or die "udp $port: $!";
    return serve(sub {
        my $from = $socket->recv(my $text, 65536) // return;
        $socket->send($reply->($text), 0, $from);
    });
}

sub echo {
    my ($peer) = @_;
    while (sysread($peer, my $bytes, 65536)) {
        for (my $at = 0; $at < length $bytes;) {
            $at += syswrite($peer, $bytes, length($bytes) - $at, $at) // return;
        }
    }
}

sub ask {
    my ($proto, $port, $text) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => $proto, Timeout => 20) or return '';
    $s->syswrite("$text\n");
    $s->shutdown(1) if $proto eq 'tcp';
    my ($all, $patience) = ('', IO::Select->new($s));
    while ($patience->can_read(20)) {
        $s->sysread(my $bytes, 65536) or last;
        $all .= $bytes;
        last if $proto eq 'udp';
    }
    return $all;
}

sub write_file {
    my ($path, $text) = @_;
    open(my $f, '>', $path) or die "$path: $!";
    syswrite($f, $text) // die "$path: $!";
}

mkfifo("$dir/$_", 0600) or die "$_: $!" for qw(ask answer);
my @servers = (
    tcp_server('0.0.0.0', 18001, \&echo),
    udp_server('0.0.0.0', 18002, sub { $_[0] }),
    serve(sub {
        open(my $in, '<', "$dir/ask") or die "ask: $!";
        while (my $line = <$in>) {
            my $answer = ask($line =~ /^(tcp|udp) (\d+) (.*)$/);
            open(my $out, '>', "$dir/answer") or die "answer: $!";
            print $out $answer;
            close $out;
        }
    }),
);
if ($whole) {
    set_interface('lo', '127.0.0.1');
    set_interface('lo:1', '192.0.2.1');
    write_file('/proc/sys/net/ipv4/ping_group_range', '0 0');
    write_file("$dir/resolv.conf", "nameserver 127.0.0.1\n");
    if (-e '/proc/net/if_inet6') {
        set_ipv6('2001:db8::1');
        push @servers, tcp_server('2001:db8::1', 18001, \&echo);
    }
    system('mount', '--bind', "$dir/resolv.conf", '/etc/resolv.conf') == 0 or die 'mount';
    push @servers, udp_server('127.0.0.1', 53, \&answer_dns), tcp_server('127.0.0.1', 53, sub {
        my ($peer) = @_;
        $peer->sysread(my $question, 65536) or return;
        my $answer = answer_dns(substr($question, 2));
        $peer->syswrite(pack('n', length $answer) . $answer);
    });
}
my $pid = fork() // die "fork: $!";
exec(@ARGV) or _exit(127) if !$pid;
waitpid($pid, 0);
my $status = $?;
kill 'KILL', @servers;
_exit($status >> 8 || $status & 127);
