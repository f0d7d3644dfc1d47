-- Servers of before do not know the work that these wait for.
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM depositions WHERE status IN ('in_validation', 'in_review')) THEN
    RAISE EXCEPTION 'depositions are still in validation or in review; let them be decided before going back' USING ERRCODE = 'object_in_use';
  END IF;
END $$;
DROP TABLE submission_results;
DROP TABLE submissions;
DROP TABLE deposition_files;
DROP TABLE depositions;
ALTER TABLE conventions DROP COLUMN curation;
