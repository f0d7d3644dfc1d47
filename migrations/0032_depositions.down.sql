DROP TABLE submission_results;
DROP TABLE submissions;
DROP TABLE deposition_files;
DROP TABLE depositions;
ALTER TABLE conventions DROP COLUMN curation;
