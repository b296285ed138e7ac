# Frames between a test and an interface: frames.pl tap NAME | packet NAME. Lines of hexadecimal digits to it are sent, lines from
# it were received; the first line says that it is open. `mac ADDRESS` gives the tap itself another address.
use strict;
use IO::Select;
use Socket;

my ($kind, $name) = @ARGV;
my ($wire, $head) = (undef, '');
if ($kind eq 'tap') {
    open($wire, '+<', '/dev/net/tun') or die "open: $!\n";
    # TUNSETIFF: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR.
    ioctl($wire, 0x400454ca, pack('a16Sx22', $name, 0x0002 | 0x1000 | 0x4000)) or die "attach: $!\n";
    $head = "\0" x 10;
} else {
    # AF_PACKET, ETH_P_ALL, SIOCGIFINDEX.
    socket($wire, 17, SOCK_RAW, unpack('S', pack('n', 3))) or die "socket: $!\n";
    my $request = pack('a16x24', $name);
    ioctl($wire, 0x8933, $request) or die "index: $!\n";
    bind($wire, pack('SnlSCCx8', 17, 3, unpack('x16l', $request), 0, 0, 0)) or die "bind: $!\n";
}
sub say_line { syswrite(STDOUT, "$_[0]\n") }

say_line('open');
my ($ready, $orders) = (IO::Select->new($wire, \*STDIN), '');
for (;;) {
    for my $from ($ready->can_read) {
        if ($from == $wire) {
            sysread($wire, my $frame, 70000) or next;
            say_line(unpack('H*', substr($frame, length($head))));
            next;
        }
        # The end of the test is ours.
        sysread(STDIN, $orders, 1 << 20, length($orders)) or exit 0;
        while ($orders =~ s/^(mac )?([0-9a-f]*)\n//) {
            if ($1) {
                # SIOCSIFHWADDR, of ARPHRD_ETHER.
                ioctl($wire, 0x8924, pack('a16SH12x16', $name, 1, $2)) or die "address: $!\n";
            } else {
                syswrite($wire, $head . pack('H*', $2)) or die "send: $!\n";
            }
            say_line('done');
        }
    }
}
