DROP TABLE callee_callers;
