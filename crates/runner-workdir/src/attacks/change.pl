for my $path (around('@DIR@')) {
    if (open(my $file, '>>', "$path/kept")) { print $file "changed\n"; close $file; reached("$path/kept") }
    open(my $file, '>', "$path/made") and reached("$path/made");
    rename("$path/kept", "$path/moved") and reached("$path/moved");
    unlink("$path/secret") and reached("$path/secret");
}
