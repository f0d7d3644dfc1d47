my $name = 'x';
my $number = syscall(@MEMFD@, $name, 0);
open(my $file, '>&=', $number) or die;
my $block = 'x' x (1 << 20);
for (1..@MIB@) { (syswrite($file, $block) || 0) == 1 << 20 or die }
sleep 60;
