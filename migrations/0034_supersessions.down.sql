DROP TABLE supersessions;
