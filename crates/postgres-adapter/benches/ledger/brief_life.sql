insert into brief.delegations (delegation_id, caller_id, callee_id, task_preview)
  select 'b' || nextval('brief.numbers'), 'user:a', 'user:b', repeat('p', 120) from generate_series(1, 50);
with c as materialized (
  select delegation_id from brief.delegations where callee_id = 'user:b' and status = 'queued' order by created_at, delegation_id limit 50 for update skip locked
), t as (
  update brief.delegations d set status = 'in_progress', attempt = attempt + 1, last_heartbeat = now(), updated_at = now() from c where d.delegation_id = c.delegation_id returning d.delegation_id
) select quote_literal(coalesce(array_agg(delegation_id), '{}')::text) as ids from t \gset
update brief.delegations set last_heartbeat = now() where delegation_id = any(:ids::text[]) and status = 'in_progress';
with done as (
  update brief.delegations set status = 'completed', result_preview = repeat('r', 120), updated_at = now()
  where delegation_id = any(:ids::text[]) and attempt = 1 and status = 'in_progress' returning delegation_id, caller_id
) insert into brief.inbox (caller_id, delegation_id, kind, result) select caller_id, delegation_id, 'completed', repeat('r', 120) from done;
