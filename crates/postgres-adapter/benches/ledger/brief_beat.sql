\set from random(0, 9950)
with mine as materialized (
  select delegation_id from brief.delegations where delegation_id = any(array(select 'f' || n from generate_series(:from, :from + 49) n)) and status = 'in_progress'
  order by delegation_id for update
) update brief.delegations d set last_heartbeat = clock_timestamp() from mine m where d.delegation_id = m.delegation_id;
