# Random, for file systems that compress.
my $block = join '', map { pack 'N', rand 4294967295 } 1..262144;
my @kept;
for (1..@FILES@) {
    my $path = "$ENV{OSA_OUT}/removed";
    open(my $file, '+>', $path) or die;
    unlink $path or die;
    push @kept, $file;
    for (1..@MIB@) { (syswrite($file, $block) || 0) == 1 << 20 or die }
}
sleep 60;
