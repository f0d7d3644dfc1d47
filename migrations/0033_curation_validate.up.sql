-- A transaction of its own: validating reads the whole table under a lock that lets reads and writes through.
ALTER TABLE conventions VALIDATE CONSTRAINT ck_conventions_curation;
