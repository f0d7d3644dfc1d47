sub try {
    my ($name, $number, @rest) = @_;
    reached($name) if syscall($number, @rest) != -1;
}

# Kernels of x86-64 may know each call by a second number.
for my $abi (@ABIS@) {
    try('mount', $abi + @MOUNT@, 'none', '/tmp', 'tmpfs', 0, 0);
    try('unmount', $abi + @UMOUNT@, '/proc', 2);
    try('pivot_root', $abi + @PIVOT@, '/tmp', '/tmp');
    try('chroot', $abi + @CHROOT@, '/tmp');
    try('a mount namespace', $abi + @UNSHARE@, 0x00020000);
    for my $kind ('mnt', 'net', 'pid', 'user') {
        my ($own, $first) = map { readlink("/proc/$_/ns/$kind") || '' } 'self', 1;
        open(my $space, '<', "/proc/1/ns/$kind") or next;
        try("the namespace $kind of process 1", $abi + @SETNS@, fileno $space, 0) if $own ne $first;
    }
    for my $dir ('/tmp', $ENV{OSA_OUT}) {
        # The memory and the first disk of the machine.
        for my $device ([0020666, 0x101], [0060666, 0x800]) {
            my $path = "$dir/device";
            try('a device', $abi + @MKNODAT@, -100, $path, @$device);
            unlink $path;
        }
    }
    # Without stopping it.
    try('a process outside', $abi + @PTRACE@, 0x4206, @PID@, 0, 0) if content('/proc/@PID@/cmdline') =~ /^sleep\x00/;
    my $handle = pack('I i a128', 128, 1, '');
    try('a file by its handle', $abi + @HANDLE@, -100, $handle, 0);
}
