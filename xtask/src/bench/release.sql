-- What crates/postgres-adapter does for one new release (CreateRelease), statement by statement, for pgbench.
-- Given: prefix and hooks (names are <prefix><0..hooks-1>).
\set n random(0, :hooks - 1)
\set a random(1, 9223372036854775807)
\set b random(1, 9223372036854775807)
BEGIN;
select contract, live_release_id from hooks where name = :prefix::text || :n::text for update \gset
select (select max(version) from hook_releases where hook_name = :prefix::text || :n::text) as last, (select version from hook_releases where id = :live_release_id) as live,
    (select version from hook_releases where hook_name = :prefix::text || :n::text and content_key = sha256((:a::text || '-' || :b::text)::bytea)) as same \gset
with before as (select live_release_id from hooks where name = :prefix::text || :n::text),
  last as (select move, moved_at from hook_live_moves where hook_name = :prefix::text || :n::text order by move desc limit 1),
  made as (
    insert into hook_releases (id, hook_name, version, image, digest, config, limits, content_key, source_ref, built_by_user_id, built_by_service_account_id)
    values (md5(:a::text || :b::text)::uuid, :prefix::text || :n::text, :last::int + 1, 'file:/x', 'sha256:' || encode(sha256((:a::text || '-' || :b::text)::bytea), 'hex'), '{}',
      '{"timeout_seconds": 300, "memory": "1g", "cpu": "0.5"}', sha256((:a::text || '-' || :b::text)::bytea), 'git:1', '00000000-0000-7000-8000-0000000000a1', null)
    returning built_at
  ),
  moved as (update hooks set live_release_id = md5(:a::text || :b::text)::uuid where name = :prefix::text || :n::text),
  kept as (
    insert into hook_live_moves (hook_name, move, from_release_id, to_release_id, moved_by_user_id, moved_by_service_account_id, moved_at)
    select :prefix::text || :n::text, coalesce((select move from last), 0) + 1, live_release_id, md5(:a::text || :b::text)::uuid, '00000000-0000-7000-8000-0000000000a1', null,
      greatest(clock_timestamp(), (select moved_at from last))
    from before
  ),
  logged as (
    insert into activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
    values ('HookReleased', 'hook:' || :prefix::text || :n::text, '00000000-0000-7000-8000-0000000000a1', null,
    jsonb_build_object('hook_name', :prefix::text || :n::text, 'version', :last::int + 1, 'release_id', md5(:a::text || :b::text), 'source_ref', 'git:1', 'previous_live_version', :last::int,
      'digest', 'sha256:' || encode(sha256((:a::text || '-' || :b::text)::bytea), 'hex')))
  )
select built_at from made \gset
COMMIT;
