ALTER TABLE hook_runs DROP COLUMN location;
DROP TABLE hook_release_locations;
DROP FUNCTION check_release_location();
