-- The plain table: the ledger as one table, as LED-1 to LED-5 read plainly, with a claim index: the reference that ours is measured against.
create schema if not exists brief;
create table brief.delegations (
  delegation_id text primary key, caller_id text not null, callee_id text not null, task_preview text,
  status text not null default 'queued' check (status in ('queued', 'dispatched', 'in_progress', 'completed', 'failed', 'stuck')),
  last_heartbeat timestamptz, deadline timestamptz not null default now() + interval '6 hours', result_preview text, error_detail text,
  retry_count int not null default 0, idempotency_key text, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
  attempt bigint not null default 0
);
create index on brief.delegations (last_heartbeat) where status in ('queued', 'dispatched', 'in_progress');
create index on brief.delegations (caller_id, created_at desc);
create index on brief.delegations (callee_id, created_at desc);
create unique index on brief.delegations (caller_id, idempotency_key) where idempotency_key is not null;
create index on brief.delegations (callee_id, created_at, delegation_id) where status = 'queued';
create table brief.inbox (id bigint generated always as identity primary key, caller_id text, delegation_id text, kind text, result text, at timestamptz default now());
create sequence brief.numbers;
insert into brief.delegations (delegation_id, caller_id, callee_id, status, attempt)
  select 'h' || n, 'caller' || n % 200, 'callee' || n % 200, 'completed', 1 from generate_series(1, 200000) n;
analyze brief.delegations;
