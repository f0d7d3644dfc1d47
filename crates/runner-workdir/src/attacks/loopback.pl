socket(my $socket, 2, 1, 0) or die;
connect($socket, pack('S n a4 x8', 2, @PORT@, "\x7f\0\0\1")) and reached('loopback');
my $port = sprintf '%04X', @PORT@;
reached('the list of ports') if content('/proc/net/tcp') =~ /:$port 00000000:0000 0A/;
