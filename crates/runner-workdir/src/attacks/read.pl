for my $path (map { around($_) } '@DIR@/secret', '@SHARED@') {
    reached($path) if content($path) =~ /a secret of the server/;
}
opendir(my $dir, '@DIR@') and reached('the directory');
