for my $pid (processes()) {
    reached("process $pid") if content("/proc/$pid/cmdline") eq "sleep\x00@SECONDS@\x00";
}
