DROP TRIGGER tr_hooks_live_is_history ON hooks;
DROP TABLE hook_live_moves, hook_release_yanks;
DROP FUNCTION check_live_move();
DROP FUNCTION check_live_pointer();
