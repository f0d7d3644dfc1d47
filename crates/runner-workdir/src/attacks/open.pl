my @devices = qw(mem kmem port kmsg sda vda nvme0n1 loop-control fuse kvm net/tun mapper/control tty);
for my $path ((map { "/dev/$_" } @devices), '/proc/kcore') {
    # Without waiting.
    sysopen(my $file, $path, 04000) or next;
    # An engine puts an empty file in the place of the memory of the kernel.
    reached($path) if $path ne '/proc/kcore' || sysread($file, my $byte, 1);
}
my @switches = (
    '/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sys/vm/overcommit_memory',
    '/sys/kernel/uevent_helper', '/sys/fs/cgroup/release_agent', '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/memory.max',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/pids/pids.max',
);
for my $path (@switches) { open(my $file, '>>', $path) and reached($path) }
