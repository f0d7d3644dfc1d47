DROP TRIGGER tr_delegations_facts ON delegations;
DROP FUNCTION check_delegation_facts();
ALTER TABLE delegations
  DROP COLUMN depth, DROP COLUMN root_id, DROP COLUMN parent_id, DROP COLUMN retry_of, DROP COLUMN max_retries, DROP COLUMN request_hash,
  DROP COLUMN input;
