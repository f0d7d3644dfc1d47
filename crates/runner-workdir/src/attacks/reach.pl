my $is_it = content('/proc/@PID@/cmdline') eq "sleep\x00@SECONDS@\x00";
reached('it with a signal') if $is_it && kill(0, @PID@);
for my $pid (processes()) {
    reached("the environment of $pid") if content("/proc/$pid/environ") =~ /HALLMARK_ATTACKED=/;
    opendir(my $dir, "/proc/$pid/fd") or next;
    reached("a file of $pid") if grep { (readlink("/proc/$pid/fd/$_") || '') =~ m{^@DIR@/} } readdir $dir;
}
