my @machine = split / /, '@SPACES@';
for my $kind ('ipc', 'mnt', 'net', 'pid') {
    my $theirs = shift @machine;
    reached("the namespace $kind") if (readlink("/proc/self/ns/$kind") || '') eq $theirs;
}
