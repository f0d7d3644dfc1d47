DROP TABLE task_grants;
