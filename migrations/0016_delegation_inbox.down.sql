DROP TABLE delegation_inbox;
DROP FUNCTION only_acknowledge();
