-- A constraint cannot be made unvalidated again; 0003's down migration drops it.
SELECT 1;
