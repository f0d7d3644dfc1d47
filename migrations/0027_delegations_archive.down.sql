DROP FUNCTION make_archive_month(timestamptz);
DROP TABLE delegation_archive_ids;
DROP TABLE delegations_archive;
