$| = 1;

sub reached { print "REACHED @_\n" }

# The ways to a path of the machine, also through what other processes see of it.
sub around {
    my $path = shift;
    my ($parent, $up) = (getppid(), '../' x 40);
    my $below = $up . substr($path, 1);
    return ($path, $below, map { ("/proc/$_/root$path", "/proc/$_/cwd/$below") } 'self', 1, $parent);
}

sub content {
    open(my $file, '<', shift) or return '';
    local $/;
    my $text = <$file>;
    return defined $text ? $text : '';
}

sub processes {
    opendir(my $dir, '/proc') or return ();
    return grep { /^[0-9]+$/ && $_ != $$ } readdir $dir;
}
