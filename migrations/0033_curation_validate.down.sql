-- A constraint cannot be made unvalidated again; 0032's down migration drops it.
SELECT 1;
