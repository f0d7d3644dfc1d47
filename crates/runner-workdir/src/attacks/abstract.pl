socket(my $socket, 1, 1, 0) or die;
connect($socket, pack('S a*', 1, "\0@NAME@")) and reached('the abstract socket');
reached('the list of sockets') if content('/proc/net/unix') =~ /\@@NAME@/;
