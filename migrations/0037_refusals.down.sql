DROP TABLE ingest_push_refusals;
